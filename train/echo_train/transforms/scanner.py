"""What another scanner or sector changes in an image, with one strength per frame.

Augmentation and the graded corruptions apply it to batches on the device.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from echo_train.runtime.counter_rng import normals, uniforms
from echo_train.transforms.intensity import blur, per_frame

FAN_APEX = (61 / 112, 7 / 112)
"""(x, y) of the origin of EchoNet-Dynamic's scan lines, as fractions of the image's sides."""

FAN_ANGLE = 45.0
"""Half the opening angle of the fan, in degrees from vertical."""

FAN_DEPTH = 105 / 112
"""Length of these scan lines, as a fraction of the image's height."""


def spread(images: Tensor, sigma: Tensor, power: Tensor, reach: int) -> Tensor:
    """Smooth amplitudes in place of gray values, which are their logarithms.

    A wider beam smears amplitudes, so bright tissue spreads into dark blood.

    Parameters
    ----------
    images : Tensor, (frame, 1, y, x) float
        In [0, 1].
    sigma : Tensor, (frame,) float
        Standard deviation in pixels; 0 leaves the frame unchanged but for rounding.
    power : Tensor, (frame,) float
        Logarithm of the ratio of the amplitudes of white and black. If it is negative, bright
        tissue shrinks.
    reach : int
        As in `blur`.
    """
    # At 0 there is nothing to smear; next to it the result is that of `blur`.
    power = per_frame(torch.where(power.abs() < 0.01, 0.01, power))
    # Less 1, so that black remains black where `blur` assumes zeros outside the image.
    smooth = blur(torch.expm1(power * images), sigma, reach)
    return (torch.log1p(smooth) / power).clamp_(0, 1)


def enhance_edges(images: Tensor, strength: Tensor, sigma: Tensor) -> Tensor:
    """Add a multiple of the difference from the smoothed frame, as scanners do, and clip.

    Parameters
    ----------
    images : Tensor, (frame, 1, y, x) float
        In [0, 1].
    strength : Tensor, (frame,) float
        0 leaves the frame unchanged.
    sigma : Tensor, (frame,) float
        Standard deviation of the smoothing, in pixels; up to 5.
    """
    # Smoothed at half the size, where it takes an eighth of the time.
    smooth = blur(functional.avg_pool2d(images, 2, ceil_mode=True), sigma / 2, reach=6)
    smooth = _stretch(smooth, images)
    return torch.addcmul(images, images - smooth, per_frame(strength)).clamp_(0, 1)


def darken_wall(images: Tensor, strength: Tensor, masks: Tensor, reach: Tensor) -> Tensor:
    """Darken the muscle around a mask, which some scanners show darker than its borders.

    Parameters
    ----------
    images : Tensor, (frame, 1, y, x) float
        In [0, 1].
    strength : Tensor, (frame,) float
        Next to the mask, gray values are divided by 1 + `strength`.
    masks : Tensor, (frame, y, x) float
    reach : Tensor, (frame,) float
        Up to 6. The change begins to fade at about this distance from the mask, in pixels, and
        ends at about twice that.
    """
    inside = functional.avg_pool2d(masks[:, None], 2, ceil_mode=True)
    near = _stretch(blur(inside, reach / 2, reach=6), images)
    # Next to a straight border the smoothed mask is 0.5, and a standard deviation away 0.16.
    weight = (6 * near).clamp_(0, 1) * (1 - _stretch(inside, images))
    return images / (1 + per_frame(strength) * weight)


def change_shading(images: Tensor, strength: Tensor, keys: Tensor) -> Tensor:
    """Multiply gray values by factors that vary slowly over the frame, and clip them at white.

    Parameters
    ----------
    images : Tensor, (frame, 1, y, x) float
        In [0, 1].
    strength : Tensor, (frame,) float
        Standard deviation of the logarithm of the factors, on a grid of 9 x 9 points.
    keys : Tensor, (frame,) int32
        From `echo_train.runtime.counter_rng.frame_keys`.
    """
    factors = torch.exp(per_frame(strength) * _grid(keys, 9, 9))
    return (images * _stretch(factors, images)).clamp_(0, 1)


