"""The mask losses in NumPy, frame by frame, from the formulas of their papers."""

from __future__ import annotations

import itertools

import numpy as np
from scipy import ndimage


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Sigmoid."""
    return 1 / (1 + np.exp(-logits))


def cross_entropy(
    logits: np.ndarray, masks: np.ndarray, weights: np.ndarray, positive: float = 1.0
) -> float:
    """Mean of ``-(positive y log p + (1 - y) log(1 - p))``."""
    probability = probabilities(logits)
    each = -(positive * masks * np.log(probability) + (1 - masks) * np.log(1 - probability))
    return float((weights * each).mean())


def tversky_indices(
    logits: np.ndarray, masks: np.ndarray, weights: np.ndarray, alpha: float, beta: float
) -> list[float]:
    """Tversky index of each frame, with one pixel added to numerator and denominator."""
    found = []
    for probability, mask in zip(probabilities(logits), masks, strict=True):
        true = mask == 1
        common = (weights * probability)[true].sum()
        false = (weights * probability)[~true].sum()
        missed = (weights * (1 - probability))[true].sum()
        found.append((common + 1) / (common + alpha * false + beta * missed + 1))
    return found


def dice(logits: np.ndarray, masks: np.ndarray, weights: np.ndarray) -> float:
    """One minus ``2 sum(p y) / (sum(p) + sum(y))``, with two pixels added to both."""
    losses = []
    for probability, mask in zip(probabilities(logits), masks, strict=True):
        both = (weights * probability * mask).sum()
        total = (weights * probability).sum() + (weights * mask).sum()
        losses.append(1 - (2 * both + 2) / (total + 2))
    return float(np.mean(losses))


def lovasz_hinge(logits: np.ndarray, masks: np.ndarray, weights: np.ndarray) -> float:
    """Choquet integral of one minus the IoU over the hinge errors.

    ``integral over t > 0 of loss({pixels whose error is above t})`` is the
    definition of the Lovász extension, which needs no sorting of pixels.
    """
    losses = []
    for scores, mask in zip(logits, masks, strict=True):
        errors = np.maximum(1 - scores * np.where(mask == 1, 1, -1), 0)
        steps = np.unique(np.concatenate([[0.0], errors.ravel()]))
        total = 0.0
        for low, high in itertools.pairwise(steps):
            wrong = errors > low
            predicted = (mask == 1) ^ wrong
            either = weights[(mask == 1) | predicted].sum()
            both = weights[(mask == 1) & predicted].sum()
            total += (high - low) * (1 - both / either)
        losses.append(total)
    return float(np.mean(losses))


def boundary(logits: np.ndarray, masks: np.ndarray, weights: np.ndarray, reach: float) -> float:
    """Mean of probability times signed distance to the mask's border pixels, over its reach."""
    losses = []
    for probability, mask in zip(probabilities(logits), masks, strict=True):
        inside = mask == 1
        # The image's edge is no border, so erosion counts everything beyond it as inside.
        border = inside & ~ndimage.binary_erosion(inside, border_value=1)
        distance = (
            ndimage.distance_transform_edt(~border) if border.any() else np.full(mask.shape, reach)
        )
        signed = np.where(inside, -1, 1) * np.minimum(distance, reach) / reach
        losses.append((weights * probability * signed).mean())
    return float(np.mean(losses))
