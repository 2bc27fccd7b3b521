"""Heatmaps of landmarks: pixel expansion x border band x falloff (the paper's section 3.6)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from echo_common.errors import SettingsError
from echo_common.store.schema import gaussian_reach
from echo_prep.geometry.settings import HeatmapSettings

_AT_ONCE = 1 << 15
"""Number of pixels that are computed together."""


def border_band(mask: np.ndarray, settings: HeatmapSettings) -> np.ndarray:
    """Mark the pixels near the border of a mask: dilated XOR eroded.

    Parameters
    ----------
    mask : ndarray, (height, width) uint8
        1 inside, 0 outside.

    Returns
    -------
    band : ndarray, (height, width) uint8
        1 in the band, 0 elsewhere; 1 everywhere if there are no iterations.
    """
    if settings.band_iterations == 0:
        return np.ones_like(mask)
    kernel = np.ones((settings.band_kernel, settings.band_kernel), dtype=np.uint8)
    wide = cv2.dilate(mask, kernel, iterations=settings.band_iterations)
    narrow = cv2.erode(mask, kernel, iterations=settings.band_iterations)
    return np.bitwise_xor(wide, narrow, dtype=np.uint8)


def draw_heatmaps(
    points: np.ndarray, band: np.ndarray, falloff: str, settings: HeatmapSettings
) -> np.ndarray:
    """Draw a heatmap of each landmark, for one frame or many.

    Within its reach a heatmap falls off from the landmark, is scaled so that its
    largest value is 1 and its smallest 0, and is set to 0 outside the band. The
    reach is the pixel expansion, a disc; that of a whole Gaussian is the square
    on which `skimage.filters.gaussian` of a one-pixel image is not 0.

    Parameters
    ----------
    points : ndarray, (…, landmark, 2) float
        (x, y) in pixels.
    band : ndarray, (…, height, width) uint8
        From `border_band`; one per frame.
    falloff : str
        ``gaussian``, ``exp(-d^2 / (2 sigma^2))``, or ``euclidean``,
        ``1 - d / max(d)``, of the distance d to the landmark.

    Returns
    -------
    heatmaps : ndarray, (…, landmark, height, width) uint8
        Times 1/255 in [0, 1]; all 0 if the landmark's expansion is outside the
        image.

    Raises
    ------
    SettingsError
        If the falloff is not known.
    """
    if falloff not in ("gaussian", "euclidean"):
        raise SettingsError(f"no falloff {falloff!r}")
    count, (height, width) = points.shape[-2], band.shape[-2:]
    heatmaps = np.zeros((*points.shape[:-1], height, width), dtype=np.uint8)
    # Only the square around a landmark is computed: a few hundred of 12,544 pixels.
    uncut = falloff == "gaussian" and settings.gaussian == "whole"
    reach = gaussian_reach(settings.sigma) if uncut else settings.radius
    side = int(2 * reach) + 1
    square = min(side, height), min(side, width)
    maps = _windows(heatmaps.reshape(-1, height, width), square)
    bands = _windows(band.reshape(-1, height, width), square)
    centres = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    # As many at once as fit into the processor's cache.
    at_once = max(1, _AT_ONCE // (square[0] * square[1]))
    for first in range(0, len(centres), at_once):
        x, y = centres[first : first + at_once].T
        top, down = _squares(y, reach, square[0], height)
        left, across = _squares(x, reach, square[1], width)
        extent = np.maximum if uncut else np.add
        near = extent(down[:, :, None], across[:, None, :]) <= reach**2
        visible = near.any(axis=(1, 2))
        number = np.arange(first, first + len(x))[visible]
        top, left = top[visible], left[visible]
        values = _scaled(down[visible], across[visible], near[visible], falloff, settings)
        maps[number, top, left] = np.rint(values) * bands[number // count, top, left]
    return heatmaps


def _scaled(
    down: np.ndarray,
    across: np.ndarray,
    near: np.ndarray,
    falloff: str,
    settings: HeatmapSettings,
) -> np.ndarray:
    """Falloff where it is near from 0 to 255, and 0 elsewhere; (landmark, y, x) float64."""
    if falloff == "gaussian":
        # The Gaussian of a sum is the product of two Gaussians: exp of two short rows.
        # Relative to the nearest pixel, since scaling removes any factor, and the Gaussian of a
        # landmark far outside the image would be 0 everywhere.
        scale = -0.5 / settings.sigma**2
        rows, columns = (
            np.exp(scale * (squares - squares.min(axis=1, keepdims=True)))
            for squares in (down, across)
        )
        values = rows[:, :, None] * columns[:, None, :]
    else:
        distance = np.sqrt(down[:, :, None] + across[:, None, :])
        farthest = np.where(near, distance, 0.0).max(axis=(1, 2), keepdims=True)
        values = 1.0 - distance / np.maximum(farthest, 1e-12)
    lowest = np.where(near, values, np.inf).min(axis=(1, 2), keepdims=True)
    values -= lowest
    values *= near
    # A single pixel, or several at the same distance, are all 1.
    span = values.max(axis=(1, 2), keepdims=True)
    flat = span == 0
    np.copyto(values, near, where=flat)
    values /= np.where(flat, 1.0, span)
    values *= 255
    return values


def _squares(
    centre: np.ndarray, radius: float, size: int, limit: int
) -> tuple[np.ndarray, np.ndarray]:
    """First pixel of each landmark's square on an axis, and its pixels' squared distances."""
    begin = np.clip(np.ceil(centre - radius), 0, limit - size).astype(np.intp)
    return begin, (begin[:, None] + np.arange(size) - centre[:, None]) ** 2


def _windows(images: np.ndarray, square: tuple[int, int]) -> np.ndarray:
    """Every square of each image, (image, top, left, y, x), as a view."""
    return sliding_window_view(images, square, axis=(1, 2), writeable=images.flags.writeable)
