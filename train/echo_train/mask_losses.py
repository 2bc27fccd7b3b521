"""Losses of the mask target, by name: (frame, y, x) logits against 0|1 masks."""

from __future__ import annotations

from collections.abc import Callable

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


MASK_LOSSES: dict[str, Loss] = {"bce": binary_cross_entropy}
"""The first is the default for masks."""
