"""Batches out of a `FrameSet`: the order of the samples, and the cast to numbers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch
from echo_common.schema import HEATMAP_SCALE
from torch import Tensor

from echo_train.frames import FrameSet


@dataclasses.dataclass(frozen=True, kw_only=True)
class Batch:
    """Some frames as the network and the losses take them.

    Attributes
    ----------
    index : Tensor, (frame,) int64
        Where the frames stand in their `FrameSet`.
    images : Tensor, (frame, 1, y, x) float32
        Gray values in [0, 1].
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


def batches(frames: FrameSet, order: np.ndarray, batch_size: int) -> Iterator[Batch]:
    """Cut an order of samples into batches; the last one may be smaller.

    Parameters
    ----------
    frames : FrameSet
    order : ndarray, (sample,) int64
        Into `frames`.
    batch_size : int
    """
    device = frames.images.device
    # One transfer an epoch: the order is a few kilobytes, and a batch is then a view of it.
    for index in torch.split(torch.from_numpy(order).to(device), batch_size):
        yield Batch(
            index=index,
            images=frames.images[index].float() / 255,
            masks=frames.masks[index].float(),
            heatmaps=None
            if frames.heatmaps is None
            else frames.heatmaps[index].float() * HEATMAP_SCALE,
            points=None if frames.points is None else frames.points[index],
        )
