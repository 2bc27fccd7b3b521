"""Losses of both targets, by name; each takes logits and targets and gives their mean.

A mask loss compares (frame, y, x) logits with a 0|1 mask, a landmark loss
(frame, landmark, y, x) logits with heatmaps in [0, 1].
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

Loss = Callable[[Tensor, Tensor], Tensor]


def binary_cross_entropy(logits: Tensor, masks: Tensor) -> Tensor:
    """Binary cross entropy of every pixel (the paper's section 3.5).

    Parameters
    ----------
    logits : Tensor, (frame, y, x) float
    masks : Tensor, (frame, y, x) float
        1 inside, 0 outside.

    Returns
    -------
    loss : Tensor, scalar
    """
    return functional.binary_cross_entropy_with_logits(logits, masks)


def spatial_cross_entropy(logits: Tensor, heatmaps: Tensor) -> Tensor:
    """Cross entropy over the pixels of each landmark's map.

    The map's softmax over all pixels is compared with the heatmap scaled to
    sum 1. Its gradient is their difference, nowhere zero by construction;
    the paper's softmax over channels has none wherever all heatmaps are zero.

    Parameters
    ----------
    logits : Tensor, (frame, landmark, y, x) float
    heatmaps : Tensor, (frame, landmark, y, x) float
        In [0, 1]. A landmark whose heatmap is all zero, outside the image, is
        left out.

    Returns
    -------
    loss : Tensor, scalar
        Mean over the landmarks that are in their image; 0 where none is.
    """
    expected = heatmaps.flatten(2)
    mass = expected.sum(2, keepdim=True)
    expected = expected / mass.clamp_min(torch.finfo(expected.dtype).tiny)
    entropy = -(expected * logits.flatten(2).log_softmax(2)).sum(2)
    return entropy.sum() / (mass > 0).sum().clamp_min(1)


MASK_LOSSES: dict[str, Loss] = {"bce": binary_cross_entropy}
"""The first is the default for masks."""

LANDMARK_LOSSES: dict[str, Loss] = {"spatial-ce": spatial_cross_entropy}
"""The first is the default for landmarks."""
