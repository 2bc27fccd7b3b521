"""From a contour to a mask: the rasteriser of both tracings and predictions."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from echo_common.errors import SettingsError
from echo_common.store.schema import METHODS

PIXEL_LIMIT = 1 << 20
"""Coordinates are clipped to this many pixels: far outside any image, within an int32."""


def rasterise(contour: npt.ArrayLike, shape: tuple[int, int], method: str) -> np.ndarray:
    """Fill a closed contour by the rule of its method.

    Points are rounded to the nearest pixel first. `chords` is filled as in
    EchoNet-Dynamic's own loader, pixel for pixel as by
    `skimage.draw.polygon`; the other methods as in the paper (section 3.5),
    by `cv2.fillPoly`, which fills more boundary pixels.

    Parameters
    ----------
    contour : array_like, (point, 2) float
        (x, y) in pixels, pixel centres at integers, y down. Rows with NaN
        are padding and are ignored. Points outside the image are allowed; the
        mask is clipped.
    shape : tuple of int
        (height, width) of the mask.
    method : str
        One of `echo_common.store.schema.METHODS`.

    Returns
    -------
    mask : ndarray, (height, width) uint8
        1 inside and 0 outside; all 0 for fewer than three points.

    Raises
    ------
    SettingsError
        If the method is not known.

    Examples
    --------
    >>> square = [[1, 1], [3, 1], [3, 3], [1, 3]]
    >>> rasterise(square, (5, 5), "convexhull").sum()
    np.uint64(9)
    """
    return rasterise_all([np.asarray(contour, dtype=np.float64)], shape, method)[0]


def rasterise_all(
    contours: Sequence[np.ndarray], shape: tuple[int, int], method: str
) -> np.ndarray:
    """Fill one mask per contour, as `rasterise` does.

    Parameters
    ----------
    contours : sequence of ndarray, (point, 2) float
        They may have different numbers of points.
    shape : tuple of int
        (height, width) of every mask.
    method : str
        One of `echo_common.store.schema.METHODS`.

    Returns
    -------
    masks : ndarray, (contour, height, width) uint8

    Raises
    ------
    SettingsError
        If the method is not known.
    """
    if method not in METHODS:
        raise SettingsError(f"no method {method!r}; choose one of {', '.join(METHODS)}")
    masks = np.zeros((len(contours), *shape), dtype=np.uint8)
    # All points are rounded together: for forty points, calling NumPy costs more than the work.
    points = np.concatenate([np.empty((0, 2)), *contours])
    valid = np.logical_not(np.isnan(points).any(axis=1))
    ends = np.cumsum([0, *map(len, contours)])
    # Number of valid points before each end.
    ends = np.concatenate([[0], np.cumsum(valid)])[ends]
    pixels = np.rint(np.clip(points[valid], -PIXEL_LIMIT, PIXEL_LIMIT)).astype(np.int32)
    for mask, start, stop in zip(masks, ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        if stop - start < 3:
            continue
        if method == "chords":
            _fill_even_odd(pixels[start:stop].astype(np.int64), mask)
        else:
            cv2.fillPoly(mask, [pixels[start:stop]], (1,))
    return masks


def _fill_even_odd(pixels: np.ndarray, mask: np.ndarray) -> None:
    """Set the pixels whose centres are inside a polygon or on its boundary.

    A centre is set if an odd number of edges cross its row to the right, or an
    odd number to the left, or if it is a vertex. A vertex on the row belongs
    to the edge below it when counting on the right, and to the edge above it
    when counting on the left. For a simple polygon this is the even-odd rule
    including the boundary. All arithmetic is in integers, so rounding decides
    nothing. Rows are filled from their crossings instead of testing each pixel.
    """
    (left, top), (right, bottom) = pixels.min(axis=0), pixels.max(axis=0)
    top, bottom = max(top, 0), min(bottom, mask.shape[0] - 1)
    left, right = max(left, 0), min(right, mask.shape[1] - 1)
    if top > bottom or left > right:
        return
    inside = _odd_crossings(pixels, (top, bottom, left, right))
    window = mask[top : bottom + 1, left : right + 1]
    window[...] = inside[0] | inside[1]
    x, y = pixels.T
    visible = (x >= left) & (x <= right) & (y >= top) & (y <= bottom)
    mask[y[visible], x[visible]] = 1


def _odd_crossings(pixels: np.ndarray, window: tuple[int, int, int, int]) -> np.ndarray:
    """Whether an odd number of edges cross the row to the right, and to the left, of each pixel.

    Returns
    -------
    odd : ndarray, (2, y, x) uint8
        For the pixels of the window.
    """
    top, bottom, left, right = window
    x, y = pixels.T
    run, rise = (np.concatenate([pixels[1:], pixels[:1]]) - pixels).T
    low, high = y + np.minimum(rise, 0), y + np.maximum(rise, 0)
    # Every (edge, row) that meet; a horizontal edge meets no row.
    first = np.maximum(low, top)
    count = np.maximum(np.minimum(high, bottom) - first + 1, 0) * (rise != 0)
    edge = np.repeat(np.arange(len(pixels)), count)
    row = np.arange(len(edge)) + (first - np.cumsum(count) + count)[edge]
    steps, rest = np.divmod((row - y[edge]) * run[edge], rise[edge])
    floor = x[edge] + steps
    ceiling = floor + (rest != 0)
    # The edges cross a row an even number of times, so the number to the right of a pixel is
    # odd if the number to the left is; counting from the left serves both sides.
    height, width = bottom - top + 1, right - left + 2
    at = (row - top) * width - left
    toggles = np.concatenate(
        [
            (at + np.minimum(np.maximum(ceiling, left), right + 1))[row < high[edge]],
            (at + np.minimum(np.maximum(floor + 1, left), right + 1))[row > low[edge]]
            + height * width,
        ]
    )
    # Counts wrap at 256, which keeps them odd or even. Every row ends even, so one cumulative
    # sum serves all rows.
    counts = np.bincount(toggles, minlength=2 * height * width).astype(np.uint8)
    odd = np.cumsum(counts, dtype=np.uint8) & 1
    return odd.reshape(2, height, width)[:, :, :-1]
