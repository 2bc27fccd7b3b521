"""Random numbers that are functions of a key: the same on every device, in any order.

A generator gives what comes next, so its numbers depend on how the work is cut
into batches and devices. Here every frame of every epoch has a key of its own,
and its numbers are a hash of it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_BITS = 0xFFFFFFFF
_STEP = 0x9E3779B9
"""2**32 over the golden ratio: keys and numbers that follow each other are far apart."""


def frame_keys(index: Tensor, seed: int, epoch: int) -> Tensor:
    """Give each frame of an epoch its key.

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
        Numbers a frame.

    Returns
    -------
    numbers : Tensor, (frame, count) float32
    """
    # 24 bits are what a float32 below 1 holds.
    return (_draw(keys, count) >> 8).float() / (1 << 24)


def normals(keys: Tensor, count: int) -> Tensor:
    """Draw numbers that are nearly normal: mean 0, standard deviation 1, within 3.5.

    The sum of a hash's four bytes: one hash a number, and no logarithm.

    Parameters
    ----------
    keys : Tensor, (frame,) int64
    count : int
        Numbers a frame.

    Returns
    -------
    numbers : Tensor, (frame, count) float32
    """
    bits = _draw(keys, count)
    total = (bits & 255) + (bits >> 8 & 255) + (bits >> 16 & 255) + (bits >> 24)
    # Four independent bytes, each of variance (256**2 - 1) / 12.
    return (total.float() - 510) / ((256**2 - 1) / 3) ** 0.5


def _draw(keys: Tensor, count: int) -> Tensor:
    return _hash(keys[:, None] + torch.arange(count, device=keys.device) * _STEP)


def _hash(values: Tensor) -> Tensor:
    """Mix the low 32 bits of integers, one to one ("lowbias32" of C. Wellons)."""
    # Products run over 64 bits and wrap; their low 32 bits, which are kept, are right all the same.
    values = values & _BITS
    values = ((values ^ (values >> 16)) * 0x7FEB352D) & _BITS
    values = ((values ^ (values >> 15)) * 0x846CA68B) & _BITS
    return values ^ (values >> 16)
