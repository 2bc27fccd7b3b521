"""The losses of an epoch, kept on the device and checked for NaN every few steps.

`echo_train.training.trainer` adds the loss of each batch.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from echo_common.errors import RunError
from echo_train.data.frame_set import FrameSet

CHECK_EVERY = 64
"""Steps between two checks, each of which synchronises the device."""

CHECK_EVERY_ON_CPU = 8
"""The same where the loss is in memory; a step takes longer there."""

LISTED_FRAMES = 8
"""Frames that an error message lists."""


class LossLog:
    """Keeps the loss of each batch and stops a run if one is NaN or infinite.

    Parameters
    ----------
    frames : FrameSet
    epoch : int
        From 1, for messages.
    """

    def __init__(self, frames: FrameSet, epoch: int) -> None:
        self._frames = frames
        self._epoch = epoch
        self._losses: list[Tensor] = []
        self._batches: list[Tensor] = []
        self._counts: list[int] = []
        self._checked = 0

    def add(self, loss: Tensor, index: Tensor, counted: bool = True) -> float | None:
        """Add the mean loss of a batch.

        Parameters
        ----------
        loss : Tensor, scalar
        index : Tensor, (frame,) int64
            The frames of the batch.
        counted : bool
            Whether the total includes the batch; False if another process reports it.

        Returns
        -------
        recent : float or None
            Mean over the batches since the last check; None between checks.

        Raises
        ------
        RunError
            If a loss is NaN or infinite; the message names the first such step
            and its frames.
        """
        self._losses.append(loss.detach())
        self._batches.append(index)
        self._counts.append(len(index) if counted else 0)
        every = CHECK_EVERY if loss.is_cuda else min(CHECK_EVERY, CHECK_EVERY_ON_CPU)
        if len(self._losses) - self._checked < every:
            return None
        return float(self._check().mean())

    def total(self) -> float:
        """Sum the loss over all frames of the epoch.

        Raises
        ------
        RunError
            As in `add`.
        """
        self._check()
        losses = torch.stack(self._losses)
        return float((losses * torch.tensor(self._counts, device=losses.device)).sum())

    def _check(self) -> np.ndarray:
        """Return the losses since the last check, if all are finite."""
        recent = np.empty(0)
        if self._checked < len(self._losses):
            recent = torch.stack(self._losses[self._checked :]).cpu().numpy().astype(np.float64)
        invalid = np.flatnonzero(~np.isfinite(recent))
        if len(invalid):
            raise self._error(self._checked + int(invalid[0]), float(recent[invalid[0]]))
        self._checked = len(self._losses)
        return recent

    def _error(self, step: int, loss: float) -> RunError:
        batch = self._batches[step].cpu().numpy()
        listed = ", ".join(
            f"{self._frames.video[frame]} frame {self._frames.number[frame]}"
            for frame in batch[:LISTED_FRAMES]
        )
        more = f" and {len(batch) - LISTED_FRAMES} more" if len(batch) > LISTED_FRAMES else ""
        return RunError(
            f"the loss of epoch {self._epoch}, step {step + 1} is "
            f"{'NaN' if math.isnan(loss) else 'infinite'}; its batch contains {listed}{more}. "
            "Inspect these frames with echo-prep preview, lower --learning-rate or set "
            "--clip-norm. The run folder keeps the state after the last complete epoch"
        )
