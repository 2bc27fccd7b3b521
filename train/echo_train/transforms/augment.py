"""Random augmentation of training batches: a geometric transform, then changes of gray values.

Whole batches are augmented on the device. The changes of a frame depend on the
seed, the epoch and the frame alone, not on batches or devices.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import torch
from torch import Tensor

from echo_common.errors import SettingsError
from echo_train.runtime.counter_rng import frame_keys, uniforms
from echo_train.transforms import intensity
from echo_train.transforms.batch import Batch, join, split
from echo_train.transforms.settings import Strengths
from echo_train.transforms.spatial import transform

CACHED_FRAMES = 8
"""Frames that a CPU augments together: their tensors fit into the cache of a core."""


def mirror_order(identity: str, count: int) -> list[int]:
    """Order in which a frame's landmarks become the landmarks of its mirror image.

    Parameters
    ----------
    identity : str
        One of `echo_common.store.schema.IDENTITIES`.
    count : int
        Number of landmarks.

    Raises
    ------
    SettingsError
        For an even number of anatomical landmarks: the left wall has one more
        than the right, so the mirror image has landmarks that the frame lacks.
    """
    if identity == "angle":
        # Mirroring preserves the angles and therefore their order.
        return list(range(count))
    if identity == "uniform":
        # From the apex around the contour, in the other direction.
        return [0, *range(count - 1, 0, -1)]
    if identity == "anatomical" and count % 2 == 0:
        raise SettingsError(
            f"{count} anatomical landmarks cannot be mirrored: the left wall has one more than "
            "the right; set --augment-flip 0, or use an odd number of --landmarks"
        )
    return list(range(count - 1, -1, -1))


class Augmenter:
    """Augments batches at random.

    Parameters
    ----------
    strengths : Strengths
    landmark_order : list of int or None
        Order of the landmarks in mirrored frames, from `mirror_order`; None
        without landmarks or mirrored frames.
    """

    def __init__(self, strengths: Strengths, landmark_order: list[int] | None) -> None:
        self.strengths = strengths
        self._landmark_order = landmark_order

    def __call__(self, batch: Batch, key: Tensor) -> Batch:
        """Augment a batch; truth moves with the images.

        Parameters
        ----------
        batch : Batch
        key : Tensor, () int64
            Of the epoch, from `echo_train.runtime.counter_rng.epoch_key`.
        """
        if not any(dataclasses.astuple(self.strengths)):
            # Random numbers take a dozen operations on the device, each of which is launched.
            return batch
        if not _on_cpu(batch.images) or len(batch.index) <= CACHED_FRAMES:
            return self._augment(batch, key)
        return join([self._augment(piece, key) for piece in split(batch, CACHED_FRAMES)])

    def _augment(self, batch: Batch, key: Tensor) -> Batch:
        strengths = self.strengths
        keys = frame_keys(batch.index, key)
        draws = dict(zip(_DRAWS, uniforms(keys, len(_DRAWS)).unbind(1), strict=True))
        images = batch.images
        if strengths.sector:
            # Before the geometric transform, while the apex of the fan is where it was scanned.
            middle = intensity.FAN_ANGLE * _symmetric(draws["sector_middle"])
            width = strengths.sector * _half_zero(draws["sector"])
            images = intensity.drop_sector(images, middle, width)
        batch = dataclasses.replace(batch, images=images)
        if strengths.shift or strengths.scale or strengths.rotation or strengths.flip:
            batch = self._transform(batch, draws)
        images = batch.images
        if strengths.gamma:
            exponent = _factor(draws["gamma"], strengths.gamma)
            images = intensity.change_gamma(images, exponent)
        if strengths.gain:
            images = intensity.change_gain(images, _factor(draws["gain"], strengths.gain))
        if strengths.blur:
            sigma = strengths.blur * _half_zero(draws["blur"])
            images = _change(images, sigma, intensity.blur)
        if strengths.speckle:
            deviation = strengths.speckle * _half_zero(draws["speckle"])
            # Other keys than those of the draws above, so that the noise is independent of them.
            images = _change(images, deviation, intensity.add_speckle, keys + 1)
        return dataclasses.replace(batch, images=images)

    def _transform(self, batch: Batch, draws: dict[str, Tensor]) -> Batch:
        strengths = self.strengths
        height, width = batch.masks.shape[1:]
        flip = draws["flip"] < strengths.flip
        angle = math.radians(strengths.rotation) * _symmetric(draws["rotation"])
        scale_y = _factor(draws["scale"], strengths.scale)
        scale_x = scale_y * torch.where(flip, -1.0, 1.0)
        cos, sin = angle.cos(), angle.sin()
        matrix = torch.stack([scale_x * cos, -scale_y * sin, scale_x * sin, scale_y * cos], dim=1)
        shift = torch.stack(
            [
                strengths.shift * width * _symmetric(draws["shift_x"]),
                strengths.shift * height * _symmetric(draws["shift_y"]),
            ],
            dim=1,
        )
        return transform(batch, matrix.reshape(-1, 2, 2), shift, flip, self._landmark_order)


_DRAWS = (
    "shift_x", "shift_y", "scale", "rotation", "flip", "gamma", "gain", "speckle", "blur",
    "sector", "sector_middle",
)  # fmt: skip


def _on_cpu(images: Tensor) -> bool:
    """Whether a change may depend on values, which would wait for a GPU and split a graph."""
    return images.device.type == "cpu" and not torch.compiler.is_compiling()


def _change(
    images: Tensor, strength: Tensor, change: Callable[..., Tensor], *per_frame: Tensor
) -> Tensor:
    """Apply a change that leaves frames of strength 0 unchanged, on the CPU to the others only."""
    if not _on_cpu(images):
        return change(images, strength, *per_frame)
    frames = strength.nonzero()[:, 0]
    changed = change(images[frames], strength[frames], *(values[frames] for values in per_frame))
    return images.index_copy(0, frames, changed)


def _symmetric(uniform: Tensor) -> Tensor:
    """Map [0, 1] to [-1, 1]."""
    return 2 * uniform - 1


def _factor(uniform: Tensor, largest: float) -> Tensor:
    """Map [0, 1] to [1 / (1 + largest), 1 + largest], half of it below 1."""
    return torch.exp(math.log1p(largest) * _symmetric(uniform))


def _half_zero(uniform: Tensor) -> Tensor:
    """Map the lower half of [0, 1] to 0 and the upper half to [0, 1]."""
    return _symmetric(uniform).clamp_min(0)
