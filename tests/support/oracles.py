"""Procedures of EchoNet-Dynamic's loader and of the paper, written as directly as possible.

They are slow, and independent of the packages under test: they work on full
images, point by point, and use SciPy and scikit-image where the packages use OpenCV.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import cv2
import numpy as np
import skimage.draw
import skimage.filters
from scipy import ndimage

Point = tuple[int, int]

RADIUS, SIGMA, ITERATIONS = 10, 5, 2
"""The paper's pixel expansion, Gaussian and border band."""


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """Foreground Dice of two masks."""
    return 2 * float((first & second).sum()) / float(first.sum() + second.sum())


def reference_mask(rows: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The mask that EchoNet-Dynamic's loader draws from the rows of a trace, (21, 4)."""
    x1, y1, x2, y2 = rows.T
    x = np.concatenate((x1[1:], np.flip(x2[1:])))
    y = np.concatenate((y1[1:], np.flip(y2[1:])))
    inside = skimage.draw.polygon(np.rint(y).astype(int), np.rint(x).astype(int), shape)
    mask = np.zeros(shape, np.uint8)
    mask[inside] = 1
    return mask


def all_points(rows: np.ndarray) -> np.ndarray:
    """All 42 points of a trace: the long axis, then the contour in order."""
    return np.array([*rows[0].reshape(2, 2), *rows[1:, :2], *rows[:0:-1, 2:]])


def paper_points(rows: np.ndarray) -> list[Point]:
    """The paper's coordinates: truncated to whole numbers, including the long axis."""
    return [(int(x), int(y)) for x, y in all_points(rows)]


def y_order(rows: np.ndarray, points: Sequence[Point]) -> list[Point]:
    """Points sorted by y alone: X1, Y1 of all rows come before X2, Y2 of all at the same height."""
    apex, base, *contour = points
    file_order = [apex, *contour[: len(rows) - 1], base, *contour[: len(rows) - 2 : -1]]
    return sorted(file_order, key=lambda point: point[1])


def centroid_order(points: Sequence[Point]) -> list[Point]:
    """Points sorted by angle about their mean (section 3.5)."""
    cx = sum(x for x, _ in points) / len(points)
    cy = sum(y for _, y in points) / len(points)
    return sorted(points, key=lambda point: math.atan2(point[1] - cy, point[0] - cx))


def paper_mask(rows: np.ndarray, method: str, shape: tuple[int, int]) -> np.ndarray:
    """The paper's mask by one of its three methods (section 3.5)."""
    points = paper_points(rows)
    ordered = {
        "simplesort": lambda: y_order(rows, points),
        "centroid": lambda: centroid_order(points),
        "convexhull": lambda: cv2.convexHull(np.array(points, np.int32))[:, 0],
    }[method]()
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.array(ordered, np.int32)], (1,))
    return mask


def angles(points: Sequence[Point]) -> list[float]:
    """Angle at each vertex of a closed polygon, in degrees."""
    result = []
    for previous, vertex, following in zip(
        points[-1:] + list(points[:-1]), points, list(points[1:]) + points[:1], strict=True
    ):
        if previous == vertex or following == vertex:
            result.append(180.0)
            continue
        turn = math.degrees(
            math.atan2(previous[1] - vertex[1], previous[0] - vertex[0])
            - math.atan2(following[1] - vertex[1], following[0] - vertex[0])
        )
        turn = abs(turn) % 360
        result.append(min(turn, 360 - turn))
    return result


def paper_band(mask: np.ndarray) -> np.ndarray:
    """The paper's border band: dilated XOR eroded, 3x3 kernel, two iterations (section 3.6)."""
    square = np.ones((3, 3), bool)
    wide = ndimage.binary_dilation(mask, square, iterations=ITERATIONS)
    # OpenCV's erosion removes nothing at the edge of the image.
    narrow = ndimage.binary_erosion(mask, square, iterations=ITERATIONS, border_value=1)
    return wide ^ narrow


def paper_heatmap(
    point: tuple[int, int],
    band: np.ndarray,
    falloff: str,
    radius: float = RADIUS,
    gaussian: str = "cut",
) -> np.ndarray:
    """The paper's heatmap of one landmark, float64 in [0, 1] (section 3.6)."""
    pixel = np.zeros(band.shape)
    pixel[point[1], point[0]] = 1
    if falloff == "gaussian" and gaussian == "whole":
        # The paper's code, which does not cut the Gaussian as its text does.
        values = skimage.filters.gaussian(pixel, sigma=radius / 2)
        smallest = values[values != 0].min()
        return np.clip((values - smallest) / (values.max() - smallest), 0, None) * band
    distance = ndimage.distance_transform_edt(pixel == 0)
    expanded = distance <= radius
    if falloff == "gaussian":
        values = skimage.filters.gaussian(pixel, sigma=radius / 2) * expanded
    else:
        values = (1 - distance / distance[expanded].max()) * expanded
    reached = values[expanded]
    scaled = (values - reached.min()) / (reached.max() - reached.min())
    return np.where(expanded, scaled, 0) * band


def along(contour: np.ndarray, fraction: float) -> np.ndarray:
    """The point at a fraction of a closed polygon's length from its first vertex."""
    ring = np.concatenate([contour, contour[:1]])
    remaining = fraction * sum(math.dist(a, b) for a, b in itertools.pairwise(ring))
    for start, stop in itertools.pairwise(ring):
        step = math.dist(start, stop)
        if remaining <= step:
            return start + (stop - start) * (remaining / step if step else 0)
        remaining -= step
    return ring[-1]
