"""The painting of the heart: its coordinates, what is drawn on it, and random waves."""

from __future__ import annotations

import cv2
import numpy as np

from echo_prep.synth.phantom.study import SIZE

MARGIN = 24
"""Margin painted around the frame, in pixels, so that tissue can move in from outside."""

SCALE = 1.5
"""Pixels of the painting per pixel of the frame."""

CANVAS = int((SIZE + 2 * MARGIN) * SCALE)
"""Height and width of the painting in its pixels."""

RIPPLES = 16
"""Cells of `Ventricle.ripples` along each side of the painting."""

SHIFT = 4
"""Fractional bits of the coordinates in OpenCV's drawing functions."""


def to_canvas(points: np.ndarray) -> np.ndarray:
    """Convert pixels of the frame to pixels of the painting; centres are at integers in both."""
    return (points + MARGIN + 0.5) * SCALE - 0.5


def fixed_point(points: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """Convert pixels of the frame to OpenCV's coordinates in a painting reduced by `scale`."""
    return np.rint(to_canvas(points) * scale * (1 << SHIFT)).astype(np.int32)


def fill(canvas: np.ndarray, outline: np.ndarray, level: float) -> None:
    """Fill an outline, (point, 2) in pixels of the frame, with an amplitude."""
    cv2.fillPoly(canvas, [fixed_point(outline)], (float(level),), shift=SHIFT)


def stroke(
    canvas: np.ndarray, line: np.ndarray, level: float, width: float, closed: bool = True
) -> None:
    """Draw a line, (point, 2) in pixels of the frame, with an amplitude."""
    thickness = max(1, round(width * SCALE))
    cv2.polylines(canvas, [fixed_point(line)], closed, (float(level),), thickness, shift=SHIFT)


def broken_line(canvas: np.ndarray, line: np.ndarray, level: np.ndarray, width: float) -> None:
    """Draw the parts of a line whose level is high enough; `level` is that of each segment."""
    pixels = fixed_point(line)
    for number in np.flatnonzero(level > 0.25):
        cv2.line(
            canvas,
            tuple(map(int, pixels[number])),
            tuple(map(int, pixels[number + 1])),
            float(level[number] + 0.4),
            max(1, round(width * SCALE * 0.6)),
            shift=SHIFT,
        )


def dot(canvas: np.ndarray, centre: np.ndarray, level: float, radius: float) -> None:
    """Draw a disk; centre and radius are in pixels of the frame."""
    x, y = fixed_point(centre)
    size = round(radius * SCALE * (1 << SHIFT))
    cv2.circle(canvas, (int(x), int(y)), size, (float(level),), -1, shift=SHIFT)


def waves(rng: np.random.Generator, sigma: float, cells: int) -> np.ndarray:
    """Smooth normal noise over the painting, with `cells` independent values along each side."""
    return _enlarge(rng.standard_normal((cells, cells), dtype=np.float32) * np.float32(sigma))


def patches(rng: np.random.Generator, sigma: float, cells: int) -> np.ndarray:
    """As `waves`, as factors: `sigma` is the standard deviation of the logarithm."""
    return np.asarray(cv2.exp(waves(rng, sigma, cells)))


def _enlarge(coarse: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.resize(coarse, (CANVAS, CANVAS), interpolation=cv2.INTER_CUBIC))


def ripple_shifts(ripples: np.ndarray) -> list[np.ndarray]:
    """For each pixel of the painting, how far away its tissue was before, along x and y."""
    return [_enlarge((axis * SCALE).astype(np.float32)) for axis in ripples]


def ripple_points(points: np.ndarray, ripples: np.ndarray) -> np.ndarray:
    """Find where `Ventricle.ripples` move points of the tissue at end-diastole, (point, 2)."""
    shifts, moved = ripple_shifts(ripples), points
    # The shift is known at the new position, so it is found by iteration.
    for _ in range(4):
        x, y = to_canvas(moved).astype(np.float32).T[:, None]
        at = [cv2.remap(s, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for s in shifts]
        moved = points - np.concatenate(at).T / SCALE
    return moved
