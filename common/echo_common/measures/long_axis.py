"""The long axis of a contour: its apex, and the two ends of its mitral plane."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

UPRIGHT = 0.1
"""Pull of the principal axis towards the vertical, as a share of the variance: of a round ventricle
it would point anywhere."""

SKEWED = 0.1
"""Mean skewness along the axis from which on the apex is the lower end. Half an ellipse has 0.24;
below, the apex is taken to be up, as apical views are displayed."""

APEX = 0.98
"""Points at this share of the largest distance from the base are the apex: a contour drawn through
chords has two corners there."""

_ROUNDS = 4
"""The axis follows from the corners, and these from the axis; they settle in two or three rounds.
"""


def axis_points(contours: Sequence[np.ndarray]) -> np.ndarray:
    """Find apex and mitral plane in contours of one clip, whose apex is up or down in all frames.

    The ends of the mitral plane are the basal corners: the points of the contour farthest in the
    two directions halfway between the long axis and its perpendicular. The apex is the middle of
    the points farthest from the middle between them. The first axis is the principal one.

    Parameters
    ----------
    contours : sequence of ndarray, (point, 2) float
        Closed polygons of (x, y) in pixels; rows of NaN are padding.

    Returns
    -------
    points : ndarray, (contour, 3, 2) float64
        Apex, and the ends of the mitral plane to the left and to the right of the direction from
        base to apex. NaN for a contour without area.
    """
    points = np.full((len(contours), 3, 2), np.nan)
    lines = [np.asarray(line)[~np.isnan(line).any(axis=1)] for line in contours]
    axes = {
        number: axis
        for number, line in enumerate(lines)
        if (axis := _principal_axis(line)) is not None
    }
    if not axes:
        return points
    # The tail of the distribution of area along the axis is towards the narrower end.
    up = np.mean([skewness for _, skewness in axes.values()]) <= SKEWED
    for number, (down, _) in axes.items():
        points[number] = _settle(lines[number], down if up else -down)
    return points


def axis_points_of_landmarks(landmarks: np.ndarray) -> np.ndarray:
    """Apex and mitral plane of `anatomical` landmarks, which include them.

    Parameters
    ----------
    landmarks : ndarray, (frame, landmark, 2) float
        From the left end of the mitral plane over the apex to its right end.

    Returns
    -------
    points : ndarray, (frame, 3, 2) float64
        As from `axis_points`; NaN where the landmark is.
    """
    # The left wall has one landmark more if their number is even.
    apex = landmarks.shape[1] // 2
    return np.asarray(landmarks, dtype=np.float64)[:, [apex, 0, -1]]


def _principal_axis(contour: np.ndarray) -> tuple[np.ndarray, float] | None:
    """Downward unit vector along the largest extent, and the skewness of the area along it."""
    # OpenCV computes the moments of the enclosed area by Green's theorem.
    moments = cv2.moments(contour.astype(np.float32)) if len(contour) >= 3 else {"m00": 0.0}
    area = moments["m00"]
    if area == 0:
        return None
    spread = np.array([[moments["mu20"], moments["mu11"]], [moments["mu11"], moments["mu02"]]])
    pull = UPRIGHT * np.trace(spread) * np.diag([0, 1])
    # Of the ascending eigenvalues, the last is that of the largest extent.
    axis = np.linalg.eigh(spread + pull)[1][:, -1]
    x, y = axis if axis[1] >= 0 else -axis
    variance = (axis @ spread @ axis) / area
    third = (
        x**3 * moments["mu30"]
        + 3 * x**2 * y * moments["mu21"]
        + 3 * x * y**2 * moments["mu12"]
        + y**3 * moments["mu03"]
    ) / area
    return np.array([x, y]), float(third / variance**1.5)


def _settle(contour: np.ndarray, down: np.ndarray) -> np.ndarray:
    """Find apex and corners, (3, 2), from a first direction from apex to base."""
    for _ in range(_ROUNDS):
        right = np.array([down[1], -down[0]])
        corners = contour[[np.argmax(contour @ (down + side * right)) for side in (-1, 1)]]
        base = corners.mean(axis=0)
        distance = np.linalg.norm(contour - base, axis=1)
        far = contour[distance >= APEX * distance.max()].mean(axis=0)
        down = (base - far) / np.linalg.norm(base - far)
        apex = base - distance.max() * down
    return np.concatenate([apex[None], corners])
