"""Landmarks as the target: their maps, the points read from them, and the masks rebuilt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from echo_common.geometry.contours import contours_from_landmarks
from echo_common.geometry.raster import rasterise_all
from echo_common.measures.long_axis import axis_points_of_landmarks
from echo_train.data.frame_set import Choice, FrameSet
from echo_train.landmarks.decoders import DECODERS, confidence
from echo_train.landmarks.settings import LandmarkSettings
from echo_train.landmarks.shape_prior import ShapePrior, fit_shape_prior
from echo_train.losses.distance_map import distance_loss
from echo_train.losses.landmark_losses import LANDMARK_LOSSES
from echo_train.losses.settings import LossSettings
from echo_train.metrics.frame_values import FrameValues
from echo_train.metrics.overlap import packed_counts
from echo_train.metrics.results import Results
from echo_train.runtime import device as devices
from echo_train.targets.base import Collector, Prediction
from echo_train.transforms.augment import mirror_order
from echo_train.transforms.batch import Batch
from echo_train.transforms.letterbox import Letterbox

TRAINING_SAMPLE = 512
"""Training frames whose landmarks become masks for the training Dice.

The standard error of their mean Dice is 1/23 of the Dice's standard deviation over frames.
"""


class LandmarkTarget:
    """One map per landmark, whose peak is the landmark, and optionally a distance map.

    Parameters
    ----------
    train_points : ndarray, (frame, landmark, 2) float, or None
        True landmarks of the training split, from which the prior is computed;
        None if `restore` loads it.
    """

    def __init__(
        self,
        losses: LossSettings,
        decoding: LandmarkSettings,
        choice: Choice,
        train_points: np.ndarray | None,
    ) -> None:
        assert choice.landmarks is not None
        self._loss = LANDMARK_LOSSES[losses.name("landmarks")]
        self._maps = choice.landmarks.count + self._loss.extra_channels
        self._distance_weight = losses.distance_weight
        self.channels = self._maps + (losses.distance_weight > 0)
        self.identity = choice.landmarks.identity
        self.method = choice.method
        self._curve = decoding.curve
        self._decoder = DECODERS[decoding.decoder]
        self._min_confidence = decoding.min_confidence
        self.landmarks = choice.landmarks.count
        self._uses_prior = decoding.shape_prior
        self._prior = None
        if decoding.shape_prior and train_points is not None:
            self._prior = fit_shape_prior(train_points)

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Mean loss of a batch, a scalar."""
        assert batch.heatmaps is not None and batch.points is not None
        loss = self._loss.value(logits[:, : self._maps], batch.heatmaps, batch.points)
        if self._distance_weight > 0:
            loss = loss + self._distance_weight * distance_loss(logits[:, -1], batch.masks)
        return loss

    def maps(self, logits: Tensor) -> Tensor:
        """Turn logits into landmark maps, (frame, landmark, y, x) float, at least 0."""
        return self._loss.maps(logits[:, : self._maps])

    def decode(self, logits: Tensor) -> Tensor:
        """Locate the landmarks, (frame, landmark, 2) float; NaN for a missed landmark.

        Parameters
        ----------
        logits : Tensor, (frame, channel, y, x) float
        """
        return self._locate(logits)[0]

    def _locate(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Landmarks as from `decode`, and their confidence, (frame, landmark) float."""
        maps = self.maps(logits)
        sure = confidence(maps, self._loss.spatial)
        return self._decoder(maps).where((sure >= self._min_confidence)[..., None], torch.nan), sure

    def collector(
        self, frames: FrameSet, device: torch.device, order: np.ndarray | None = None
    ) -> Collector:
        """Make an empty collector for predicted landmarks; see `Target.collector`."""
        measured = None if order is None else np.isin(order, training_sample(frames))
        return LandmarkCollector(frames, self, device, measured)

    def predict(
        self,
        logits: Tensor,
        letterbox: Letterbox | None = None,
        constant: np.ndarray | None = None,
        postprocess: str = "none",
    ) -> Prediction:
        """Turn logits into landmarks, and the landmarks into masks; see `Target.predict`."""
        decoded, sure = (part.cpu().numpy() for part in self._locate(logits))
        points, found = self.correct(decoded), ~np.isnan(decoded).any(axis=2)
        if constant is not None and constant.any():
            # The prior would fill in the mean shape.
            points = np.where(constant[:, None, None], np.float32(np.nan), points)
            found = found & ~constant[:, None]
        shape = (logits.shape[2], logits.shape[3])
        if letterbox is not None:
            points, shape = letterbox.enlarge_points(points), letterbox.size
        contours = self.contours(points)
        masks = rasterise_all(list(contours), shape, self.method)
        axes = axis_points_of_landmarks(points) if self.identity == "anatomical" else None
        return Prediction(
            masks=masks,
            contours=contours,
            points=points,
            axes=axes,
            confidence=sure.mean(axis=1),
            found=found,
            constant=constant,
        )

    def combine(self, logits: Sequence[Tensor]) -> Tensor:
        """Average maps, or logits if these are the maps; see `Target.combine`."""
        if not self._loss.spatial:
            return torch.stack(list(logits)).mean(dim=0)
        mean = torch.stack([self.maps(part) for part in logits]).mean(dim=0)
        return mean.clamp_min(torch.finfo(mean.dtype).tiny).log()

    def mirror(self, logits: Tensor) -> Tensor:
        """Mirror maps, and exchange those of the left and the right wall; see `Target.mirror`."""
        order = mirror_order(self.identity, self.landmarks)
        return logits[:, [*order, *range(self.landmarks, logits.shape[1])]].flip(3)

    def error_free_masks(self, batch: Batch) -> np.ndarray:
        """Masks rebuilt from the true landmarks, (frame, y, x) uint8."""
        assert batch.points is not None
        shape = (batch.masks.shape[1], batch.masks.shape[2])
        return self.masks(batch.points.cpu().numpy(), shape)

    def correct(self, points: np.ndarray) -> np.ndarray:
        """Correct implausible landmarks by the shape prior, if the run uses one."""
        return points if self._prior is None else self._prior.correct(points)

    def state(self) -> dict[str, Tensor]:
        """Return the shape prior, if the run uses one."""
        return {} if self._prior is None else self._prior.to_tensors()

    def restore(self, state: dict[str, Tensor]) -> None:
        """Restore the shape prior, if the run uses one."""
        if state:
            self._prior = ShapePrior.from_tensors(state)
        if (self._prior is not None) != self._uses_prior:
            raise ValueError("the shape prior of its settings is missing, or it has one too many")
        if self._prior is not None and self._prior.mean.shape != (2 * self.landmarks,):
            raise ValueError(f"its shape prior is not one of {self.landmarks} landmarks")

    def contours(self, points: np.ndarray) -> np.ndarray:
        """Rebuild contours, (frame, point, 2) float64, from landmarks, (frame, landmark, 2).

        Rows of NaN are padding.
        """
        return contours_from_landmarks(points, self.identity, self._curve)

    def masks(self, points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Rebuild masks, (frame, y, x) uint8, with the rasteriser that fills the tracings.

        Parameters
        ----------
        points : ndarray, (frame, landmark, 2) float
        shape : tuple of int
            (height, width).
        """
        return rasterise_all(list(self.contours(points)), shape, self.method)


class LandmarkCollector:
    """Keeps landmarks on the device and turns them into masks when the epoch ends.

    Parameters
    ----------
    measured : ndarray, (sample,) bool, or None
        Which frames to measure, in the order in which batches bring them; None
        for all.
    """

    def __init__(
        self,
        frames: FrameSet,
        target: LandmarkTarget,
        device: torch.device,
        measured: np.ndarray | None,
    ) -> None:
        self._frames = frames
        self._target = target
        # The true masks are kept as well, since augmentation changes them.
        self._values = FrameValues("points", "masks").to(device)
        self._measured = measured
        self._position = 0

    def update(self, logits: Tensor, batch: Batch) -> None:
        """Add one batch without waiting for the device."""
        index, masks = batch.index, batch.masks
        if self._measured is not None:
            start, self._position = self._position, self._position + len(index)
            chosen = np.flatnonzero(self._measured[start : self._position])
            # The first batch is added even if it has no frame to measure: a process without any
            # frame could not exchange its landmarks with the others.
            if start > 0 and not len(chosen):
                return
            rows = torch.from_numpy(chosen).to(logits.device, non_blocking=True)
            logits, index, masks = logits[rows], index[rows], masks[rows]
        points = self._target.decode(logits)
        self._values.update(index=index, points=points, masks=_pack(masks > 0))

    def results(self) -> Results:
        """Compute the results of all batches so far."""
        frames = self._frames
        rows = {name: values.cpu().numpy() for name, values in self._values.rows().items()}
        found = self._target.correct(rows["points"])
        counts = packed_counts(self._target.masks(found, frames.shape), rows["masks"])
        return Results(frames=frames, index=rows["index"], counts=counts, points=found)

    def state(self) -> dict[str, Any]:
        """Return landmarks and true masks of the frames measured so far."""
        return {**self._values.rows(), "position": self._position}

    def restore(self, state: dict[str, Any]) -> None:
        """Add the frames that `state` returned; see `Collector.restore`."""
        device = self._values.device
        rows = {name: state[name].to(device) for name in ("index", "points", "masks")}
        (count,), (height, width) = rows["index"].shape, self._frames.shape
        shapes = ((count, self._target.landmarks, 2), (count, -(-height * width // 8)))
        found = (rows["points"].shape, rows["masks"].shape)
        if found != shapes or not isinstance(state["position"], int):
            raise ValueError("the predictions of its last epoch are not landmarks of these frames")
        self._values.update(**rows)
        self._position = state["position"]


def training_sample(frames: FrameSet) -> np.ndarray:
    """Choose the training frames that the training Dice of every epoch is taken from.

    Returns
    -------
    sample : ndarray, (frame,) int64
        `TRAINING_SAMPLE` random frames of the training split, the same in every
        run; all of a smaller split.
    """
    train = frames.indices("TRAIN")
    return np.random.default_rng(0).permutation(train)[:TRAINING_SAMPLE]


def _pack(masks: Tensor) -> Tensor:
    """Pack eight pixels into a byte, highest bit first: masks are kept until the epoch ends."""
    flat = masks.flatten(1)
    flat = torch.nn.functional.pad(flat, (0, -flat.shape[1] % 8))
    weights = devices.constant((128, 64, 32, 16, 8, 4, 2, 1), flat.device)
    return (flat.reshape(len(flat), flat.shape[1] // 8, 8) * weights).sum(2).to(torch.uint8)
