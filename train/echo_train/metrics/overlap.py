"""What a run is judged by, as torchmetrics: state and its synchronisation are the library's.

The first figure is always the foreground Dice of each frame, averaged over
the frames. The paper's "Dice" is the share of pixels classed rightly, which
an all-black mask brings to 1 minus the ventricle's share of the image; it
stands beside under its own name, pixel accuracy.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


class MaskCounts(Metric):
    """Pixels that prediction and truth have, and have in common, frame by frame.

    `update` takes no step on the host; `compute` gives one table of counts.
    """

    full_state_update = False
    index: list[Tensor]
    counts: list[Tensor]

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.add_state("index", default=[], dist_reduce_fx="cat")
        self.add_state("counts", default=[], dist_reduce_fx="cat")

    def update(self, index: Tensor, predicted: Tensor, true: Tensor) -> None:
        """Count the pixels of some frames.

        Parameters
        ----------
        index : Tensor, (frame,) int64
            Which frames.
        predicted, true : Tensor, (frame, y, x) bool
        """
        pair = torch.stack([predicted & true, predicted, true, predicted == true], dim=1)
        self.index.append(index)
        self.counts.append(pair.flatten(2).sum(2))

    def compute(self) -> tuple[Tensor, Tensor]:
        """Give all counts so far.

        Returns
        -------
        index : Tensor, (frame,) int64
        counts : Tensor, (frame, 4) int64
            Pixels in both, predicted, true, and classed rightly.
        """
        return dim_zero_cat(self.index), dim_zero_cat(self.counts)


def packed_counts(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Count pixels as `MaskCounts` does, on the host, from packed true masks.

    Parameters
    ----------
    predicted : ndarray, (frame, y, x) uint8
        0 or 1.
    true : ndarray, (frame, byte) uint8
        Eight pixels in a byte, as by `numpy.packbits`.

    Returns
    -------
    counts : ndarray, (frame, 4) int64
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

    Where both masks are empty they agree, and the Dice is 1; where one of
    them is, it is 0.

    Parameters
    ----------
    counts : ndarray, (frame, 4) int
        From `MaskCounts`.

    Returns
    -------
    dice : ndarray, (frame,) float64
    """
    both, total = counts[:, 0], counts[:, 1] + counts[:, 2]
    return np.divide(2 * both, total, out=np.ones(len(counts)), where=total > 0)


def iou(counts: np.ndarray) -> np.ndarray:
    """Intersection over union of each frame's foreground; 1 where both masks are empty.

    Parameters
    ----------
    counts : ndarray, (frame, 4) int
        From `MaskCounts`.

    Returns
    -------
    iou : ndarray, (frame,) float64
    """
    both = counts[:, 0]
    either = counts[:, 1] + counts[:, 2] - both
    return np.divide(both, either, out=np.ones(len(counts)), where=either > 0)


def missed(counts: np.ndarray) -> np.ndarray:
    """Whether nothing was predicted where there is a ventricle, (frame,) bool."""
    return (counts[:, 1] == 0) & (counts[:, 2] > 0)


def pooled_dice(counts: np.ndarray) -> float:
    """Foreground Dice over the pixels of all frames together; NaN where there is no frame."""
    total = int((counts[:, 1] + counts[:, 2]).sum())
    if total == 0:
        return 1.0 if len(counts) else math.nan
    return 2 * int(counts[:, 0].sum()) / total


def pixel_accuracy(counts: np.ndarray, pixels: int) -> np.ndarray:
    """Share of each frame's pixels that are classed rightly: what the paper calls Dice.

    Its code averages over both classes, "micro", which is accuracy.
    """
    return counts[:, 3] / pixels
