"""From a contour to a mask, by the rasteriser of both tracings and predictions, and back."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from skimage.measure import find_contours

from echo_common.errors import SettingsError
from echo_common.store.schema import ANNOTATED, METHODS

CENTRES = ("exact", ANNOTATED)
"""Methods whose masks are the pixels with their centres inside."""

PIXEL_LIMIT = 1 << 20
"""Coordinates are clipped to this many pixels: far outside any image, within an int32."""

GROUP_PIXELS = 1 << 21
"""Pixels of the masks that are filled in one pass; a pass takes up to 25 bytes for each."""


def rasterise(contour: npt.ArrayLike, shape: tuple[int, int], method: str) -> np.ndarray:
    """Fill a closed contour by the rule of its method.

    `exact`, and `annotated` for predictions, sets the pixels whose centres are
    inside, without rounding the points, so that masks have the contours' area
    on average. For all other
    methods points are rounded to the nearest pixel first, and boundary pixels
    are set. `chords` is filled as in EchoNet-Dynamic's own loader, pixel for
    pixel as by `skimage.draw.polygon`; the paper's methods as in its section
    3.5, by `cv2.fillPoly`, which fills more boundary pixels.

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
    """Fill one mask per contour, (contour, height, width) uint8; see `rasterise`.

    The contours, (point, 2) float each, may have different numbers of points.
    """
    if method not in METHODS:
        raise SettingsError(f"no method {method!r}; choose one of {', '.join(METHODS)}")
    masks = np.zeros((len(contours), *shape), dtype=np.uint8)
    # All points are rounded together: for forty points, calling NumPy costs more than the work.
    points = np.concatenate([np.empty((0, 2)), *contours])
    valid = np.logical_not(np.isnan(points).any(axis=1))
    contour = np.repeat(np.arange(len(contours)), [len(points) for points in contours])[valid]
    pixels = np.clip(points[valid], -PIXEL_LIMIT, PIXEL_LIMIT)
    if method not in CENTRES:
        pixels = np.rint(pixels).astype(np.int32)
    ends = np.searchsorted(contour, np.arange(len(contours) + 1))
    filled = np.flatnonzero(np.diff(ends) >= 3)
    if method == "chords" or method in CENTRES:
        fill = _fill_centres if method in CENTRES else _fill_even_odd
        group = max(GROUP_PIXELS // max(math.prod(shape), 1), 1)
        for first in range(0, len(filled), group):
            chosen = filled[first : first + group]
            parts = [pixels[ends[number] : ends[number + 1]] for number in chosen]
            masks[chosen] = fill(parts, shape)
    else:
        for number in filled.tolist():
            cv2.fillPoly(masks[number], [pixels[ends[number] : ends[number + 1]]], (1,))
    return masks


def mask_outlines(mask: np.ndarray) -> list[np.ndarray]:
    """Trace the outlines of a mask's pieces and holes, for drawing.

    Parameters
    ----------
    mask : ndarray, (height, width) uint8
        0 or 1.

    Returns
    -------
    outlines : list of ndarray, (point, 2) float64
        Closed lines of (x, y) in pixels, halfway between pixels inside and outside; along the edge
        of the image they are half a pixel outside of it.

    Examples
    --------
    >>> [outline] = mask_outlines(np.ones((2, 3), dtype=np.uint8))
    >>> outline.min(axis=0), outline.max(axis=0)
    (array([-0.5, -0.5]), array([2.5, 1.5]))
    """
    return [outline[:, ::-1] - 1 for outline in find_contours(np.pad(mask, 1), 0.5)]


def _fill_even_odd(polygons: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Set the pixels whose centres are inside a polygon or on its boundary.

    A centre is set if an odd number of edges cross its row to the right, or an
    odd number to the left, or if it is a vertex. A vertex on the row belongs
    to the edge below it when counting on the right, and to the edge above it
    when counting on the left. For a simple polygon this is the even-odd rule
    including the boundary. All arithmetic is in integers, so rounding decides
    nothing. Rows are filled from their crossings instead of testing each pixel,
    and the rows of all polygons together.

    Parameters
    ----------
    polygons : list of ndarray, (point, 2) int
        At least one, each of at least one point.

    Returns
    -------
    masks : ndarray, (polygon, height, width) uint8
    """
    height, width = shape
    pixels, following, polygon = _edges(polygons)
    pixels = pixels.astype(np.int64)
    masks = np.zeros((len(polygons), height, width), dtype=np.uint8)
    for crossings in _crossings(pixels, following, polygon, shape):
        _fill_between(masks, crossings)
    x, y = pixels.T
    visible = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    masks[polygon[visible], y[visible], x[visible]] = 1
    return masks


def _fill_centres(polygons: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Set the pixels whose centres are inside a polygon, by the even-odd rule.

    Of two polygons that share an edge, exactly one sets a centre on it, so that
    no pixel is counted twice. The parameters are those of `_fill_even_odd`,
    with float coordinates.
    """
    height, width = shape
    starts, ends, polygon = _edges(polygons)
    # From the upper end down, so that both polygons at an edge round in the same way.
    upwards = (starts[:, 1] > ends[:, 1])[:, None]
    tops, bottoms = np.where(upwards, ends, starts), np.where(upwards, starts, ends)
    # Every (edge, row) that cross. A vertex on a row belongs to the edge below it.
    first = np.maximum(np.ceil(tops[:, 1]), 0).astype(np.int64)
    beyond_last = np.minimum(np.ceil(bottoms[:, 1]), height).astype(np.int64)
    count = np.maximum(beyond_last - first, 0)
    edge = np.repeat(np.arange(len(tops)), count)
    row = np.arange(len(edge)) + (first - np.cumsum(count) + count)[edge]
    (x, y), (run, rise) = tops[edge].T, (bottoms - tops)[edge].T
    beyond = np.ceil(x + (row - y) / rise * run)
    line = (polygon[edge] * height + row) * width
    masks = np.zeros((len(polygons), height, width), dtype=np.uint8)
    _fill_between(masks, line + np.clip(beyond, 0, width).astype(np.int64))
    return masks


def _edges(polygons: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Starts and ends of all edges, (edge, 2) each, and the number of each edge's polygon."""
    following = np.concatenate([np.roll(points, -1, axis=0) for points in polygons])
    polygon = np.repeat(np.arange(len(polygons)), [len(points) for points in polygons])
    return np.concatenate(polygons), following, polygon


def _fill_between(masks: np.ndarray, crossings: np.ndarray) -> None:
    """Fill masks in place from the first pixels beyond the crossings, as from `_crossings`."""
    # The edges cross a row an even number of times, so in sorted order each pair encloses
    # the pixels with an odd number of crossings to the left, and so to the right.
    starts, stops = np.sort(crossings).reshape(-1, 2).T
    lengths = stops - starts
    before = np.cumsum(lengths) - lengths
    masks.reshape(-1)[np.repeat(starts - before, lengths) + np.arange(lengths.sum())] = 1


def _crossings(
    starts: np.ndarray, ends: np.ndarray, polygon: np.ndarray, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Where edges cross the rows of the masks, when counting on the right and on the left.

    Parameters
    ----------
    starts, ends : ndarray, (edge, 2) int64
        (x, y) of each edge in pixels.
    polygon : ndarray, (edge,) int64
        Which polygon, and so which mask, an edge belongs to.

    Returns
    -------
    right, left : ndarray, (crossing,) int64
        The first pixel beyond each crossing, as an index into all masks; one
        beyond the right side of an image is the first of the next row.
    """
    height, width = shape
    x, y = starts.T
    run, rise = (ends - starts).T
    low, high = y + np.minimum(rise, 0), y + np.maximum(rise, 0)
    # Every (edge, row) that meet; a horizontal edge meets no row.
    first = np.maximum(low, 0)
    count = np.maximum(np.minimum(high, height - 1) - first + 1, 0) * (rise != 0)
    edge = np.repeat(np.arange(len(starts)), count)
    row = np.arange(len(edge)) + (first - np.cumsum(count) + count)[edge]
    steps, rest = np.divmod((row - y[edge]) * run[edge], rise[edge])
    floor = x[edge] + steps
    ceiling = floor + (rest != 0)
    line = (polygon[edge] * height + row) * width
    right = (line + np.clip(ceiling, 0, width))[row < high[edge]]
    left = (line + np.clip(floor + 1, 0, width))[row > low[edge]]
    return right, left
