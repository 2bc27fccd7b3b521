"""Overlap of predicted and true masks: Dice, IoU and pixel accuracy.

The primary metric is the foreground Dice of each frame, averaged over frames. The paper's "Dice" is
the share of correctly classified pixels, for which an all-black mask scores 1 minus the ventricle's
share of the image; it is reported as pixel accuracy.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor


def pixel_counts(predicted: Tensor, true: Tensor) -> Tensor:
    """Count the pixels of masks, on their device.

    Parameters
    ----------
    predicted, true : Tensor, (frame, y, x) bool

    Returns
    -------
    counts : Tensor, (frame, 4) int64
        Pixels in both masks, in the predicted one, in the true one, and classified correctly.
    """
    masks = torch.stack([predicted & true, predicted, true, predicted == true], dim=1)
    return masks.flatten(2).sum(2)


def packed_counts(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Count pixels as `pixel_counts` does, but on the host and from packed true masks.

    Parameters
    ----------
    predicted : ndarray, (frame, y, x) uint8
        0 or 1.
    true : ndarray, (frame, byte) uint8
        Eight pixels in a byte, as by `numpy.packbits`.
    """
    pixels = math.prod(predicted.shape[1:])
    packed = np.packbits(predicted.reshape(-1, pixels), axis=1)
    both, first, second, different = (
        np.bitwise_count(bits).sum(axis=1, dtype=np.int64)
        for bits in (packed & true, packed, true, packed ^ true)
    )
    return np.stack([both, first, second, pixels - different], axis=1)


def dice(counts: np.ndarray) -> np.ndarray:
    """Foreground Dice of each frame, ``2 both / (predicted + true)``.

    It is 1 if both masks are empty, and 0 if only one of them is. `counts`, here and below, are
    (frame, 4) int from `pixel_counts`; the result is (frame,) float64.
    """
    both, total = counts[:, 0], counts[:, 1] + counts[:, 2]
    return np.divide(2 * both, total, out=np.ones(len(counts)), where=total > 0)


def iou(counts: np.ndarray) -> np.ndarray:
    """Intersection over union of each frame's foreground; 1 if both masks are empty."""
    both = counts[:, 0]
    either = counts[:, 1] + counts[:, 2] - both
    return np.divide(both, either, out=np.ones(len(counts)), where=either > 0)


def missed(counts: np.ndarray) -> np.ndarray:
    """Whether the predicted mask is empty and the true one is not, (frame,) bool."""
    return (counts[:, 1] == 0) & (counts[:, 2] > 0)


def pooled_dice(counts: np.ndarray) -> float:
    """Foreground Dice over the pixels of all frames together; NaN without frames."""
    total = int((counts[:, 1] + counts[:, 2]).sum())
    if total == 0:
        return 1.0 if len(counts) else math.nan
    return 2 * int(counts[:, 0].sum()) / total


def pixel_accuracy(counts: np.ndarray, pixels: int) -> np.ndarray:
    """Share of correctly classified pixels in each frame, which the paper calls Dice.

    Its code averages the Dice over both classes with "micro" averaging, which is accuracy.
    """
    return counts[:, 3] / pixels
