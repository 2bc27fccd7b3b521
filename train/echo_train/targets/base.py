"""The interface of a target: a number of channels, a loss, and the reading of logits."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from echo_common.measures.ventricle import Measures, measure_contours
from echo_train.data.frame_set import FrameSet
from echo_train.metrics.results import Results
from echo_train.transforms.batch import Batch
from echo_train.transforms.letterbox import Letterbox


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prediction:
    """Masks, and landmarks if these are the target, read from a network's logits.

    Attributes
    ----------
    masks : ndarray, (frame, y, x) uint8
        1 inside, 0 outside.
    points : ndarray, (frame, landmark, 2) float32, or None
        (x, y) in pixels; NaN for a missed landmark, None if the target is the mask.
    contours : ndarray, (frame, point, 2) float64
        Contours rebuilt from the points, or traced in the logits of the masks, finer than pixels;
        rows of NaN are padding, and all are NaN if there is no ventricle.
    axes : ndarray, (frame, 3, 2) float64, or None
        Apex and ends of the mitral plane, if they are among the landmarks.
    found : ndarray, (frame, landmark) bool, or None
        Whether each landmark was found in its map; the shape prior, if there is one, fills in the
        others.
    constant : ndarray, (frame,) bool, or None
        Frames of constant gray, in which nothing is found.
    confidence : ndarray, (frame,) float
        In [0, 1]: how sharp the border of a mask is (`echo_train.targets.mask.CERTAIN`), or the
        mean confidence of the landmarks, before post-processing or the prior corrects them.
    """

    masks: np.ndarray
    contours: np.ndarray
    confidence: np.ndarray
    points: np.ndarray | None = None
    axes: np.ndarray | None = None
    found: np.ndarray | None = None
    constant: np.ndarray | None = None

    def measures(self) -> Measures:
        """Area, length and volume of the ventricle in each frame, from its contour."""
        return measure_contours(self.contours, self.axes)

    def reasons(self) -> np.ndarray:
        """Why no ventricle was found, (frame,) of str; empty where one was."""
        empty = ~self.masks.any(axis=(1, 2))
        constant = np.zeros_like(empty) if self.constant is None else self.constant
        lost = np.zeros_like(empty) if self.found is None else ~self.found.any(axis=1)
        texts = ["constant gray", "no landmark found", "no ventricle found"]
        return np.select([constant, lost, empty], texts, "")


class Target(Protocol):
    """What a network predicts.

    Attributes
    ----------
    channels : int
        Output channels of the network.
    """

    channels: int

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Mean loss of a batch, a scalar."""

    def collector(
        self, frames: FrameSet, device: torch.device, order: np.ndarray | None = None
    ) -> Collector:
        """Make an empty collector for predictions of some frames.

        Parameters
        ----------
        order : ndarray, (sample,) int64, optional
            Frames of a training epoch in the order of their batches. A target
            that is slow to measure measures a fixed sample of them; by default
            every frame is measured.
        """

    def predict(
        self,
        logits: Tensor,
        letterbox: Letterbox | None = None,
        constant: np.ndarray | None = None,
        postprocess: str = "none",
    ) -> Prediction:
        """Turn logits into masks, and into landmarks if these are the target.

        Parameters
        ----------
        logits : Tensor, (frame, channel, y, x) float
        letterbox : Letterbox, optional
            How frames of another size were scaled to the network's input. The prediction is in the
            pixels of these frames, and its masks are as fine as they are.
        constant : ndarray, (frame,) bool, optional
            Frames of constant gray, in which nothing is found.
        postprocess : str
            One of `echo_train.runs.settings.POSTPROCESSING`, for masks; a contour through landmarks
            is one piece.
        """

    def combine(self, logits: Sequence[Tensor]) -> Tensor:
        """Average the predictions of several models of this target, each of the same frames.

        Parameters
        ----------
        logits : sequence of Tensor (frame, channel, y, x) float

        Returns
        -------
        logits : Tensor, (frame, channel, y, x) float
            For `predict`.
        """

    def mirror(self, logits: Tensor) -> Tensor:
        """Turn the logits of mirrored frames, (frame, channel, y, x), into those of the frames."""

    def error_free_masks(self, batch: Batch) -> np.ndarray | None:
        """Masks of a prediction without errors, (frame, y, x) uint8; None for the true masks."""

    def state(self) -> dict[str, Tensor]:
        """Return what a checkpoint must keep in addition to the network's weights."""

    def restore(self, state: dict[str, Tensor]) -> None:
        """Restore what `state` returned."""


class Collector(Protocol):
    """Accumulates predictions batch by batch and computes the results of all of them."""

    def update(self, logits: Tensor, batch: Batch) -> None:
        """Add one batch without waiting for the device."""

    def results(self) -> Results:
        """Compute the results of all batches so far."""

    def state(self) -> dict[str, Any]:
        """Return all batches so far, as a checkpoint keeps them."""

    def restore(self, state: dict[str, Any]) -> None:
        """Add the batches that `state` returned.

        Raises
        ------
        KeyError, RuntimeError, TypeError, ValueError
            If they are none of these frames.
        """
