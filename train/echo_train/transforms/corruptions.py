"""Graded corruptions of images, for the robustness test of `echo-eval --noise`.

Each imitates a degradation of real ultrasound images. Severities are fixed, and
random corruptions depend only on the seed and the frame's row in the store, so
all runs are tested on the same images.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

from echo_train.runtime.counter_rng import normals, uniforms
from echo_train.transforms.intensity import add_speckle, blur, change_gain
from echo_train.transforms.scanner import FAN_ANGLE, drop_sector

_BLUR_REACH = 4.0
"""Half the width of a blur's kernel, in standard deviations."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Corruption:
    """One kind of corruption at several severities.

    Attributes
    ----------
    unit : str
        Unit of the severities, for axis labels.
    severities : tuple of float
        Ascending.
    clean : float
        The severity that leaves an image unchanged; the first point of a curve.
    apply : callable
        Takes images, (frame, 1, y, x) float in [0, 1], a severity, and the
        frames' keys from `echo_train.runtime.counter_rng.frame_keys`; returns images
        of the same shape, in [0, 1].
    """

    unit: str
    severities: tuple[float, ...]
    clean: float
    apply: Callable[[Tensor, float, Tensor], Tensor]


def add_noise(images: Tensor, deviation: float, keys: Tensor) -> Tensor:
    """Add independent Gaussian noise to each pixel and clip to [0, 1].

    Parameters
    ----------
    images : Tensor, (frame, 1, y, x) float
        In [0, 1].
    deviation : float
        Standard deviation; 1 is white.
    keys : Tensor, (frame,) int32
        From `echo_train.runtime.counter_rng.frame_keys`.
    """
    noise = normals(keys, images[0].numel()).reshape(images.shape)
    return (images + deviation * noise).clamp(0, 1)


def lower_resolution(images: Tensor, factor: float) -> Tensor:
    """Average over larger pixels and interpolate back to the original size.

    Parameters
    ----------
    images : Tensor, (frame, 1, y, x) float
    factor : float
        Enlargement of a pixel's side, above 1. The sides of the small image are
        rounded to at least one pixel.
    """
    size = images.shape[-2:]
    small = [max(1, round(side / factor)) for side in size]
    images = functional.interpolate(images, small, mode="area")
    return functional.interpolate(images, size, mode="bilinear", align_corners=False)


def _strength(images: Tensor, severity: float) -> Tensor:
    return images.new_full((len(images),), severity)


def _speckle(images: Tensor, severity: float, keys: Tensor) -> Tensor:
    return add_speckle(images, _strength(images, severity), keys)


def _blur(images: Tensor, severity: float, keys: Tensor) -> Tensor:
    reach = max(1, round(_BLUR_REACH * severity))
    return blur(images, _strength(images, severity), reach)


def _gain(images: Tensor, severity: float, keys: Tensor) -> Tensor:
    return change_gain(images, _strength(images, 10 ** (severity / 20)))


def _resolution(images: Tensor, severity: float, keys: Tensor) -> Tensor:
    return lower_resolution(images, severity)


def _sector(images: Tensor, severity: float, keys: Tensor) -> Tensor:
    # The sector stays within the fan, so that every frame loses the same angle.
    largest_middle = FAN_ANGLE - severity / 2
    middle = (2 * uniforms(keys, 1)[:, 0] - 1) * largest_middle
    return drop_sector(images, middle, _strength(images, severity))


CORRUPTIONS: dict[str, Corruption] = {
    "speckle": Corruption(
        unit="standard deviation of the factor",
        severities=(0.2, 0.4, 0.6, 0.8, 1.0),
        clean=0.0,
        apply=_speckle,
    ),
    "noise": Corruption(
        unit="standard deviation, white = 1",
        severities=(0.05, 0.1, 0.2, 0.3, 0.4),
        clean=0.0,
        apply=add_noise,
    ),
    "blur": Corruption(
        unit="standard deviation in px",
        severities=(1.0, 2.0, 3.0, 4.0, 6.0),
        clean=0.0,
        apply=_blur,
    ),
    "gain": Corruption(
        unit="dB", severities=(-18.0, -12.0, -6.0, 6.0, 12.0), clean=0.0, apply=_gain
    ),
    "resolution": Corruption(
        unit="enlargement of a pixel",
        severities=(2.0, 4.0, 7.0, 14.0),
        clean=1.0,
        apply=_resolution,
    ),
    "sector": Corruption(
        unit="degrees blacked out",
        severities=(10.0, 20.0, 30.0, 45.0, 60.0),
        clean=0.0,
        apply=_sector,
    ),
}
"""By the name in noise.csv."""


def grades() -> list[tuple[str, float]]:
    """List every corruption at each of its severities."""
    return [
        (name, severity)
        for name, corruption in CORRUPTIONS.items()
        for severity in corruption.severities
    ]
