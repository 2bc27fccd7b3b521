"""Batches: the order of the samples, and pixels cast to what a network takes."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

from echo_common.store.schema import HEATMAP_SCALE

NORMALISATIONS = ("none", "frame")
"""How images are scaled after the division by 255; the first is the default."""

EVALUATION_BATCH = 64
"""Frames a batch where no gradient is kept."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pixels:
    """Some frames as the store has them, on the device.

    Attributes
    ----------
    index : Tensor, (frame,) int64
        Where the frames stand in their `echo_train.data.frame_set.FrameSet`.
    images : Tensor, (frame, y, x) uint8
    masks : Tensor, (frame, y, x) uint8
    heatmaps : Tensor, (frame, landmark, y, x) uint8, or None
    """

    index: Tensor
    images: Tensor
    masks: Tensor
    heatmaps: Tensor | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Batch:
    """Some frames as the network and the losses take them.

    Where a batch is augmented, images and truth were moved together: what is
    compared with a prediction is the batch's own truth, never the store's.

    Attributes
    ----------
    index : Tensor, (frame,) int64
        Where the frames stand in their `echo_train.data.frame_set.FrameSet`.
    images : Tensor, (frame, 1, y, x) float32
        Gray values in [0, 1], or as `normalise` leaves them.
    masks : Tensor, (frame, y, x) float32
    heatmaps : Tensor, (frame, landmark, y, x) float32, or None
        In [0, 1].
    points : Tensor, (frame, landmark, 2) float32, or None
    """

    index: Tensor
    images: Tensor
    masks: Tensor
    heatmaps: Tensor | None
    points: Tensor | None


def epoch_order(indices: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """Order of the samples of one epoch: a function of seed and epoch alone.

    Parameters
    ----------
    indices : ndarray, (sample,) int64
    seed, epoch : int

    Returns
    -------
    order : ndarray, (sample,) int64
    """
    return np.random.default_rng([seed, epoch]).permutation(indices)


def to_batch(pixels: Pixels, points: Tensor | None) -> Batch:
    """Cast pixels to numbers.

    Parameters
    ----------
    pixels : Pixels
    points : Tensor, (frame, landmark, 2) float32, or None
        Landmarks of the same frames.
    """
    return Batch(
        index=pixels.index,
        images=pixels.images[:, None] / 255,
        masks=pixels.masks.float(),
        heatmaps=None if pixels.heatmaps is None else pixels.heatmaps * HEATMAP_SCALE,
        points=points,
    )


def normalise(images: Tensor, how: str) -> Tensor:
    """Scale images as a network was trained to see them.

    Parameters
    ----------
    images : Tensor, (frame, channel, y, x) float
        Gray values in [0, 1].
    how : str
        ``none`` leaves them; ``frame`` gives each frame a mean of 0 and a
        standard deviation of 1, so that gain and offset play no part. A frame
        of one gray value becomes 0.

    Returns
    -------
    images : Tensor, (frame, channel, y, x) float
    """
    if how == "none":
        return images
    deviation, mean = torch.std_mean(images, dim=(1, 2, 3), correction=0, keepdim=True)
    return (images - mean) / deviation.clamp_min(1e-6)
