"""Graded corruptions of images: how `echo-eval --noise` asks what a model can stand.

Each is one that an ultrasound image meets between the probe and the reader.
The strengths are the same for every run, and the random ones are functions of
the seed and of the frame's row in the store: two runs see the same images.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

from echo_train.runtime.counter_rng import normals, uniforms
from echo_train.transforms.intensity import FAN_ANGLE, add_speckle, blur, change_gain, drop_sector

_BLUR_REACH = 4.0
"""Reach of a blur's kernel, in standard deviations."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Corruption:
    """One way to spoil images, at several severities.

    Attributes
    ----------
    unit : str
        What a severity is.
    severities : tuple of float
        Ascending.
    clean : float
        The severity that would leave an image as it is; for the curve's first point.
    apply : callable
        Takes images, (frame, 1, y, x) float in [0, 1], a severity, and the
        frames' keys from `echo_train.runtime.counter_rng.frame_keys`; gives images of the
        same shape, in [0, 1].
    """

    unit: str
    severities: tuple[float, ...]
    clean: float
    apply: Callable[[Tensor, float, Tensor], Tensor]


def add_noise(images: Tensor, deviation: float, keys: Tensor) -> Tensor:
    """Add Gaussian noise, each pixel for itself; what leaves [0, 1] is black or white.

    Parameters
    ----------
    images : Tensor, (frame, 1, y, x) float
        In [0, 1].
    deviation : float
        Standard deviation, where 1 is white.
    keys : Tensor, (frame,) int64
        From `echo_train.runtime.counter_rng.frame_keys`.
    """
    noise = normals(keys, images[0].numel()).reshape(images.shape)
    return (images + deviation * noise).clamp(0, 1)


def lower_resolution(images: Tensor, factor: float) -> Tensor:
    """Average over pixels larger by a factor, and interpolate back to the size that was.

    Parameters
    ----------
    images : Tensor, (frame, 1, y, x) float
    factor : float
        Above 1; the small image's sides are rounded, and at least a pixel.
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
    # Wholly within the fan, so that every frame loses as much.
    room = FAN_ANGLE - severity / 2
    middle = (2 * uniforms(keys, 1)[:, 0] - 1) * room
    return drop_sector(images, middle, _strength(images, severity))


CORRUPTIONS: dict[str, Corruption] = {
    "speckle": Corruption(
        unit="standard deviation of a factor",
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
        unit="times larger pixels",
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
"""By the name that noise.csv has."""


def grades() -> list[tuple[str, float]]:
    """Every corruption with each of its severities."""
    return [(name, severity) for name, one in CORRUPTIONS.items() for severity in one.severities]
