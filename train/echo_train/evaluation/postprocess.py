"""Post-processing of masks that a run's validation frames decide on."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from echo_common.cli.progress import Progress, silent
from echo_train.data.loader import Loader
from echo_train.evaluation.trained_model import TrainedModel
from echo_train.metrics.overlap import dice, packed_counts
from echo_train.runs.settings import AUTO, POSTPROCESSING
from echo_train.targets.postprocess import clean_mask
from echo_train.transforms.batch import EVALUATION_BATCH, Batch

DESCRIPTIONS = {
    "pieces": "all pieces of a mask but the largest are removed",
    "holes": "holes of masks are filled",
    "both": "holes of masks are filled, and all pieces but the largest are removed",
}
"""What each kind of post-processing does, for notes."""


def choose_postprocessing(
    model: TrainedModel,
    asked: str,
    loader: Loader,
    order: np.ndarray,
    progress: Progress[Batch] = silent,
) -> tuple[TrainedModel, dict[str, Any]]:
    """Add post-processing to the model of a run: as asked for, or as validation decides.

    Parameters
    ----------
    model : TrainedModel
        Without post-processing.
    asked : str
        One of `POSTPROCESSING`, or ``auto`` for the highest Dice; of equals, the first.
    loader, order, progress
        As `score_postprocessing` takes them, of the validation frames.

    Returns
    -------
    model : TrainedModel
    facts : dict
        Entries of summary.json; none for a model of landmarks.
    """
    if model.choice.landmarks is not None:
        return model, {}
    scores = score_postprocessing(model, loader, order, progress) if asked == AUTO else {}
    chosen = max(scores, key=scores.__getitem__) if scores else asked
    facts: dict[str, Any] = {"postprocess": {"chosen": chosen, "val_dice": scores}}
    if chosen != "none":
        reason = (
            f"validation Dice {scores[chosen]:.4f}, without {scores['none']:.4f}"
            if scores
            else f"--postprocess {chosen}"
        )
        facts["notes"] = [f"{DESCRIPTIONS[chosen]} ({reason})"]
    return dataclasses.replace(model, postprocess=chosen), facts


def score_postprocessing(
    model: TrainedModel, loader: Loader, order: np.ndarray, progress: Progress[Batch] = silent
) -> dict[str, float]:
    """Measure the mean Dice with each kind of post-processing.

    Parameters
    ----------
    model : TrainedModel
        Of masks, without post-processing.
    loader, order, progress
        As `echo_train.evaluation.measure.measure` takes them.

    Returns
    -------
    scores : dict of str to float
        By name in `POSTPROCESSING`, in its order.
    """
    scores: dict[str, list[np.ndarray]] = {name: [] for name in POSTPROCESSING}
    batches = loader.batches(order, EVALUATION_BATCH, normalised=False)
    steps = -(-len(order) // EVALUATION_BATCH)
    for batch in progress(batches, steps, f"choosing post-processing, {model.folder}"):
        true = batch.masks.cpu().numpy() > 0
        packed = np.packbits(true.reshape(len(true), -1), axis=1)
        masks = model.predict(batch.images, batch.phases).masks > 0
        for name, parts in scores.items():
            cleaned = np.array([clean_mask(mask, name) for mask in masks])
            parts.append(dice(packed_counts(cleaned, packed)))
    return {name: float(np.concatenate(parts).mean()) for name, parts in scores.items()}
