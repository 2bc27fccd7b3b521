"""What a target is: a number of channels, a loss, and what logits mean."""

from __future__ import annotations

import dataclasses
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from echo_train.data.frame_set import FrameSet
from echo_train.metrics.results import Results
from echo_train.transforms.batch import Batch


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a network's logits say of some frames.

    Attributes
    ----------
    masks : ndarray, (frame, y, x) uint8
        1 inside, 0 outside.
    points : ndarray, (frame, landmark, 2) float32, or None
        (x, y) in pixels; None where the target is the mask.
    """

    masks: np.ndarray
    points: np.ndarray | None = None


class Target(Protocol):
    """What is predicted.

    Attributes
    ----------
    channels : int
        Channels that the network puts out.
    """

    channels: int

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Mean loss of a batch, a scalar."""

    def collector(self, frames: FrameSet, device: torch.device) -> Collector:
        """Make an empty collector of predictions on some frames."""

    def predict(self, logits: Tensor) -> Prediction:
        """Turn logits into masks, and into landmarks where these are the target."""

    def state(self) -> dict[str, Tensor]:
        """What was learnt beside the network's weights; for the checkpoint."""

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up what `state` gave."""


class Collector(Protocol):
    """Takes predictions batch by batch, and gives the results of all of them."""

    def update(self, logits: Tensor, batch: Batch) -> None:
        """Take one batch; nothing waits for the device."""

    def results(self) -> Results:
        """Give the results of everything taken so far."""
