"""Measuring a trained model on frames of a store.

The end of a run (`echo_train.training.train`) and `echo-eval` both come here, so that
the same weights on the same frames give the same figures.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from echo_common.cli.progress import Progress, silent
from echo_common.errors import SettingsError
from echo_common.store import schema
from echo_common.store.reader import EchoStore
from echo_train.data.frame_set import Choice, FrameSet
from echo_train.data.loader import Loader
from echo_train.evaluation.trained_model import TrainedModel
from echo_train.metrics.overlap import MaskCounts, dice
from echo_train.metrics.plausibility import count_holes, count_pieces, crosses_itself
from echo_train.metrics.results import SplitResults
from echo_train.metrics.surface_distance import surface_distances
from echo_train.targets.base import Prediction, Target
from echo_train.targets.landmarks import LandmarkTarget
from echo_train.transforms.batch import EVALUATION_BATCH, Batch


def measure(
    model: TrainedModel,
    loader: Loader,
    order: np.ndarray,
    area_range: tuple[float, float] | None,
    progress: Progress[Batch] = silent,
) -> tuple[SplitResults, float]:
    """Predict frames and compare them with the truth.

    Parameters
    ----------
    model : TrainedModel
    loader : Loader
        Gives the frames.
    order : ndarray, (frame,) int64
        Which of the loader's frames; at least one.
    area_range : tuple of float, or None
        From `area_range`.
    progress : Progress
        Wraps the batches.

    Returns
    -------
    results : SplitResults
    loss : float
        Mean over the frames.

    Raises
    ------
    SettingsError
        If the run's loss weighs each pixel, of frames of another size.
    """
    _check_size(model, loader.frames)
    collector, losses = SplitCollector(model.target, loader.frames, area_range), []
    batches = loader.batches(order, EVALUATION_BATCH, normalised=False)
    for batch in progress(batches, -(-len(order) // EVALUATION_BATCH), f"measuring {model.folder}"):
        logits = model.logits(batch.images)
        losses.append(model.target.loss(logits, batch) * len(batch.index))
        collector.update(logits, batch)
    return collector.results(), float(torch.stack(losses).sum()) / len(order)


class SplitCollector:
    """Takes predictions batch by batch, and gives their figures.

    Parameters
    ----------
    target : Target
    frames : FrameSet
        The frames that batches are from.
    area_range : tuple of float, or None
        From `area_range`.
    """

    def __init__(
        self, target: Target, frames: FrameSet, area_range: tuple[float, float] | None
    ) -> None:
        self._target = target
        self._frames = frames
        self._area_range = area_range
        self._counts = MaskCounts(sync_on_compute=False)
        self._parts: list[dict[str, np.ndarray]] = []

    def update(self, logits: Tensor, batch: Batch) -> None:
        """Take one batch."""
        prediction, true = self._target.predict(logits), batch.masks.cpu() > 0
        self._counts.update(batch.index.cpu(), torch.from_numpy(prediction.masks) > 0, true)
        part = _look(prediction, true.numpy().astype(np.uint8))
        if isinstance(self._target, LandmarkTarget):
            part |= _look_at_landmarks(self._target, prediction, batch, true)
        self._parts.append(part)

    def results(self) -> SplitResults:
        """Give the figures of everything taken so far; at least one batch."""
        index, table = self._counts.compute()
        parts = self._parts
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return SplitResults(
            frames=self._frames,
            index=index.numpy(),
            counts=table.numpy(),
            area_range=self._area_range,
            **joined,
        )


def area_range(store: EchoStore, choice: Choice, frames: FrameSet) -> tuple[float, float] | None:
    """Smallest and largest true mask of the training split, as shares of the image.

    Only the masks are read, a few chunks at a time. None where there is no
    training split.

    Raises
    ------
    StoreDamagedError
        If a chunk is missing or altered.
    """
    path, step = schema.mask_path(choice.method), 8 * store.chunk_rows
    shares = np.concatenate(
        [
            store.read_rows(path, start, min(start + step, store.rows)).mean(axis=(1, 2))
            for start in range(0, store.rows, step)
        ]
    )[frames.rows[frames.indices("TRAIN")]]
    return (float(shares.min()), float(shares.max())) if len(shares) else None


def _look(prediction: Prediction, true: np.ndarray) -> dict[str, np.ndarray]:
    """What `SplitResults` holds of some frames beside their counts."""
    return {
        "distances": surface_distances(prediction.masks, true),
        "pieces": np.array([count_pieces(mask) for mask in prediction.masks]),
        "holes": np.array([count_holes(mask) for mask in prediction.masks]),
    }


def _look_at_landmarks(
    target: LandmarkTarget, prediction: Prediction, batch: Batch, true: Tensor
) -> dict[str, np.ndarray]:
    """What it holds beside of frames whose landmarks were predicted."""
    assert prediction.points is not None and batch.points is not None
    best = target.masks(batch.points.cpu().numpy(), (true.shape[1], true.shape[2]))
    counts = MaskCounts(sync_on_compute=False)
    counts.update(batch.index.cpu(), torch.from_numpy(best) > 0, true)
    return {
        "points": prediction.points,
        "crossing": np.array(
            [crosses_itself(contour) for contour in target.contours(prediction.points)]
        ),
        "ceiling": dice(counts.compute()[1].numpy()),
    }


def _check_size(model: TrainedModel, frames: FrameSet) -> None:
    if "pixel_weights" in model.target.state() and frames.shape != model.shape:
        (height, width), (other_height, other_width) = model.shape, frames.shape
        raise SettingsError(
            f"the loss of {model.folder} weighs each pixel of frames of {width}x{height}, and "
            f"these are of {other_width}x{other_height}; build a store of frames of that size"
        )
