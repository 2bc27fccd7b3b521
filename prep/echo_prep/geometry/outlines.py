"""From an outline of the ventricle, or its mask, to a trace: long axis, mitral corners and chords.

Archives of masks or polygons do not say where the apex and the mitral plane
are. They are found from the shape: the mitral plane is the part of the outline
that is nearly straight, between two corners; the apex is where the outline is
farthest from its middle. Both walls are divided at equal shares of their arc
length, so that the last chord is the mitral plane, also if it is oblique.
"""

from __future__ import annotations

import numpy as np

from echo_common.geometry.contours import shoelace_area
from echo_common.geometry.raster import mask_outlines

CHORDS = 20
"""Chords of a trace, as in EchoNet-Dynamic."""

_SAMPLES = 300
"""Points of an outline at equal arc length: half a pixel apart at 112 pixels."""

_BASE = 0.08, 0.34
"""Shortest and longest mitral plane, as shares of the circumference; walls are longer."""

_WALL = 0.06
"""Length of wall that shows its direction at a mitral corner, as a share of the circumference."""

_BEND, _UPRIGHT = 4.0, 0.2
"""Weights, against the two corners' turns in half circles: of the mitral plane's area beyond its
chord, by the chord's square and 1.5 (its height for a parabola), and of pointing downwards."""

_FARTHEST = 20
"""Power of the distance from the mitral plane's middle by which points count towards the apex."""

_SMOOTHING = 1.0
"""Standard deviation in pixels of the Gaussian that removes the steps of a mask's outline."""

_SHORT_BASE = 0.08
"""Share of the circumference below the last chord of a short-axis view."""


def mask_outline(mask: np.ndarray) -> np.ndarray:
    """Trace the outline of the largest piece of a mask.

    Parameters
    ----------
    mask : ndarray, (height, width) uint8
        0 or 1.

    Returns
    -------
    outline : ndarray, (point, 2) float64
        Closed line of (x, y) in pixels, halfway between pixels inside and outside; of no point if
        the mask is empty.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return np.empty((0, 2))
    box = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    outline = max(mask_outlines(box), key=shoelace_area)[:-1]
    corner = np.array([columns[0], rows[0]])
    return np.asarray(outline + corner)


def trace_outline(
    outline: np.ndarray, smooth: bool = False, short_axis: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Find long axis and chords of an outline.

    Parameters
    ----------
    outline : ndarray, (point, 2) float64
        Closed line of (x, y) in square pixels, with the apex above the mitral plane or beside it;
        at least three points.
    smooth : bool
        Remove the steps of a mask's outline.
    short_axis : bool
        Whether the view has no apex. Its highest and lowest point, seen from the centre, then take
        the places of apex and mitral plane.

    Returns
    -------
    long_axis : ndarray, (2, 2) float64
        Apex and middle of the mitral plane.
    contour : ndarray, (40, 2) float64
        Ends of the chords on the wall at the left, seen with the apex up, from apex to base, then
        on the other wall from base to apex.
    """
    raw = _resample(_clockwise(outline))
    points = _smoothed(raw) if smooth else raw
    if short_axis:
        apex, left, right = _vertical_axis(points)
    else:
        # Clockwise on the screen, from the corner on the right along the mitral plane to the left.
        right, left = _mitral_corners(points)
        apex = _apex(points, left, right)
    walls = []
    for corner, step in ((left, -1), (right, 1)):
        wall = _divide(points, apex, corner, step)
        # Smoothing would round the corner off.
        wall[-1] = raw[corner]
        walls.append(wall)
    base = (walls[0][-1] + walls[1][-1]) / 2
    return np.stack([points[apex], base]), np.concatenate([walls[0], walls[1][::-1]])


def _clockwise(outline: np.ndarray) -> np.ndarray:
    """Turn an outline so that it is clockwise on the screen, where y is down."""
    (x, y), (u, v) = outline.T, np.roll(outline, -1, axis=0).T
    return outline if (x * v - u * y).sum() > 0 else outline[::-1]


