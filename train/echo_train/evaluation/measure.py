"""A trained model measured on frames of a store.

Both the end of a run (`echo_train.training`) and `echo-eval` measure here, so the same weights on
the same frames have the same metrics.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from echo_common.cli.progress import Progress, silent
from echo_train.data.frame_set import FrameSet
from echo_train.data.loader import Loader
from echo_train.evaluation.trained_model import TrainedModel
from echo_train.metrics.overlap import dice, packed_counts
from echo_train.metrics.plausibility import count_pieces_and_holes, crosses_itself
from echo_train.metrics.results import SplitResults
from echo_train.metrics.surface_distance import surface_distances
from echo_train.targets.base import Prediction, Target
from echo_train.transforms.batch import EVALUATION_BATCH, Batch


def measure(
    model: TrainedModel,
    loader: Loader,
    order: np.ndarray,
    area_range: tuple[float, float] | None,
    progress: Progress[Batch] = silent,
    observe: Callable[[Prediction, Batch], None] = lambda prediction, batch: None,
) -> tuple[SplitResults, float | None]:
    """Predict frames and compare the predictions with the truth, in the pixels of the frames.

    Parameters
    ----------
    loader : Loader
        Loads the frames.
    order : ndarray, (frame,) int64
        Which of the loader's frames to measure; at least one.
    area_range : tuple of float, or None
        Smallest and largest true mask of the training split, as shares of the image.
    progress : Progress
        Wraps the batches.
    observe : callable
        Takes the prediction of each batch.

    Returns
    -------
    results : SplitResults
    loss : float or None
        Mean over the frames; None if they were scaled to the network's input, since the loss is
        defined in its pixels.
    """
    size = loader.frames.shape
    collector, losses = SplitCollector(model.target, loader.frames, area_range), []
    batches = loader.batches(order, EVALUATION_BATCH, normalised=False)
    for batch in progress(batches, -(-len(order) // EVALUATION_BATCH), f"measuring {model.folder}"):
        images = model.scale(batch.images)
        logits = model.logits(images, batch.phases)
        if size == model.shape:
            losses.append(model.target.loss(logits, batch) * len(batch.index))
        prediction = model.read(logits, images, size)
        collector.update(prediction, batch)
        observe(prediction, batch)
    loss = float(torch.stack(losses).sum()) / len(order) if losses else None
    return collector.results(), loss


class SplitCollector:
    """Measures predictions batch by batch, and joins the results.

    Parameters
    ----------
    frames : FrameSet
        The frames that batches are from.
    area_range : tuple of float, or None
        Smallest and largest true mask of the training split, as shares of the image.
    """

    def __init__(
        self, target: Target, frames: FrameSet, area_range: tuple[float, float] | None
    ) -> None:
        self._target = target
        self._frames = frames
        self._area_range = area_range
        self._parts: list[dict[str, np.ndarray]] = []

    def update(self, prediction: Prediction, batch: Batch) -> None:
        """Measure one batch."""
        true = (batch.masks.cpu().numpy() > 0).astype(np.uint8)
        packed = np.packbits(true.reshape(len(true), -1), axis=1)
        shapes = np.array([count_pieces_and_holes(mask) for mask in prediction.masks])
        measures = prediction.measures()
        part = {
            "index": batch.index.cpu().numpy(),
            "counts": packed_counts(prediction.masks, packed),
            "distances": surface_distances(prediction.masks, true),
            "pieces": shapes[:, 0],
            "holes": shapes[:, 1],
            "area": measures.area,
            "length": measures.length,
            "volume": measures.volume,
        }
        if prediction.points is not None:
            part["points"] = prediction.points
            part["crossing"] = np.array([crosses_itself(line) for line in prediction.contours])
        if prediction.found is not None:
            part["found"] = prediction.found
        best = self._target.error_free_masks(batch)
        if best is not None:
            part["ceiling"] = dice(packed_counts(best, packed))
        self._parts.append(part)

    def results(self) -> SplitResults:
        """Join the results of all batches so far; at least one."""
        parts = self._parts
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        return SplitResults(
            frames=self._frames, area_range=self._area_range, correction=None, **joined
        )
