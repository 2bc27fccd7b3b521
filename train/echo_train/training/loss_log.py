"""The losses of an epoch: kept on the device, looked at now and then."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from echo_common.errors import RunError
from echo_train.data.frame_set import FrameSet

LOOK_EVERY = 64
"""Steps between two looks; each waits for the device once."""

NAMED = 8
"""Frames that a message names."""


class LossLog:
    """Keeps the loss of each batch, and stops a run whose loss is no number.

    Parameters
    ----------
    frames : FrameSet
    epoch : int
        From 1; for messages.
    """

    def __init__(self, frames: FrameSet, epoch: int) -> None:
        self._frames = frames
        self._epoch = epoch
        self._losses: list[Tensor] = []
        self._batches: list[Tensor] = []
        self._counts: list[int] = []
        self._looked = 0

    def add(self, loss: Tensor, index: Tensor, counts: bool = True) -> float | None:
        """Keep the mean loss of a batch.

        Parameters
        ----------
        loss : Tensor, scalar
        index : Tensor, (frame,) int64
            The frames of the batch.
        counts : bool
            Whether they are in the total; not where another process has them as well.

        Returns
        -------
        recent : float or None
            Mean over the batches since the last look, at every
            `LOOK_EVERY`-th batch; None in between.

        Raises
        ------
        RunError
            If there is a loss that is no number; the message names the first
            batch and its frames.
        """
        self._losses.append(loss.detach())
        self._batches.append(index)
        self._counts.append(len(index) if counts else 0)
        if len(self._losses) - self._looked < LOOK_EVERY:
            return None
        return float(self._look().mean())

    def total(self) -> float:
        """Sum over all frames of the epoch.

        Raises
        ------
        RunError
            As `add` does.
        """
        self._look()
        losses = torch.stack(self._losses)
        return float((losses * torch.tensor(self._counts, device=losses.device)).sum())

    def _look(self) -> np.ndarray:
        recent = np.empty(0)
        if self._looked < len(self._losses):
            recent = torch.stack(self._losses[self._looked :]).double().cpu().numpy()
        wrong = np.flatnonzero(~np.isfinite(recent))
        if len(wrong):
            self._stop(self._looked + int(wrong[0]), float(recent[wrong[0]]))
        self._looked = len(self._losses)
        return recent

    def _stop(self, place: int, loss: float) -> None:
        index = self._batches[place].cpu().numpy()
        named = ", ".join(
            f"{self._frames.video[one]} frame {self._frames.number[one]}" for one in index[:NAMED]
        )
        more = f" and {len(index) - NAMED} more" if len(index) > NAMED else ""
        what = "no number" if math.isnan(loss) else "infinite"
        raise RunError(
            f"the loss is {what} in epoch {self._epoch} from step {place + 1} on, whose batch is "
            f"{named}{more}; look at these frames with echo-prep preview, lower --learning-rate, "
            "or set --clip-norm. The run folder keeps the last epoch before"
        )
