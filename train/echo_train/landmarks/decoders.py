"""From a landmark map to a point with subpixel accuracy, and the confidence of the map."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from echo_train.landmarks.maps import mean_position

WINDOW = 4
"""Pixels from the maximum to each side of the window that `centroid` averages."""

SURROUNDINGS = 10
"""Pixels from the maximum to each side of the square that `confidence` sums.

This is the paper's pixel expansion.
"""

_SMOOTHING = 2.0
"""Standard deviation in pixels of the smoothing before `centroid` finds the maximum."""

_BLUR = 1.0
"""Standard deviation in pixels of the smoothing before `dark` takes second differences."""


def argmax(maps: Tensor) -> Tensor:
    """Position of the highest pixel.

    Parameters
    ----------
    maps : Tensor, (frame, landmark, y, x) float
        At least 0.

    Returns
    -------
    points : Tensor, (frame, landmark, 2) float
        (x, y) in pixels, pixel centres at integers.
    """
    width = maps.shape[-1]
    best = maps.flatten(2).argmax(2)
    return torch.stack([best % width, best // width], dim=2).to(maps.dtype)


def centroid(maps: Tensor) -> Tensor:
    """Mean position in the 9x9 window around the maximum of the smoothed map; as `argmax`.

    In a noisy image the map is ragged, and its highest pixel may lie anywhere
    on the peak.
    """
    peaks = argmax(_blur(maps, _SMOOTHING))
    window = _windows(maps, peaks, WINDOW)
    weights = window / window.sum((2, 3), keepdim=True).clamp_min(torch.finfo(maps.dtype).tiny)
    # An all-zero map has no centre of mass; its first pixel is returned.
    shift = mean_position(weights) - WINDOW
    return peaks + torch.where(window.sum((2, 3))[..., None] > 0, shift, 0.0)


def dark(maps: Tensor) -> Tensor:
    """Peak of a Gaussian fitted to the smoothed map at its maximum; as `argmax`.

    One Newton step on the logarithm, which is a parabola for a Gaussian.

    References
    ----------
    Zhang, Zhu, Dai, Ye, Zhu: Distribution-Aware Coordinate Representation for
    Human Pose Estimation, CVPR 2020.
    """
    smooth = _blur(maps, _BLUR)
    peaks = argmax(smooth)
    # The outermost pixels have no second difference; the step starts one pixel further in.
    height, width = maps.shape[-2:]
    inner = torch.stack(
        [peaks[..., 0].clamp(1, width - 2), peaks[..., 1].clamp(1, height - 2)], dim=2
    )
    near = _windows(smooth, inner, 1).clamp_min(1e-30).log()
    dx = (near[..., 1, 2] - near[..., 1, 0]) / 2
    dy = (near[..., 2, 1] - near[..., 0, 1]) / 2
    dxx = near[..., 1, 2] - 2 * near[..., 1, 1] + near[..., 1, 0]
    dyy = near[..., 2, 1] - 2 * near[..., 1, 1] + near[..., 0, 1]
    dxy = (near[..., 2, 2] - near[..., 2, 0] - near[..., 0, 2] + near[..., 0, 0]) / 4
    determinant = dxx * dyy - dxy**2
    peaked = (determinant > 1e-12) & (dxx < 0)
    safe = torch.where(peaked, determinant, 1.0)
    step = torch.stack([dxy * dy - dyy * dx, dxy * dx - dxx * dy], dim=2) / safe[..., None]
    # If the step is longer than a pixel, the parabola does not fit.
    step = torch.where(peaked[..., None], step, 0.0).clamp(-1, 1)
    return inner + step


def soft_argmax(maps: Tensor) -> Tensor:
    """Mean position of the full map, which `dsnt` trains; inaccurate if the map is noisy."""
    total = maps.sum((2, 3), keepdim=True).clamp_min(torch.finfo(maps.dtype).tiny)
    return mean_position(maps / total)


def confidence(maps: Tensor, spatial: bool) -> Tensor:
    """Confidence of a map in its landmark, (frame, landmark) float in [0, 1].

    For a distribution, its share within `SURROUNDINGS` of the maximum; for a
    heatmap, the height of the maximum.

    Parameters
    ----------
    maps : Tensor, (frame, landmark, y, x) float
    spatial : bool
        Whether a map is a distribution.
    """
    if not spatial:
        return maps.amax((2, 3))
    return _windows(maps, argmax(maps), SURROUNDINGS).sum((2, 3)).clamp(0, 1)


DECODERS: dict[str, Callable[[Tensor], Tensor]] = {
    "centroid": centroid,
    "argmax": argmax,
    "dark": dark,
    "soft-argmax": soft_argmax,
}
"""The first is the default."""


def _windows(maps: Tensor, centres: Tensor, reach: int) -> Tensor:
    """Cut squares around pixels out of the maps; zeros outside the image."""
    offsets = torch.arange(2 * reach + 1, device=maps.device)
    padded = functional.pad(maps, (reach,) * 4)
    columns = centres[..., 0].long()[..., None, None] + offsets
    rows = centres[..., 1].long()[..., None, None] + offsets[:, None]
    frames = torch.arange(maps.shape[0], device=maps.device)[:, None, None, None]
    landmarks = torch.arange(maps.shape[1], device=maps.device)[:, None, None]
    return padded[frames, landmarks, rows, columns]


def _blur(maps: Tensor, deviation: float) -> Tensor:
    # Two products with banded matrices: on a CPU ten times as fast as a convolution of one
    # channel, and every training batch needs it.
    height, width = maps.shape[-2:]
    return _smoother(height, deviation, maps) @ (maps @ _smoother(width, deviation, maps))


def _smoother(size: int, deviation: float, like: Tensor) -> Tensor:
    """Compute the symmetric matrix that smooths a row of pixels, padded with zeros."""
    reach = round(3 * deviation)
    positions = torch.arange(size, device=like.device, dtype=like.dtype)
    taps = torch.arange(-reach, reach + 1, device=like.device, dtype=like.dtype)
    distances = (positions[:, None] - positions).abs()
    weights = torch.exp(-0.5 * (distances / deviation) ** 2)
    total = torch.exp(-0.5 * (taps / deviation) ** 2).sum()
    return torch.where(distances <= reach, weights / total, 0.0)
