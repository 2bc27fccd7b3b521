"""Augmentation: one geometric transform of image, mask, heatmaps and points, then the image's own.

All of a batch at once, on the device. How a frame is changed is a function of
the seed, the epoch and the frame alone, not of batches or devices.
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
    """How far a frame may be changed; zero everywhere changes nothing.

    Attributes
    ----------
    shift : float
        Largest move along each axis, in shares of the image's side.
    scale : float
        Largest growth; 0.1 for sizes from 1/1.1 to 1.1.
    rotation : float
        Largest turn, in degrees.
    flip : float
        Share of frames that are mirrored left to right.
    gamma : float
        Largest change of the exponent; 0.2 for 1/1.2 to 1.2.
    gain : float
        Largest change of the brightness; 0.2 for 1/1.2 to 1.2.
    speckle : float
        Largest standard deviation of multiplied noise; half the frames get some.
    blur : float
        Largest standard deviation of a Gaussian, in pixels; half the frames get some.
    sector : float
        Largest angle of a blacked out sector, in degrees; half the frames get one.
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
    # Mirrored frames occur: some laboratories show the left ventricle on the other side.
    "strong": Strengths(
        shift=0.1, scale=0.25, rotation=25, flip=0.5,
        gamma=0.5, gain=0.5, speckle=0.3, blur=1.5, sector=20,
    ),
}  # fmt: skip
"""Strengths by name."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AugmentSettings:
    """Which strengths: a name, and single ones where they should be others.

    Attributes
    ----------
    augment : str
        One of `AUGMENTS`.
    augment_shift, augment_scale, … : float or None
        As in `Strengths`; None for the named one's.
    """

    augment: str = setting(
        "light", "How far training frames are changed at random.", choices=tuple(AUGMENTS)
    )
    augment_shift: float | None = setting(
        None, "Largest move, in shares of the side; else --augment's.", minimum=0, maximum=1
    )
    augment_scale: float | None = setting(
        None, "Largest growth, 0.1 for 1/1.1 to 1.1; else --augment's.", minimum=0, maximum=4
    )
    augment_rotation: float | None = setting(
        None, "Largest turn in degrees; else --augment's.", minimum=0, maximum=180
    )
    augment_flip: float | None = setting(
        None, "Share of frames mirrored left to right; else --augment's.", minimum=0, maximum=1
    )
    augment_gamma: float | None = setting(
        None, "Largest change of gamma, 0.2 for 1/1.2 to 1.2; else --augment's.", minimum=0
    )
    augment_gain: float | None = setting(
        None, "Largest change of gain, 0.2 for 1/1.2 to 1.2; else --augment's.", minimum=0
    )
    augment_speckle: float | None = setting(
        None, "Largest deviation of multiplied noise; else --augment's.", minimum=0
    )
    augment_blur: float | None = setting(
        None, "Largest deviation of a Gaussian, in pixels; else --augment's.", minimum=0, maximum=3
    )
    augment_sector: float | None = setting(
        None, "Largest blacked out angle, in degrees; else --augment's.", minimum=0, maximum=90
    )

    def strengths(self) -> Strengths:
        """The strengths that are used."""
        given = {
            field.name: value
            for field in dataclasses.fields(Strengths)
            if (value := getattr(self, f"augment_{field.name}")) is not None
        }
        return dataclasses.replace(AUGMENTS[self.augment], **given)


def flip_order(identity: str, count: int) -> list[int]:
    """Which landmark of a frame each landmark of its mirror image is.

    Parameters
    ----------
    identity : str
        One of `echo_common.store.schema.IDENTITIES`.
    count : int
        Number of landmarks.

    Raises
    ------
    SettingsError
        If the mirror image has landmarks that the frame has not: an even
        number of anatomical ones has one more on the left wall.
    """
    if identity == "angle":
        # Angles are the same in a mirror, and with them the order.
        return list(range(count))
    if identity == "uniform":
        # From the apex around, the other way.
        return [0, *range(count - 1, 0, -1)]
    if identity == "anatomical" and count % 2 == 0:
        raise SettingsError(
            f"{count} anatomical landmarks cannot be mirrored: the left wall has one more than "
            "the right; set --augment-flip 0, or use an odd number of --landmarks"
        )
    return list(range(count - 1, -1, -1))


class Augmenter:
    """Changes the frames of batches.

    Parameters
    ----------
    strengths : Strengths
    seed : int
    flipped : list of int or None
        From `flip_order`; None where there are no landmarks.
    """

    def __init__(self, strengths: Strengths, seed: int, flipped: list[int] | None) -> None:
        self.strengths = strengths
        self._seed = seed
        self._flipped = flipped

    def __call__(self, batch: Batch, epoch: int) -> Batch:
        """Change the frames of a batch as this epoch has it; what is moved stays together."""
        by = self.strengths
        keys = frame_keys(batch.index, self._seed, epoch)
        draws = dict(zip(_DRAWS, uniforms(keys, len(_DRAWS)).unbind(1), strict=True))
        images = batch.images
        if by.sector:
            # Before the fan is moved: its apex is where it was.
            middle = intensity.FAN_ANGLE * _both_ways(draws["sector_middle"])
            images = intensity.drop_sector(images, middle, by.sector * _half(draws["sector"]))
        batch = dataclasses.replace(batch, images=images)
        if by.shift or by.scale or by.rotation or by.flip:
            batch = self._move(batch, draws)
        images = batch.images
        if by.gamma:
            images = intensity.change_gamma(images, _about_one(draws["gamma"], by.gamma))
        if by.gain:
            images = intensity.change_gain(images, _about_one(draws["gain"], by.gain))
        if by.blur:
            images = intensity.blur(images, by.blur * _half(draws["blur"]))
        if by.speckle:
            # The keys of the noise are others than those of the draws above.
            images = intensity.add_speckle(images, by.speckle * _half(draws["speckle"]), keys + 1)
        return dataclasses.replace(batch, images=images)

    def _move(self, batch: Batch, draws: dict[str, Tensor]) -> Batch:
        by = self.strengths
        height, width = batch.masks.shape[1:]
        flip = draws["flip"] < by.flip
        turn = math.radians(by.rotation) * _both_ways(draws["rotation"])
        size = _about_one(draws["scale"], by.scale)
        along = size * torch.where(flip, -1.0, 1.0)
        matrix = torch.stack(
            [along * turn.cos(), -size * turn.sin(), along * turn.sin(), size * turn.cos()], dim=1
        ).reshape(-1, 2, 2)
        shift = torch.stack(
            [
                by.shift * width * _both_ways(draws["shift_x"]),
                by.shift * height * _both_ways(draws["shift_y"]),
            ],
            dim=1,
        )
        return transform(batch, matrix, shift, flip, self._flipped)


_DRAWS = (
    "shift_x", "shift_y", "scale", "rotation", "flip", "gamma", "gain", "speckle", "blur",
    "sector", "sector_middle",
)  # fmt: skip


def _both_ways(uniform: Tensor) -> Tensor:
    """From -1 to 1."""
    return 2 * uniform - 1


def _about_one(uniform: Tensor, most: float) -> Tensor:
    """From 1 / (1 + most) to 1 + most, as often below 1 as above."""
    return torch.exp(math.log1p(most) * _both_ways(uniform))


def _half(uniform: Tensor) -> Tensor:
    """Zero for half of the draws, and from 0 to 1 for the others."""
    return _both_ways(uniform).clamp_min(0)
