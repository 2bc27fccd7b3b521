"""The steps of an epoch so far: their losses, which are checked for NaN, and their predictions.

`echo_train.training.trainer` adds each step. If the epoch is interrupted, they are saved with the
weights and the state of the optimiser.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from echo_common.errors import RunError
from echo_train.data.frame_set import FrameSet
from echo_train.targets.base import Collector

CHECK_EVERY = 64
"""Steps between two checks, each of which synchronises the device."""

CHECK_EVERY_ON_CPU = 8
"""The same where the loss is in memory; a step takes longer there."""

LISTED_FRAMES = 8
"""Frames that an error message lists."""


class UnfinishedEpoch:
    """What the steps of an epoch so far have left behind, other than weights and moments.

    The losses stay on the device. No random generator has a state: order and augmentation are
    functions of seed, epoch and frame.

    Parameters
    ----------
    epoch : int
        From 1.
    frames : FrameSet
        For messages.
    collector : Collector
        Of the predictions in training.

    Attributes
    ----------
    seconds : float
        Taken by the steps.
    """

    def __init__(self, epoch: int, frames: FrameSet, collector: Collector) -> None:
        self.epoch = epoch
        self.collector = collector
        self.seconds = 0.0
        self._frames = frames
        self._losses: list[Tensor] = []
        self._counts: list[int] = []
        self._unchecked: list[Tensor] = []

    def __len__(self) -> int:
        """Number of steps so far."""
        return len(self._losses)

    def add_loss(self, loss: Tensor, index: Tensor, counted: bool = True) -> float | None:
        """Add the mean loss of a batch.

        Returns the mean over the batches since the last check, and None between checks.

        Parameters
        ----------
        loss : Tensor, scalar
        index : Tensor, (frame,) int64
            The frames of the batch.
        counted : bool
            Whether the total includes the batch; False if another process reports it.

        Raises
        ------
        RunError
            If a loss is NaN or infinite; the message names the first such step
            and its frames.
        """
        self._losses.append(loss.detach())
        self._unchecked.append(index)
        self._counts.append(len(index) if counted else 0)
        every = CHECK_EVERY if loss.is_cuda else min(CHECK_EVERY, CHECK_EVERY_ON_CPU)
        if len(self._unchecked) < every:
            return None
        return float(self._check().mean())

    def total_loss(self) -> float:
        """Sum the loss over all frames of the epoch, which is checked as by `add_loss`."""
        self._check()
        losses = torch.stack(self._losses)
        return float((losses * torch.tensor(self._counts, device=losses.device)).sum())

    def state(self) -> dict[str, Any]:
        """Return what `restore` needs; the losses are checked as by `add_loss`."""
        self._check()
        losses = {"losses": torch.stack(self._losses), "counts": torch.tensor(self._counts)}
        return {
            "losses": losses,
            "predictions": self.collector.state(),
            "seconds": self.seconds,
        }

    def restore(self, state: dict[str, Any], device: torch.device) -> None:
        """Add the steps that `state` returned.

        Raises
        ------
        KeyError, RuntimeError, TypeError, ValueError
            If they are not those of this epoch.
        """
        losses, counts = state["losses"]["losses"], state["losses"]["counts"]
        if losses.ndim != 1 or losses.shape != counts.shape or not losses.isfinite().all():
            raise ValueError("the losses of its last epoch are not one for each step")
        self._losses += losses.to(device).unbind()
        self._counts += counts.tolist()
        self.collector.restore(state["predictions"])
        self.seconds = float(state["seconds"])

    def _check(self) -> np.ndarray:
        """Return the losses since the last check, if all are finite."""
        recent = np.empty(0)
        checked = len(self._losses) - len(self._unchecked)
        if self._unchecked:
            recent = torch.stack(self._losses[checked:]).cpu().numpy().astype(np.float64)
        invalid = np.flatnonzero(~np.isfinite(recent))
        if len(invalid):
            first = int(invalid[0])
            raise self._error(checked + first, self._unchecked[first], float(recent[first]))
        self._unchecked.clear()
        return recent

    def _error(self, step: int, index: Tensor, loss: float) -> RunError:
        batch = index.cpu().numpy()
        listed = ", ".join(
            f"{self._frames.video[frame]} frame {self._frames.number[frame]}"
            for frame in batch[:LISTED_FRAMES]
        )
        more = f" and {len(batch) - LISTED_FRAMES} more" if len(batch) > LISTED_FRAMES else ""
        return RunError(
            f"the loss of epoch {self.epoch}, step {step + 1} is "
            f"{'NaN' if math.isnan(loss) else 'infinite'}; its batch contains {listed}{more}. "
            "Inspect these frames with echo-prep preview, lower --learning-rate or set "
            "--clip-norm. The run folder keeps the state after the last complete epoch"
        )
