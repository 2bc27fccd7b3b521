"""Pairs of masks to compare: ellipses that overlap to varying degrees, some with stray pixels."""

from __future__ import annotations

import numpy as np


def ellipse(
    shape: tuple[int, int], centre: tuple[float, float], radii: tuple[float, float]
) -> np.ndarray:
    """A filled ellipse, bool; centre and radii as (x, y)."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    return ((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2 <= 1


def mask_pairs(
    count: int, shape: tuple[int, int] = (48, 40), seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Predicted and true masks, (frame, y, x) bool; every third prediction has stray pixels."""
    rng = np.random.default_rng(seed)
    pairs = []
    for number in range(count):
        centre = rng.uniform(0.3, 0.7, 2) * shape[::-1]
        radii = rng.uniform(5, 14, 2)
        true = ellipse(shape, tuple(centre), tuple(radii))
        predicted = ellipse(
            shape, tuple(centre + rng.normal(0, 3, 2)), tuple(radii * rng.uniform(0.7, 1.3, 2))
        )
        if number % 3 == 2:
            predicted ^= rng.random(shape) < 0.01
        pairs.append((predicted, true))
    predicted_masks, true_masks = zip(*pairs, strict=True)
    return np.array(predicted_masks), np.array(true_masks)
