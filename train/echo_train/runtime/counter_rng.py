"""Counter-based random numbers: functions of a key, equal on every device and in any order.

The numbers of an ordinary generator depend on how frames are divided into
batches and devices. Here each frame of each epoch has its own key, and its random
numbers are hashes of the key. Augmentation and corruptions use them.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_BITS = 0xFFFFFFFF
_STEP = 0x9E3779B9
"""2**32 divided by the golden ratio, which spreads consecutive integers over the range."""


def frame_keys(index: Tensor, seed: int, epoch: int) -> Tensor:
    """Compute the key of each frame in an epoch.

    Parameters
    ----------
    index : Tensor, (frame,) int64
    seed, epoch : int

    Returns
    -------
    keys : Tensor, (frame,) int64
        In [0, 2**32).
    """
    mixed = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
    return _hash(_hash(index * _STEP) + mixed)


def uniforms(keys: Tensor, count: int) -> Tensor:
    """Draw numbers from the uniform distribution over [0, 1).

    Parameters
    ----------
    keys : Tensor, (frame,) int64
    count : int
        Numbers per frame.

    Returns
    -------
    numbers : Tensor, (frame, count) float32
    """
    # A float32 in [0, 1) has 24 significant bits.
    return (_draw(keys, count) >> 8).float() / (1 << 24)


def normals(keys: Tensor, count: int) -> Tensor:
    """Draw approximately normal numbers: mean 0, standard deviation 1, limited to ±3.5.

    Each number is the sum of the four bytes of one hash, which needs no logarithm.

    Parameters
    ----------
    keys : Tensor, (frame,) int64
    count : int
        Numbers per frame.

    Returns
    -------
    numbers : Tensor, (frame, count) float32
    """
    bits = _draw(keys, count)
    total = (bits & 255) + (bits >> 8 & 255) + (bits >> 16 & 255) + (bits >> 24)
    # Four independent bytes, each with the variance (256**2 - 1) / 12.
    return (total.float() - 510) / ((256**2 - 1) / 3) ** 0.5


def _draw(keys: Tensor, count: int) -> Tensor:
    return _hash(keys[:, None] + torch.arange(count, device=keys.device) * _STEP)


def _hash(values: Tensor) -> Tensor:
    """Mix the low 32 bits of integers bijectively ("lowbias32" by C. Wellons)."""
    # Products may overflow 64 bits; the low 32 bits, which are kept, are correct anyway.
    values = values & _BITS
    values = ((values ^ (values >> 16)) * 0x7FEB352D) & _BITS
    values = ((values ^ (values >> 15)) * 0x846CA68B) & _BITS
    return values ^ (values >> 16)
