"""Masks as the target."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from echo_common.measures.outline import soft_outlines
from echo_train.data.frame_set import FrameSet
from echo_train.losses.mask_losses import MASK_LOSSES
from echo_train.losses.settings import LossSettings
from echo_train.metrics.frame_values import FrameValues
from echo_train.metrics.overlap import pixel_counts
from echo_train.metrics.results import Results
from echo_train.targets.base import Collector, Prediction
from echo_train.targets.postprocess import clean_map
from echo_train.transforms.batch import Batch
from echo_train.transforms.letterbox import Letterbox

CERTAIN = 0.75
"""Probability of pixels that are certainly inside; with less than its complement, they are
certainly outside. The area of the first, as a share of the area that is not certainly outside, is
the confidence of a mask: the stability score of Kirillov et al., Segment Anything, 2023."""


class MaskTarget:
    """One channel: the logit that a pixel is inside the ventricle.

    Parameters
    ----------
    settings : LossSettings
        The loss and its parameters, all of them set.
    weights : Tensor, (y, x) float, or None
        Weight of each pixel in the loss; the mean is 1.
    """

    def __init__(self, settings: LossSettings, weights: Tensor | None) -> None:
        self.channels = 1
        self._loss = MASK_LOSSES[settings.name("mask")]
        self._loss_settings = settings.mask
        self._weights = weights

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Mean loss of a batch, a scalar."""
        if self._weights is not None:
            # A checkpoint restores them on the CPU.
            self._weights = self._weights.to(logits.device)
        return self._loss(logits[:, 0], batch.masks, self._weights, self._loss_settings)

    def collector(
        self, frames: FrameSet, device: torch.device, order: np.ndarray | None = None
    ) -> Collector:
        """Make an empty collector for predicted masks; it measures every frame."""
        return MaskCollector(frames, device)

    def predict(
        self,
        logits: Tensor,
        letterbox: Letterbox | None = None,
        constant: np.ndarray | None = None,
        postprocess: str = "none",
    ) -> Prediction:
        """Turn logits into masks; see `Target.predict`."""
        if letterbox is not None:
            logits = letterbox.enlarge(logits)
        level = math.log(CERTAIN / (1 - CERTAIN))
        certain = (logits[:, 0] > level).sum((1, 2))
        possible = (logits[:, 0] > -level).sum((1, 2))
        confidence = (certain / possible.clamp_min(1)).cpu().numpy()
        values = logits[:, 0].float().cpu().numpy()
        if constant is not None:
            values[constant] = -1
        if postprocess != "none":
            values = np.array([clean_map(frame, postprocess) for frame in values])
        return Prediction(
            masks=(values > 0).astype(np.uint8),
            contours=soft_outlines(values, level=0),
            confidence=confidence,
            constant=constant,
        )

    def combine(self, logits: Sequence[Tensor]) -> Tensor:
        """Average probabilities; see `Target.combine`."""
        mean = torch.stack([part.float().sigmoid() for part in logits]).mean(dim=0)
        return mean.logit(eps=torch.finfo(mean.dtype).eps)

    def mirror(self, logits: Tensor) -> Tensor:
        """Mirror masks; see `Target.mirror`."""
        return logits.flip(3)

    def error_free_masks(self, batch: Batch) -> None:
        """Return None: a prediction without errors is the true mask."""

    def state(self) -> dict[str, Tensor]:
        """Return the weights of pixels and of the ventricle, computed from the training split."""
        state = {} if self._weights is None else {"pixel_weights": self._weights}
        if self._loss_settings.positive_weight is not None:
            # In double precision, so that a resumed run continues with exactly this weight.
            state["positive_weight"] = torch.tensor(
                self._loss_settings.positive_weight, dtype=torch.float64
            )
        return state

    def restore(self, state: dict[str, Tensor]) -> None:
        """Restore the weights of the run's loss."""
        self._weights = state.get("pixel_weights")
        if self._weights is not None and (
            self._weights.ndim != 2 or not self._weights.is_floating_point()
        ):
            raise ValueError("its weights of pixels are not those of an image")
        if "positive_weight" in state:
            self._loss_settings = dataclasses.replace(
                self._loss_settings, positive_weight=float(state["positive_weight"])
            )


class MaskCollector:
    """Counts the pixels of predicted and true masks on the device."""

    def __init__(self, frames: FrameSet, device: torch.device) -> None:
        self._frames = frames
        self._counts = FrameValues("counts").to(device)

    def update(self, logits: Tensor, batch: Batch) -> None:
        """Add one batch without waiting for the device."""
        counts = pixel_counts(logits[:, 0] > 0, batch.masks > 0)
        self._counts.update(index=batch.index, counts=counts)

    def results(self) -> Results:
        """Compute the results of all batches so far."""
        rows = {name: values.cpu().numpy() for name, values in self._counts.rows().items()}
        return Results(frames=self._frames, **rows)

    def state(self) -> dict[str, Tensor]:
        """Return index and counts of all frames so far."""
        return self._counts.rows()

    def restore(self, state: dict[str, Tensor]) -> None:
        """Add the frames that `state` returned; see `Collector.restore`."""
        if state["counts"].shape != (len(state["index"]), 4):
            raise ValueError("the predictions of its last epoch are not counts of pixels")
        device = self._counts.device
        self._counts.update(**{name: values.to(device) for name, values in state.items()})
