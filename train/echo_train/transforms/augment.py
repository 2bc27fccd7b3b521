"""Random augmentation of training batches: a geometric transform, then changes of gray values.

Whole batches are augmented on the device. The changes of a frame depend on the
seed, the epoch and the frame alone, not on batches or devices.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from echo_common.cli.settings import setting
from echo_common.errors import SettingsError
from echo_train.runtime.counter_rng import frame_keys, uniforms
from echo_train.transforms import intensity
from echo_train.transforms.batch import Batch
from echo_train.transforms.spatial import transform


@dataclasses.dataclass(frozen=True, kw_only=True)
class Strengths:
    """Upper limits of the random changes; with all at 0, frames stay unchanged.

    Attributes
    ----------
    shift : float
        Largest shift along each axis, as a fraction of the image's side.
    scale : float
        Largest enlargement; 0.1 scales by 1/1.1 to 1.1.
    rotation : float
        Largest rotation, in degrees.
    flip : float
        Fraction of frames that are mirrored left to right.
    gamma : float
        Largest change of the exponent; 0.2 gives 1/1.2 to 1.2.
    gain : float
        Largest change of brightness; 0.2 multiplies by 1/1.2 to 1.2.
    speckle : float
        Largest standard deviation of multiplicative noise, applied to half the frames.
    blur : float
        Largest standard deviation of a Gaussian blur in pixels, applied to half the frames.
    sector : float
        Largest angle of a blacked-out sector in degrees, applied to half the frames.
    """

    shift: float = 0.0
    scale: float = 0.0
    rotation: float = 0.0
    flip: float = 0.0
    gamma: float = 0.0
    gain: float = 0.0
    speckle: float = 0.0
    blur: float = 0.0
    sector: float = 0.0


AUGMENTS: dict[str, Strengths] = {
    "none": Strengths(),
    "light": Strengths(
        shift=0.05, scale=0.1, rotation=10, gamma=0.2, gain=0.2, speckle=0.1, blur=0.7
    ),
    # Some laboratories display the left ventricle on the other side, so frames are also mirrored.
    "strong": Strengths(
        shift=0.1, scale=0.25, rotation=25, flip=0.5,
        gamma=0.5, gain=0.5, speckle=0.3, blur=1.5, sector=20,
    ),
}  # fmt: skip
"""Strengths by name."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AugmentSettings:
    """Strengths of the augmentation: a named set, and values that override it.

    Attributes
    ----------
    augment : str
        One of `AUGMENTS`.
    augment_shift, augment_scale, … : float or None
        As in `Strengths`; None for the value of the named set.
    """

    augment: str = setting(
        "light", "Strength of the random changes of training frames.", choices=tuple(AUGMENTS)
    )
    augment_shift: float | None = setting(
        None,
        "Largest shift, as a fraction of the side; default: from --augment.",
        minimum=0,
        maximum=1,
    )
    augment_scale: float | None = setting(
        None,
        "Largest enlargement, 0.1 for 1/1.1 to 1.1; default: from --augment.",
        minimum=0,
        maximum=4,
    )
    augment_rotation: float | None = setting(
        None, "Largest rotation in degrees; default: from --augment.", minimum=0, maximum=180
    )
    augment_flip: float | None = setting(
        None,
        "Fraction of frames mirrored left to right; default: from --augment.",
        minimum=0,
        maximum=1,
    )
    augment_gamma: float | None = setting(
        None, "Largest change of gamma, 0.2 for 1/1.2 to 1.2; default: from --augment.", minimum=0
    )
    augment_gain: float | None = setting(
        None, "Largest change of gain, 0.2 for 1/1.2 to 1.2; default: from --augment.", minimum=0
    )
    augment_speckle: float | None = setting(
        None, "Largest standard deviation of speckle noise; default: from --augment.", minimum=0
    )
    augment_blur: float | None = setting(
        None,
        "Largest sigma of a Gaussian blur, in pixels; default: from --augment.",
        minimum=0,
        maximum=3,
    )
    augment_sector: float | None = setting(
        None,
        "Largest blacked-out angle, in degrees; default: from --augment.",
        minimum=0,
        maximum=90,
    )

    def strengths(self) -> Strengths:
        """Combine the named set with the overrides."""
        overrides = {
            field.name: value
            for field in dataclasses.fields(Strengths)
            if (value := getattr(self, f"augment_{field.name}")) is not None
        }
        return dataclasses.replace(AUGMENTS[self.augment], **overrides)


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
    seed : int
    landmark_order : list of int or None
        Order of the landmarks in mirrored frames, from `mirror_order`; None
        without landmarks.
    """

    def __init__(self, strengths: Strengths, seed: int, landmark_order: list[int] | None) -> None:
        self.strengths = strengths
        self._seed = seed
        self._landmark_order = landmark_order

    def __call__(self, batch: Batch, epoch: int) -> Batch:
        """Augment a batch with the random numbers of an epoch; truth moves with the images."""
        strengths = self.strengths
        keys = frame_keys(batch.index, self._seed, epoch)
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
            images = intensity.blur(images, strengths.blur * _half_zero(draws["blur"]))
        if strengths.speckle:
            deviation = strengths.speckle * _half_zero(draws["speckle"])
            # Other keys than those of the draws above, so that the noise is independent of them.
            images = intensity.add_speckle(images, deviation, keys + 1)
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


def _symmetric(uniform: Tensor) -> Tensor:
    """Map [0, 1] to [-1, 1]."""
    return 2 * uniform - 1


def _factor(uniform: Tensor, largest: float) -> Tensor:
    """Map [0, 1] to [1 / (1 + largest), 1 + largest], half of it below 1."""
    return torch.exp(math.log1p(largest) * _symmetric(uniform))


def _half_zero(uniform: Tensor) -> Tensor:
    """Map the lower half of [0, 1] to 0 and the upper half to [0, 1]."""
    return _symmetric(uniform).clamp_min(0)
