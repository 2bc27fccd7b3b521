"""What is predicted over an epoch, gathered batch by batch; the targets make the collectors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from torch import Tensor

from echo_train.data.frame_set import FrameSet
from echo_train.metrics.overlap import Landmarks, MaskCounts
from echo_train.metrics.results import Results
from echo_train.runtime import device as devices
from echo_train.transforms.batch import Batch

if TYPE_CHECKING:
    from echo_train.targets.factory import LandmarkTarget


class Collector(Protocol):
    """Takes predictions batch by batch, and gives the results of all of them."""

    def update(self, logits: Tensor, batch: Batch) -> None:
        """Take one batch; nothing waits for the device."""

    def results(self) -> Results:
        """Give the results of everything taken so far."""


class MaskCollector:
    """Counts predicted masks against the true ones, on the device."""

    def __init__(self, frames: FrameSet, device: torch.device) -> None:
        self._frames = frames
        self._counts = MaskCounts().to(device)

    def update(self, logits: Tensor, batch: Batch) -> None:
        """Take one batch; nothing waits for the device."""
        self._counts.update(batch.index, logits[:, 0] > 0, batch.masks > 0)

    def results(self) -> Results:
        """Give the results of everything taken so far."""
        index, counts = (values.cpu().numpy() for values in self._counts.compute())
        return Results(frames=self._frames, index=index, counts=counts)


class LandmarkCollector:
    """Keeps landmarks on the device, and turns them into masks when the results are asked for."""

    def __init__(self, frames: FrameSet, target: LandmarkTarget, device: torch.device) -> None:
        self._frames = frames
        self._target = target
        self._landmarks = Landmarks().to(device)

    def update(self, logits: Tensor, batch: Batch) -> None:
        """Take one batch; nothing waits for the device."""
        self._landmarks.update(batch.index, self._target.decode(logits), _pack(batch.masks > 0))

    def results(self) -> Results:
        """Give the results of everything taken so far."""
        frames = self._frames
        index, points, packed = self._landmarks.compute()
        found = self._target.correct(points.cpu().numpy())
        true = np.unpackbits(packed.cpu().numpy(), axis=1, count=math.prod(frames.shape))
        masks = self._target.masks(found, frames.shape)
        # Of all processes' frames already, so there is nothing to gather.
        counts = MaskCounts(sync_on_compute=False)
        counts.update(
            index.cpu(),
            torch.from_numpy(masks) > 0,
            torch.from_numpy(true.reshape(masks.shape)) > 0,
        )
        return Results(
            frames=frames,
            index=index.cpu().numpy(),
            counts=counts.compute()[1].numpy(),
            points=found,
        )


def _pack(masks: Tensor) -> Tensor:
    """Put eight pixels in a byte, the first highest: an epoch's masks are kept until it ends."""
    flat = masks.flatten(1)
    flat = torch.nn.functional.pad(flat, (0, -flat.shape[1] % 8))
    weights = devices.constant((128, 64, 32, 16, 8, 4, 2, 1), flat.device)
    return (flat.reshape(len(flat), -1, 8) * weights).sum(2).to(torch.uint8)