def add_haze(images: Tensor, strength: Tensor, reach: Tensor, keys: Tensor) -> Tensor:
    """Lighten EchoNet-Dynamic's fan below the probe by clutter with a grain of a few pixels.

    Parameters
    ----------
    images : Tensor, (frame, 1, y, x) float
        In [0, 1].
    strength : Tensor, (frame,) float
        Mean brightness of the haze on black, next to the probe.
    reach : Tensor, (frame,) float
        Distance from the probe at which it is 1/e of that, as a fraction of the image's height.
    keys : Tensor, (frame,) int32
        From `echo_train.runtime.counter_rng.frame_keys`.
    """
    angle, radius = _polar(images)
    height, width = images.shape[2:]
    fan = (angle.abs() < FAN_ANGLE) & (radius < FAN_DEPTH * height)
    fall = torch.exp(-((radius / (height * per_frame(reach))) ** 1.4)) * fan
    grain = _stretch(1 + 0.35 * _grid(keys, height // 3 + 2, width // 3 + 2), images)
    haze = (grain * fall * per_frame(strength)).clamp_(0, 1)
    return torch.addcmul(images, haze, 1 - images)


def draw_overlay(images: Tensor, strength: Tensor, keys: Tensor) -> Tensor:
    """Draw an ECG near the bottom, depth ticks near one side and a ring near the top of frames.

    Parameters
    ----------
    images : Tensor, (frame, 1, y, x) float
        In [0, 1].
    strength : Tensor, (frame,) float
        Factor of their brightness; 0 leaves the frame unchanged.
    keys : Tensor, (frame,) int32
        From `echo_train.runtime.counter_rng.frame_keys`. They choose positions, sizes and a
        brightness of 0.35 to 1.
    """
    draws = uniforms(keys, len(_OVERLAY)).unbind(1)
    at = {
        name: per_frame(low + (high - low) * draw)
        for (name, (low, high)), draw in zip(_OVERLAY.items(), draws, strict=True)
    }
    height, width = images.shape[2:]
    y = torch.arange(height, device=images.device)[:, None]
    x = torch.arange(width, device=images.device)
    phase = (x / (width * at["beat"]) + at["phase"]) % 1
    waves = (size * torch.exp(-(((phase - peak) / wide) ** 2)) for peak, wide, size in _ECG)
    curve = height * at["baseline"] - height * at["peak"] * sum(waves)
    slope = torch.gradient(curve, dim=3)[0]
    ecg = 1 - (y - curve).abs() / torch.hypot(slope, torch.ones_like(slope))
    side = torch.where(at["side"] < 0.5, at["left"], at["right"])
    along = (y - height * at["first"]) % (height * at["spacing"]).clamp_min(2)
    ticks = ((x - width * side).abs() < 1) & (along < 1)
    distance = torch.hypot(x - width * at["ring_x"], y - height * at["ring_y"])
    ring = 1 - (distance - height * at["radius"]).abs()
    drawn = torch.maximum(torch.maximum(ecg, ring), ticks.float()).clamp_min(0)
    return torch.maximum(images, per_frame(strength) * at["brightness"] * drawn)


_OVERLAY = {
    "beat": (0.2, 0.6), "phase": (0.0, 1.0), "peak": (0.03, 0.1), "baseline": (0.9, 0.98),
    "side": (0.0, 1.0), "left": (0.01, 0.08), "right": (0.91, 0.98), "first": (0.0, 1.0),
    "spacing": (0.04, 0.2), "ring_x": (0.35, 0.75), "ring_y": (0.01, 0.12), "radius": (0.01, 0.03),
    "brightness": (0.35, 1.0),
}  # fmt: skip
"""Smallest and largest values of an overlay: lengths as fractions of the frame's sides."""


_ECG = ((0.20, 0.03, 0.15), (0.30, 0.012, 1.0), (0.34, 0.012, -0.25), (0.55, 0.05, 0.3))
"""P wave, R and S peak and T wave: position and width as parts of a beat, and height."""


def drop_sector(images: Tensor, middle: Tensor, width: Tensor) -> Tensor:
    """Black out a sector of scan lines, as a rib's shadow does.

    Parameters
    ----------
    images : Tensor, (frame, 1, y, x) float
    middle, width : Tensor, (frame,) float
        Degrees. The middle is measured from vertical, positive to the right
        of the image. A width of 0 leaves the frame unchanged.
    """
    angle, _ = _polar(images)
    return images * ((angle - per_frame(middle)).abs() >= per_frame(width) / 2)


def crop_fan(images: Tensor, middle: Tensor, half_angle: Tensor, depth: Tensor) -> Tensor:
    """Black out what is outside a fan, as a scanner with a narrower or shallower sector does.

    Parameters
    ----------
    images : Tensor, (frame, 1, y, x) float
    middle, half_angle : Tensor, (frame,) float
        Degrees. The middle is measured from vertical, positive to the right of the image. At
        `FAN_ANGLE` or more, the frame keeps its sides.
    depth : Tensor, (frame,) float
        Length of the scan lines, relative to `FAN_DEPTH`. At 1 or more, the frame keeps its bottom.
    """
    angle, radius = _polar(images)
    radius = radius / (FAN_DEPTH * images.shape[2])
    wide, deep = half_angle >= FAN_ANGLE, depth >= 1
    inside = ((angle - per_frame(middle)).abs() < per_frame(half_angle)) | per_frame(wide)
    return images * (inside & ((radius < per_frame(depth)) | per_frame(deep)))


def _grid(keys: Tensor, rows: int, columns: int) -> Tensor:
    """Standard normal numbers, (frame, 1, rows, columns)."""
    return normals(keys, rows * columns).reshape(-1, 1, rows, columns)


def _stretch(grid: Tensor, images: Tensor) -> Tensor:
    """Interpolate a coarse grid to the size of images."""
    return functional.interpolate(grid, size=images.shape[2:], mode="bilinear")


def _polar(images: Tensor) -> tuple[Tensor, Tensor]:
    """Degrees from vertical about the fan's apex, and distance from it in pixels, (y, x) each."""
    y = torch.arange(images.shape[2], device=images.device) - FAN_APEX[1] * images.shape[2]
    x = torch.arange(images.shape[3], device=images.device) - FAN_APEX[0] * images.shape[3]
    return torch.atan2(x, y[:, None]) * (180 / math.pi), torch.hypot(x, y[:, None])
