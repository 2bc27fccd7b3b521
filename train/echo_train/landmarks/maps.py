"""Softmax over the pixels of landmark maps, and the mean position that it gives."""

from __future__ import annotations

import torch
from torch import Tensor


def mean_position(maps: Tensor) -> Tensor:
    """Mean position of maps whose sum is 1.

    Parameters
    ----------
    maps : Tensor, (frame, landmark, y, x) float

    Returns
    -------
    points : Tensor, (frame, landmark, 2) float
        (x, y) in pixels.
    """
    x = torch.arange(maps.shape[3], device=maps.device, dtype=maps.dtype)
    y = torch.arange(maps.shape[2], device=maps.device, dtype=maps.dtype)
    return torch.stack([(maps.sum(2) * x).sum(2), (maps.sum(3) * y).sum(2)], dim=2)


def spatial_softmax(logits: Tensor) -> Tensor:
    """Softmax over the pixels of each channel."""
    return logits.flatten(2).softmax(2).reshape(logits.shape)
