"""Distance to the contour: the target of a landmark network's second head, and its loss.

Landmark maps locate a few points. The distance map adds the contour between
them. `dice-boundary`, a mask loss, uses the distance as well.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

REACH = 16
"""Largest distance in pixels; pixels farther from the contour are set to it."""


def distance_to_contour(masks: Tensor) -> Tensor:
    """Euclidean distance of each pixel to the contour, cut off at `REACH`.

    The contour consists of the mask's pixels with a neighbour outside the mask
    (above, below, left or right). Beyond the image's edge there are no
    neighbours. The distance is exact and computed on the device, as minima of
    shifted arrays along rows and then along columns.

    Parameters
    ----------
    masks : Tensor, (frame, y, x) float
        1 inside, 0 outside.

    Returns
    -------
    distance : Tensor, (frame, y, x) float
        In pixels, from 0 to `REACH`; `REACH` everywhere if a mask is empty or full.
    """
    inside = masks > 0.5
    outside = functional.pad((~inside).to(masks.dtype), (1, 1, 1, 1))
    outside_neighbours = (
        outside[:, 1:-1, :-2] + outside[:, 1:-1, 2:] + outside[:, :-2, 1:-1] + outside[:, 2:, 1:-1]
    )
    contour = inside & (outside_neighbours > 0)
    farthest = torch.full_like(masks, float(REACH**2))
    squared = torch.where(contour, 0.0, farthest)
    for axis in (2, 1):
        squared = _nearest_along(squared, axis)
    return squared.clamp_max(REACH**2).sqrt()


def distance_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Mean squared error between the sigmoid of the logits and the distance over `REACH`.

    Parameters
    ----------
    logits, masks : Tensor, (frame, y, x) float

    References
    ----------
    A U-Net with a landmark head and a head for the distance to the contour,
    on the same data set: arXiv 2207.06330.
    """
    return functional.mse_loss(logits.sigmoid(), distance_to_contour(masks) / REACH)


def _nearest_along(squared: Tensor, axis: int) -> Tensor:
    """Minimum along an axis of each neighbour's value plus its squared distance."""
    smallest = squared
    size = squared.shape[axis]
    for step in range(1, min(REACH, size - 1) + 1):
        candidates = squared + float(step**2)
        before = (step, 0, 0, 0) if axis == 2 else (0, 0, step, 0)
        after = (0, step, 0, 0) if axis == 2 else (0, 0, 0, step)
        forwards = functional.pad(candidates.narrow(axis, 0, size - step), before, value=torch.inf)
        backwards = functional.pad(
            candidates.narrow(axis, step, size - step), after, value=torch.inf
        )
        smallest = torch.minimum(smallest, torch.minimum(forwards, backwards))
    return smallest
