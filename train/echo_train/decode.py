"""Reading a landmark's place off its map, below the pixel."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

WINDOW = 4
"""Reach in pixels, to each side of the maximum, of the windows that decoders look at."""


def argmax(logits: Tensor) -> Tensor:
    """The pixel of the highest logit; never better than half a pixel.

    Parameters
    ----------
    logits : Tensor, (frame, landmark, y, x) float

    Returns
    -------
    points : Tensor, (frame, landmark, 2) float
        (x, y) in pixels, pixel centres at integers.
    """
    width = logits.shape[-1]
    best = logits.flatten(2).argmax(2)
    return torch.stack([best % width, best // width], dim=2).to(logits.dtype)


def centroid(logits: Tensor) -> Tensor:
    """Mean place of the map's softmax in the 9x9 window about its maximum.

    Parameters
    ----------
    logits : Tensor, (frame, landmark, y, x) float

    Returns
    -------
    points : Tensor, (frame, landmark, 2) float
    """
    peaks = argmax(logits)
    reach = torch.arange(-WINDOW, WINDOW + 1, device=logits.device)
    padded = functional.pad(logits, (WINDOW,) * 4, value=-torch.inf)
    columns = peaks[..., 0].long()[..., None] + WINDOW + reach
    rows = peaks[..., 1].long()[..., None] + WINDOW + reach
    frames = torch.arange(len(logits), device=logits.device)[:, None, None, None]
    landmarks = torch.arange(logits.shape[1], device=logits.device)[None, :, None, None]
    window = padded[frames, landmarks, rows[..., :, None], columns[..., None, :]]
    weights = window.flatten(2).softmax(2).reshape(window.shape)
    shift_x = (weights.sum(2) * reach).sum(-1)
    shift_y = (weights.sum(3) * reach).sum(-1)
    return peaks + torch.stack([shift_x, shift_y], dim=2)


DECODERS: dict[str, Callable[[Tensor], Tensor]] = {"centroid": centroid, "argmax": argmax}
"""The first is the default."""
