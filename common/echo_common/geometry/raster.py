"""From a contour to a mask: the one rasteriser of tracings and predictions alike."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from echo_common.errors import SettingsError
from echo_common.store.schema import METHODS

PIXEL_LIMIT = 1 << 20
"""Coordinates are held within this many pixels: far outside any image, inside an int32."""


def rasterise(contour: npt.ArrayLike, shape: tuple[int, int], method: str) -> np.ndarray:
    """Fill a closed contour by the rule of its method.

    Points are rounded to the nearest pixel first. `chords` is filled as
    EchoNet-Dynamic's own loader fills it, pixel for pixel what
    `skimage.draw.polygon` gives; the other methods as the paper fills them
    (section 3.5), with `cv2.fillPoly`, which paints more of the boundary.

    Parameters
    ----------
    contour : array_like, (point, 2) float
        (x, y) in pixels, pixel centres at integers, y down. Rows of NaN are
        padding and are passed over. Points outside the image are allowed; the
        mask is clipped.
    shape : tuple of int
        (height, width) of the mask.
    method : str
        One of `echo_common.store.schema.METHODS`.

    Returns
    -------
    mask : ndarray, (height, width) uint8
        1 inside and 0 outside; all 0 where fewer than three points are left.

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
    """Fill one contour a mask, as `rasterise` does.

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
    # Points are rounded all together: for forty of them, a NumPy call costs more than its work.
    points = np.concatenate([np.empty((0, 2)), *contours])
    sound = np.logical_not(np.isnan(points).any(axis=1))
    ends = np.cumsum([0, *map(len, contours)])
    # How many sound points stand before each end.
    ends = np.concatenate([[0], np.cumsum(sound)])[ends]
    pixels = np.rint(np.clip(points[sound], -PIXEL_LIMIT, PIXEL_LIMIT)).astype(np.int32)
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

    A centre counts where an odd number of edges cross its row to the right of
    it, or an odd number to the left, or where it is a vertex; an edge's end
    belongs to the edge below it on the right, and to the one above it on the
    left. Where nothing overlaps, that is the even-odd rule with the boundary.
    All of it is in integers, so nothing is decided by rounding. Whole rows are
    filled from their crossings, rather than one pixel after another tested.
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
    seen = (x >= left) & (x <= right) & (y >= top) & (y <= bottom)
    mask[y[seen], x[seen]] = 1


def _odd_crossings(pixels: np.ndarray, window: tuple[int, int, int, int]) -> np.ndarray:
    """Whether an odd number of edges cross to the right, and to the left, of each pixel.

    Returns
    -------
    odd : ndarray, (2, y, x) uint8
        Of the window's pixels.
    """
    top, bottom, left, right = window
    x, y = pixels.T
    run, rise = (np.concatenate([pixels[1:], pixels[:1]]) - pixels).T
    low, high = y + np.minimum(rise, 0), y + np.maximum(rise, 0)
    # Every (edge, row) at which the two meet; a level edge meets none.
    first = np.maximum(low, top)
    count = np.maximum(np.minimum(high, bottom) - first + 1, 0) * (rise != 0)
    edge = np.repeat(np.arange(len(pixels)), count)
    row = np.arange(len(edge)) + (first - np.cumsum(count) + count)[edge]
    steps, rest = np.divmod((row - y[edge]) * run[edge], rise[edge])
    floor = x[edge] + steps
    ceiling = floor + (rest != 0)
    # A row is crossed an even number of times, so what is odd on one side of a
    # crossing is odd on the other, and counting from the left does for both.
    height, width = bottom - top + 1, right - left + 2
    at = (row - top) * width - left
    toggles = np.concatenate(
        [
            (at + np.minimum(np.maximum(ceiling, left), right + 1))[row < high[edge]],
            (at + np.minimum(np.maximum(floor + 1, left), right + 1))[row > low[edge]]
            + height * width,
        ]
    )
    # Counts wrap at 256, which keeps odd and even; and every row ends even, so one sum
    # goes through them all.
    counts = np.bincount(toggles, minlength=2 * height * width).astype(np.uint8)
    odd = np.cumsum(counts, dtype=np.uint8) & 1
    return odd.reshape(2, height, width)[:, :, :-1]