def _resample(outline: np.ndarray) -> np.ndarray:
    """Points of a closed line at equal arc length, (sample, 2)."""
    ring = np.concatenate([outline, outline[:1]])
    steps = np.hypot(*np.diff(ring, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    wanted = np.arange(_SAMPLES) * along[-1] / _SAMPLES
    return np.stack([np.interp(wanted, along, axis) for axis in ring.T], axis=1)


def _smoothed(points: np.ndarray) -> np.ndarray:
    """Convolve a closed line with a Gaussian along its arc."""
    step = np.hypot(*np.diff(points, axis=0).T).mean()
    frequency = 2 * np.pi * np.fft.rfftfreq(len(points))
    gain = np.exp(-0.5 * (frequency * _SMOOTHING / max(step, 1e-9)) ** 2)
    return np.fft.irfft(np.fft.rfft(points, axis=0) * gain[:, None], len(points), axis=0)


def _mitral_corners(points: np.ndarray) -> tuple[int, int]:
    """Samples where the mitral plane begins and ends, clockwise."""
    count = len(points)
    spans = np.arange(int(_BASE[0] * count), int(_BASE[1] * count))
    begin = np.arange(count)[:, None]
    end = (begin + spans) % count
    chord = points[end] - points[begin]
    squared = np.maximum((chord**2).sum(axis=2), 1e-12)
    # Area between the line and its chord, from the sum of the triangles with the origin.
    around = np.concatenate([points, points, points[:1]])
    steps = around[:-1, 0] * around[1:, 1] - around[1:, 0] * around[:-1, 1]
    swept = np.concatenate([[0.0], np.cumsum(steps)])
    closing = points[end, 0] * points[begin, 1] - points[begin, 0] * points[end, 1]
    area = (swept[begin + spans] - swept[begin] + closing) / 2
    wall = max(1, int(_WALL * count))
    before, after = np.roll(points, wall, axis=0) - points, np.roll(points, -wall, axis=0) - points
    turns = _angle(chord, -before[:, None]) + _angle(-chord, -after[end])
    downwards = -chord[..., 0] / np.sqrt(squared)
    score = turns / np.pi - _BEND * 1.5 * np.abs(area) / squared + _UPRIGHT * downwards
    first, span = np.unravel_index(int(np.argmax(score)), score.shape)
    return int(first), int(end[first, span])


def _apex(points: np.ndarray, left: int, right: int) -> int:
    """Sample at the apex, from those at the corners of the mitral plane."""
    beyond = points - (points[left] + points[right]) / 2
    distance = np.hypot(*beyond.T)
    # Not the farthest point itself: on a blunt apex the least noise decides which that is.
    weight = (distance / distance.max()) ** _FARTHEST
    angle = _angle(beyond, weight @ beyond)
    # Not on the mitral plane, which may be curved.
    return int(np.argmin(np.where(distance > distance.max() / 2, angle, np.inf)))


def _angle(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Angles between vectors, from 0 to pi."""
    cross = first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]
    return np.arctan2(np.abs(cross), (first * second).sum(axis=-1))


def _vertical_axis(points: np.ndarray) -> tuple[int, int, int]:
    """Samples at the top, and left and right of the bottom, of a short-axis view."""
    count, centred = len(points), points - points.mean(axis=0)
    angle = np.arctan2(centred[:, 0], -centred[:, 1])
    top, bottom = int(np.argmin(np.abs(angle))), int(np.argmax(np.abs(angle)))
    reach = max(1, int(_SHORT_BASE * count / 2))
    return top, (bottom + reach) % count, (bottom - reach) % count


def _divide(points: np.ndarray, apex: int, corner: int, step: int) -> np.ndarray:
    """Ends of the chords on a wall from the apex to a mitral corner, (20, 2)."""
    count = len(points)
    steps = np.arange((step * (corner - apex)) % count + 1)
    wall = points[(apex + step * steps) % count]
    # The first chord is half a step below the apex, as in EchoNet-Dynamic.
    position = (np.arange(CHORDS) + 0.5) / (CHORDS - 0.5) * steps[-1]
    return np.stack([np.interp(position, steps, axis) for axis in wall.T], axis=1)
