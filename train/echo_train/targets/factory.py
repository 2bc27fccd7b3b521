"""The two targets, mask and landmarks: what the network's logits mean for each.

A target knows the number of output channels, the loss, and how logits become
masks that can be compared. `echo_train.targets.collectors` gathers what it predicts.
"""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from echo_common.errors import SettingsError
from echo_common.geometry.contours import contour_from_landmarks
from echo_common.geometry.raster import rasterise
from echo_train.data.frame_set import Choice, FrameSet
from echo_train.data.loader import Loader
from echo_train.data.location_prior import mean_mask, pixel_weights
from echo_train.landmarks.decoders import DECODERS, confidence
from echo_train.landmarks.shape_prior import ShapePrior, fit_shape_prior
from echo_train.losses.distance_map import distance_loss
from echo_train.losses.landmark_losses import LANDMARK_LOSSES
from echo_train.losses.mask_losses import MASK_LOSSES, MaskLossSettings
from echo_train.settings import TrainSettings
from echo_train.targets.collectors import Collector, LandmarkCollector, MaskCollector
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


class MaskTarget:
    """One channel: the logit of each pixel's being inside the ventricle.

    Parameters
    ----------
    settings : TrainSettings
        The loss and its numbers, all of them given.
    weights : Tensor, (y, x) float, or None
        How much each pixel counts; of mean 1.
    """

    def __init__(self, settings: TrainSettings, weights: Tensor | None) -> None:
        self.channels = 1
        self._loss = MASK_LOSSES[settings.loss_name()]
        self._by: MaskLossSettings = settings
        self._weights = weights

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """Mean loss of a batch, a scalar."""
        return self._loss(logits[:, 0], batch.masks, self._weights, self._by)

    def collector(self, frames: FrameSet, device: torch.device) -> Collector:
        """Make an empty collector of predicted masks."""
        return MaskCollector(frames, device)

    def predict(self, logits: Tensor) -> Prediction:
        """Turn logits into masks."""
        return Prediction(masks=(logits[:, 0] > 0).cpu().numpy().astype(np.uint8))

    def state(self) -> dict[str, Tensor]:
        """What the loss took from the training split: weights of pixels and of the ventricle."""
        state = {} if self._weights is None else {"pixel_weights": self._weights}
        if self._by.positive_weight is not None:
            # In double precision, so that a run goes on with the very number.
            number = torch.tensor(self._by.positive_weight, dtype=torch.float64)
            state["positive_weight"] = number
        return state

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up what the run's loss had."""
        self._weights = state.get("pixel_weights")
        if "positive_weight" in state:
            self._by = dataclasses.replace(
                self._by, positive_weight=float(state["positive_weight"])
            )


class LandmarkTarget:
    """One map a landmark, whose peak is the landmark; and the distance map, where it is asked for.

    Parameters
    ----------
    settings : TrainSettings
        Loss, decoder, the least confidence, the weight of the distance head,
        and whether a prior corrects the landmarks.
    choice : Choice
    train_points : ndarray, (frame, landmark, 2) float, or None
        True landmarks of the training split, which the prior learns from;
        None where `restore` brings it.
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
        """The landmark maps that logits stand for, (frame, landmark, y, x) float, at least 0."""
        return self._loss.maps(logits[:, : self._maps])

    def decode(self, logits: Tensor) -> Tensor:
        """Read the landmarks off the maps.

        Parameters
        ----------
        logits : Tensor, (frame, channel, y, x) float

        Returns
        -------
        points : Tensor, (frame, landmark, 2) float
            (x, y) in pixels; NaN where a landmark was missed.
        """
        maps = self.maps(logits)
        sure = confidence(maps, self._loss.spatial) >= self._min_confidence
        return self._decoder(maps).where(sure[..., None], torch.nan)

    def collector(self, frames: FrameSet, device: torch.device) -> Collector:
        """Make an empty collector of predicted landmarks."""
        return LandmarkCollector(frames, self, device)

    def predict(self, logits: Tensor) -> Prediction:
        """Turn logits into landmarks, and these into masks."""
        points = self.correct(self.decode(logits).cpu().numpy())
        return Prediction(
            masks=self.masks(points, (logits.shape[2], logits.shape[3])), points=points
        )

    def correct(self, points: np.ndarray) -> np.ndarray:
        """Pull implausible landmarks back by the prior; as they are where there is none."""
        return points if self._prior is None else self._prior.correct(points)

    def state(self) -> dict[str, Tensor]:
        """The prior, where there is one."""
        return {} if self._prior is None else self._prior.to_tensors()

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up the prior that the run learnt, where it learnt one."""
        if state:
            self._prior = ShapePrior.from_tensors(state)

    def contour(self, points: np.ndarray) -> np.ndarray:
        """Rebuild one frame's contour, (point, 2) float64, from its landmarks, (landmark, 2)."""
        return contour_from_landmarks(points, self.identity, self._curve)

    def masks(self, points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Rebuild masks from landmarks, by the code that draws the tracings' masks.

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


def make_target(
    settings: TrainSettings, choice: Choice, loader: Loader, prior: Tensor | None
) -> Target:
    """Make the target that the settings name.

    Parameters
    ----------
    settings : TrainSettings
    choice : Choice
    loader : Loader
        The frames that the run trains on.
    prior : Tensor, (y, x) float, or None
        From `echo_train.data.location_prior.make_prior`.

    Raises
    ------
    SettingsError
        If the ventricle's weight is to be counted where there is none.
    """
    if settings.target == "mask":
        if settings.loss_name() == "weighted-bce" and settings.positive_weight is None:
            settings = dataclasses.replace(settings, positive_weight=_count_weight(loader))
        weights = None
        if prior is not None and settings.prior_use == "weight":
            weights = pixel_weights(prior, settings.prior_weight)
        return MaskTarget(settings, weights)
    points = loader.frames.points
    assert points is not None
    return LandmarkTarget(settings, choice, points[loader.frames.indices("TRAIN")])


def restore_target(settings: TrainSettings, choice: Choice, state: dict[str, Tensor]) -> Target:
    """Make the target of a run that was trained, from its checkpoint and not from its frames.

    Parameters
    ----------
    settings : TrainSettings
    choice : Choice
    state : dict of str to Tensor
        What `Target.state` gave.
    """
    target: Target = (
        MaskTarget(settings, None)
        if settings.target == "mask"
        else LandmarkTarget(settings, choice, None)
    )
    target.restore(state)
    return target


def _count_weight(loader: Loader) -> float:
    """Background over ventricle, in pixels of the training split."""
    share = float(mean_mask(loader).double().mean())
    if share == 0:
        raise SettingsError(
            "no mask of the training split holds a pixel, so --loss weighted-bce has nothing to "
            "count; give --positive-weight, or another --method"
        )
    return (1 - share) / share
