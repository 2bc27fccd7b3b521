"""Heatmaps of landmarks: pixel expansion x border band x falloff (the paper's section 3.6)."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
from echo_common.errors import SettingsError
from echo_common.settings import setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeatmapSettings:
    """The shape of a heatmap; the defaults are those of the paper's own code.

    Attributes
    ----------
    radius : float
        Pixel expansion: pixels within this distance of the landmark, in
        pixels, may be predicted.
    sigma : float
        Standard deviation of the Gaussian falloff, in pixels.
    band_kernel : int
        Side of the square kernel that dilates and erodes the mask, in pixels.
    band_iterations : int
        How often it does; 0 leaves the band out.
    """

    radius: float = setting(10.0, "Pixel expansion around a landmark, in pixels.", minimum=1)
    sigma: float = setting(5.0, "Standard deviation of a Gaussian heatmap, px.", minimum=0.1)
    band_kernel: int = setting(
        3, "Side of the kernel that widens the border band, in pixels.", minimum=1, maximum=31
    )
    band_iterations: int = setting(
        2, "How often the band's kernel is applied; 0 for no band.", minimum=0, maximum=100
    )


def border_band(mask: np.ndarray, settings: HeatmapSettings) -> np.ndarray:
    """Mark the pixels near the border of a mask: dilated XOR eroded.

    Parameters
    ----------
    mask : ndarray, (height, width) uint8
        1 inside, 0 outside.
    settings : HeatmapSettings

    Returns
    -------
    band : ndarray, (height, width) uint8
        1 in the band, 0 elsewhere; 1 everywhere where there are no iterations.
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
    """Draw one heatmap a landmark.

    Within the pixel expansion a heatmap falls off from the landmark, is scaled
    so that its largest value is 1 and its smallest 0, and is cut to the band.

    Parameters
    ----------
    points : ndarray, (landmark, 2) float
        (x, y) in pixels.
    band : ndarray, (height, width) uint8
        From `border_band`.
    falloff : str
        ``gaussian``, ``exp(-d^2 / (2 sigma^2))``, or ``euclidean``,
        ``1 - d / max(d)``, of the distance d to the landmark.
    settings : HeatmapSettings

    Returns
    -------
    heatmaps : ndarray, (landmark, height, width) uint8
        Times 1/255 in [0, 1]; all 0 where the landmark's expansion misses the
        image.

    Raises
    ------
    SettingsError
        If the falloff is not known.
    """
    if falloff not in ("gaussian", "euclidean"):
        raise SettingsError(f"no falloff {falloff!r}")
    height, width = band.shape
    heatmaps = np.zeros((len(points), height, width), dtype=np.uint8)
    for (x, y), heatmap in zip(np.asarray(points, dtype=np.float64), heatmaps, strict=True):
        # Only the square around the landmark is computed: a few hundred pixels of 12,544.
        rows = _span(y, settings.radius, height)
        columns = _span(x, settings.radius, width)
        down = (np.arange(rows.start, rows.stop) - y) ** 2
        across = (np.arange(columns.start, columns.stop) - x) ** 2
        squared = down[:, None] + across
        near = squared <= settings.radius**2
        if not near.any():
            continue
        if falloff == "gaussian":
            # The Gaussian of a sum is the product of two Gaussians: two short rows of exp.
            # Measured from the nearest pixel, as the scaling takes any factor out again, and a
            # landmark far outside the image would have a Gaussian of nothing but zeros.
            scale = -0.5 / settings.sigma**2
            values = np.exp(scale * (down - down.min()))[:, None] * np.exp(
                scale * (across - across.min())
            )
        else:
            distance = np.sqrt(squared)
            values = 1.0 - distance / max(float(distance[near].max()), 1e-12)
        lowest, highest = values[near].min(), values[near].max()
        # A single pixel, or several as far away as each other, are all the peak.
        span = highest - lowest
        scaled = (values - lowest) / span if span > 0 else np.ones_like(values)
        heatmap[rows, columns] = np.rint(255 * scaled) * near * band[rows, columns]
    return heatmaps


def _span(centre: float, radius: float, size: int) -> slice:
    first = min(max(int(np.ceil(centre - radius)), 0), size)
    last = min(max(int(np.floor(centre + radius)) + 1, first), size)
    return slice(first, last)
