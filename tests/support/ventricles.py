"""Simple shapes of a ventricle, whose measures have a closed form."""

from __future__ import annotations

import numpy as np


def turn(points: np.ndarray, degrees: float) -> np.ndarray:
    """Turn points, (…, 2), about (50, 50)."""
    angle = np.deg2rad(degrees)
    matrix = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.asarray((points - 50) @ matrix.T + 50)


def half_ellipse(length: float, width: float) -> np.ndarray:
    """Half an ellipse with its apex at (60, 10) and a flat base below it, (point, 2)."""
    angle = np.linspace(0, np.pi, 1001)
    return np.stack([60 - width / 2 * np.cos(angle), 10 + length * (1 - np.sin(angle))], axis=1)
