"""Landmarks as the target: their maps, the points read from them, and the masks rebuilt."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from echo_common.geometry.contours import contour_from_landmarks
from echo_common.geometry.raster import rasterise
from echo_train.data.frame_set import Choice, FrameSet
from echo_train.landmarks.decoders import DECODERS, confidence
from echo_train.landmarks.shape_prior import ShapePrior, fit_shape_prior
from echo_train.losses.distance_map import distance_loss
from echo_train.losses.landmark_losses import LANDMARK_LOSSES
from echo_train.metrics.landmark_errors import Landmarks
from echo_train.metrics.overlap import MaskCounts
from echo_train.metrics.results import Results
from echo_train.runtime import device as devices
from echo_train.settings import TrainSettings
from echo_train.targets.base import Collector, Prediction
from echo_train.transforms.batch import Batch


class LandmarkTarget:
    """One map per landmark, whose peak is the landmark, and optionally a distance map.

    Parameters
    ----------
    settings : TrainSettings
        Loss, decoder, minimum confidence, weight of the distance head, and
        whether a shape prior corrects the landmarks.
    choice : Choice
    train_points : ndarray, (frame, landmark, 2) float, or None
        True landmarks of the training split, from which the prior is computed;
        None if `restore` loads it.
    """

    def __init__(
        self, settings: TrainSettings, choice: Choice, train_points: np.ndarray | None
    ) -> None:
        assert choice.landmarks is not None
        self._loss = LANDMARK_LOSSES[settings.loss_name()]
        self._maps = choice.landmarks.count + self._loss.extra_channels
        self._distance_weight = settings.distance_weight
        self.channels = self._maps + (settings.distance_weight > 0)
        self.identity = choice.landmarks.identity
        self.method = choice.method
        self._curve = settings.curve
        self._decoder = DECODERS[settings.decoder]
        self._min_confidence = settings.min_confidence
        self._prior = None
        if settings.shape_prior and train_points is not None:
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
        """Locate the landmarks in the maps.

        Parameters
        ----------
        logits : Tensor, (frame, channel, y, x) float

        Returns
        -------
        points : Tensor, (frame, landmark, 2) float
            (x, y) in pixels; NaN for a missed landmark.
        """
        maps = self.maps(logits)
        confident = confidence(maps, self._loss.spatial) >= self._min_confidence
        return self._decoder(maps).where(confident[..., None], torch.nan)

    def collector(self, frames: FrameSet, device: torch.device) -> Collector:
        """Make an empty collector for predicted landmarks."""
        return LandmarkCollector(frames, self, device)

    def predict(self, logits: Tensor) -> Prediction:
        """Turn logits into landmarks, and the landmarks into masks."""
        points = self.correct(self.decode(logits).cpu().numpy())
        return Prediction(
            masks=self.masks(points, (logits.shape[2], logits.shape[3])), points=points
        )

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

    def contour(self, points: np.ndarray) -> np.ndarray:
        """Rebuild one frame's contour, (point, 2) float64, from landmarks, (landmark, 2)."""
        return contour_from_landmarks(points, self.identity, self._curve)

    def masks(self, points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Rebuild masks from landmarks with the rasteriser that fills the tracings.

        Parameters
        ----------
        points : ndarray, (frame, landmark, 2) float
        shape : tuple of int
            (height, width).

        Returns
        -------
        masks : ndarray, (frame, height, width) uint8
        """
        masks = np.zeros((len(points), *shape), dtype=np.uint8)

        def draw(frame: int) -> None:
            masks[frame] = rasterise(self.contour(points[frame]), shape, self.method)

        with ThreadPoolExecutor() as pool:
            for _ in pool.map(draw, range(len(points))):
                pass
        return masks


class LandmarkCollector:
    """Keeps landmarks on the device and turns them into masks when the epoch ends."""

    def __init__(self, frames: FrameSet, target: LandmarkTarget, device: torch.device) -> None:
        self._frames = frames
        self._target = target
        self._landmarks = Landmarks().to(device)

    def update(self, logits: Tensor, batch: Batch) -> None:
        """Add one batch without waiting for the device."""
        self._landmarks.update(batch.index, self._target.decode(logits), _pack(batch.masks > 0))

    def results(self) -> Results:
        """Compute the results of all batches so far."""
        frames = self._frames
        index, points, packed = self._landmarks.compute()
        found = self._target.correct(points.cpu().numpy())
        true = np.unpackbits(packed.cpu().numpy(), axis=1, count=math.prod(frames.shape))
        masks = self._target.masks(found, frames.shape)
        # The landmarks are those of all processes, so there is nothing left to gather.
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
    """Pack eight pixels into a byte, highest bit first: masks are kept until the epoch ends."""
    flat = masks.flatten(1)
    flat = torch.nn.functional.pad(flat, (0, -flat.shape[1] % 8))
    weights = devices.constant((128, 64, 32, 16, 8, 4, 2, 1), flat.device)
    return (flat.reshape(len(flat), -1, 8) * weights).sum(2).to(torch.uint8)
