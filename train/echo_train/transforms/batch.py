"""Batches on the device: stored pixels, and the tensors that networks and losses take.

`echo_train.data.loader` makes the batches of training and of evaluation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from echo_common.store.schema import HEATMAP_SCALE, PHASES

EVALUATION_BATCH = 64
"""Frames per batch in passes without gradients."""


_PHASE_VALUES = {"ED": -1.0, "ES": 1.0, "unknown": 0.0}

_PHASE_CONTRAST = 0.2
"""Gray value of the channel at end-systole: the standard deviation of a frame's gray values. Planes
of 1 dominate the first features, whose variance is normalised over the batch."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pixels:
    """A few frames as stored, on the device.

    Attributes
    ----------
    index : Tensor, (frame,) int64
        Positions of the frames in their `echo_train.data.frame_set.FrameSet`.
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
    """A few frames as networks and losses take them.

    Augmentation moves images and truth together, so a prediction is compared
    with the truth in the batch and never with the truth in the store.

    Attributes
    ----------
    index : Tensor, (frame,) int64
        Positions of the frames in their `echo_train.data.frame_set.FrameSet`.
    images : Tensor, (frame, channel, y, x) float32
        Gray values in [0, 1], or what a network takes: the output of `normalise`, and of
        `add_phase_channel` for a network that has it.
    masks : Tensor, (frame, y, x) float32
    heatmaps : Tensor, (frame, landmark, y, x) float32, or None
        In [0, 1].
    points : Tensor, (frame, landmark, 2) float32, or None
    phases : Tensor, (frame,) float32, or None
        As `add_phase_channel` takes them.
    """

    index: Tensor
    images: Tensor
    masks: Tensor
    heatmaps: Tensor | None
    points: Tensor | None
    phases: Tensor | None = None


def split(pixels: Pixels, size: int) -> list[Pixels]:
    """Split stored pixels into batches of at most `size` frames."""
    tensors = {name: values for name, values in vars(pixels).items() if values is not None}
    return [
        Pixels(**{name: values[start : start + size] for name, values in tensors.items()})
        for start in range(0, len(pixels.index), size)
    ]


def join(batches: Iterable[Batch], count: int) -> Batch:
    """Join batches of `count` frames together, in order.

    Each is copied before the next is made, so that their memory is used again: on a CPU, it
    stays in the cache.
    """
    joined: dict[str, Tensor] = {}
    start = 0
    for batch in batches:
        end = start + len(batch.index)
        if end - start == count:
            return batch
        for name, values in vars(batch).items():
            if values is not None:
                if name not in joined:
                    joined[name] = values.new_empty(count, *values.shape[1:])
                joined[name][start:end] = values
        start = end
    return dataclasses.replace(batch, **joined)


def epoch_order(indices: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """Shuffle the samples of one epoch; the order depends on seed and epoch alone.

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
    """Convert stored pixels to floating point.

    Parameters
    ----------
    pixels : Pixels
    points : Tensor, (frame, landmark, 2) float32, or None
        Landmarks of the frames.
    """
    return Batch(
        index=pixels.index,
        images=pixels.images[:, None] / 255,
        masks=pixels.masks.float(),
        heatmaps=None if pixels.heatmaps is None else pixels.heatmaps * HEATMAP_SCALE,
        points=points,
    )


def normalise(images: Tensor, normalisation: str) -> Tensor:
    """Normalise images before they enter a network.

    Parameters
    ----------
    images : Tensor, (frame, channel, y, x) float
        Gray values in [0, 1].
    normalisation : str
        One of `echo_train.data.settings.NORMALISATIONS`. ``none`` returns the images unchanged.
        ``frame`` gives each frame a mean of 0 and a standard deviation of 1,
        which removes gain and offset; a frame of constant gray becomes 0.

    Returns
    -------
    images : Tensor, (frame, channel, y, x) float
    """
    if normalisation == "none":
        return images
    # A CPU takes eight times as long for torch.std_mean.
    centred = images - images.mean((1, 2, 3), keepdim=True)
    deviation = centred.square().mean((1, 2, 3), keepdim=True).sqrt()
    return centred / deviation.clamp_min(1e-6)


def phase_values(codes: np.ndarray) -> Tensor:
    """Phases as `add_phase_channel` takes them, from codes of `index/phase`, (frame,) uint8."""
    return torch.tensor([_PHASE_VALUES[phase] for phase in PHASES])[torch.from_numpy(codes).long()]


def add_phase_channel(images: Tensor, phases: Tensor | None) -> Tensor:
    """Append a channel of constant planes, which tells the phase of each frame.

    Where a wall is not visible, a network that sees one frame draws it between where it would be
    at end-diastole and at end-systole. The phase makes the difference known.

    Parameters
    ----------
    images : Tensor, (frame, channel, y, x) float
    phases : Tensor, (frame,) float, or None
        From -1 at end-diastole to 1 at end-systole; 0, or None for all frames, if unknown.

    Returns
    -------
    images : Tensor, (frame, channel + 1, y, x) float
    """
    planes = images.new_zeros(len(images), 1, *images.shape[2:])
    if phases is not None:
        planes = planes + _PHASE_CONTRAST * phases.to(planes)[:, None, None, None]
    return torch.cat([images, planes], dim=1)
