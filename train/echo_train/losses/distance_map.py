"""The distance map to the contour: what the second head of a landmark model learns.

A landmark map says where seven points are; the distance map says where the
whole border is, so that the network has to see the wall between them too.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

REACH = 16
"""Distances in pixels are cut off here: beyond, a pixel only knows that it is far away."""


def distance_to_contour(masks: Tensor) -> Tensor:
    """Euclidean distance of each pixel to the contour, cut off at `REACH`.

    The contour is the mask's pixels that have a neighbour outside it, above,
    below, left or right; the image's edge is not a neighbour. Exact, and
    computed on the device as two passes of shifted minima.

    Parameters
    ----------
    masks : Tensor, (frame, y, x) float
        1 inside, 0 outside.

    Returns
    -------
    distance : Tensor, (frame, y, x) float
        In pixels, from 0 to `REACH`; `REACH` everywhere where a mask is empty
        or full.
    """
    inside = masks > 0.5
    outside = functional.pad((~inside).to(masks.dtype), (1, 1, 1, 1))
    beside = (
        outside[:, 1:-1, :-2] + outside[:, 1:-1, 2:] + outside[:, :-2, 1:-1] + outside[:, 2:, 1:-1]
    )
    contour = inside & (beside > 0)
    far = torch.full_like(masks, float(REACH**2))
    squared = torch.where(contour, 0.0, far)
    for axis in (2, 1):
        squared = _nearest_along(squared, axis)
    return squared.clamp_max(REACH**2).sqrt()


def distance_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Mean squared error between the sigmoid and the distance in units of `REACH`.

    Parameters
    ----------
    logits, masks : Tensor, (frame, y, x) float

    Returns
    -------
    loss : Tensor, scalar

    References
    ----------
    A U-Net with a landmark head and a head for the distance to the contour,
    on the same data set: arXiv 2207.06330.
    """
    return functional.mse_loss(logits.sigmoid(), distance_to_contour(masks) / REACH)


def _nearest_along(squared: Tensor, axis: int) -> Tensor:
    """Least of each value and its neighbours along an axis, each plus its squared distance."""
    best = squared
    size = squared.shape[axis]
    for step in range(1, min(REACH, size - 1) + 1):
        moved = squared + float(step**2)
        pad = (step, 0, 0, 0) if axis == 2 else (0, 0, step, 0)
        back = (0, step, 0, 0) if axis == 2 else (0, 0, 0, step)
        forth = functional.pad(moved.narrow(axis, 0, size - step), pad, value=torch.inf)
        behind = functional.pad(moved.narrow(axis, step, size - step), back, value=torch.inf)
        best = torch.minimum(best, torch.minimum(forth, behind))
    return best
