"""Counter-based random numbers: functions of a key, equal on every device and in any order.

The numbers of an ordinary generator depend on how frames are divided into
batches and devices. Here each frame of each epoch has its own key, and its random
numbers are hashes of the key. Augmentation and corruptions use them.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_STEP = 0x9E3779B9
"""2**32 divided by the golden ratio, which spreads consecutive integers over the range."""

BYTE_SUM_MEAN = 4 * 127.5
BYTE_SUM_DEVIATION = (4 * (256**2 - 1) / 12) ** 0.5


def epoch_key(seed: int, epoch: int, device: torch.device | None = None) -> Tensor:
    """Compute the key of an epoch, () int64, on the host, and copy it to the device."""
    mixed = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
    return torch.tensor(mixed, device=device)


def frame_keys(index: Tensor, key: Tensor) -> Tensor:
    """Compute the key of each frame in an epoch, (frame,) int32.

    Parameters
    ----------
    index : Tensor, (frame,) int64
    key : Tensor, () int64
        From `epoch_key`.
    """
    return _hash(_hash((index * _STEP).int()) + key.int())


def uniforms(keys: Tensor, count: int) -> Tensor:
    """Draw numbers, (frame, count) float32, from the uniform distribution over [0, 1).

    Parameters
    ----------
    keys : Tensor, (frame,) int32
    count : int
        Numbers per frame.
    """
    # A float32 in [0, 1) has 24 significant bits.
    return _shift(_draw(keys, count), 8).float() / (1 << 24)


def normals(keys: Tensor, count: int) -> Tensor:
    """Draw approximately normal numbers: mean 0, standard deviation 1, limited to ±3.5.

    Each number is a standardised `byte_sums`, which needs no logarithm. Parameters and result
    are those of `uniforms`.
    """
    return (byte_sums(keys, count).float() - BYTE_SUM_MEAN) / BYTE_SUM_DEVIATION


def byte_sums(keys: Tensor, count: int) -> Tensor:
    """Draw sums of four independent, uniform bytes.

    Returns
    -------
    sums : Tensor, (frame, count) int32
        In 0 to 1020, with mean `BYTE_SUM_MEAN` and standard deviation `BYTE_SUM_DEVIATION`.
    """
    bits = _draw(keys, count)
    # Two sums of two bytes each, next to each other in 32 bits, then the sum of both.
    pairs = (bits & 0x00FF00FF).add_((bits >> 8).bitwise_and_(0x00FF00FF))
    return (pairs & 0xFFFF).add_(pairs >> 16)


def _draw(keys: Tensor, count: int) -> Tensor:
    numbers = torch.arange(count, device=keys.device, dtype=torch.int32)
    return _hash(keys[:, None] + numbers * _signed(_STEP))


def _hash(values: Tensor) -> Tensor:
    """Mix 32-bit integers bijectively ("lowbias32" by C. Wellons).

    Products overflow to their low 32 bits, as they should. Half the bytes of 64-bit integers
    take a third of the time.
    """
    values = (values ^ _shift(values, 16)).mul_(_signed(0x7FEB352D))
    values = values.bitwise_xor_(_shift(values, 15)).mul_(_signed(0x846CA68B))
    return values.bitwise_xor_(_shift(values, 16))


def _shift(values: Tensor, bits: int) -> Tensor:
    """Shift right, filling with zeros; torch's shift of a negative number fills with ones."""
    return (values >> bits).bitwise_and_((1 << (32 - bits)) - 1)


def _signed(number: int) -> int:
    """Return the signed 32-bit integer with the same bits."""
    return number - (1 << 32) if number >> 31 else number
