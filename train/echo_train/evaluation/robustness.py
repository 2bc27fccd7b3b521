"""A model measured under graded corruptions: for the noise.csv of `echo-eval --noise`."""

from __future__ import annotations

import numpy as np
import torch

from echo_common.cli.progress import Progress, silent
from echo_common.store import schema
from echo_train.data.loader import Loader
from echo_train.evaluation.measure import SplitCollector
from echo_train.evaluation.trained_model import Model
from echo_train.metrics.bootstrap import bootstrap_intervals
from echo_train.metrics.overlap import missed, pooled_dice
from echo_train.metrics.results import SplitResults
from echo_train.reporting.robustness_table import CLEAN, NoiseRow
from echo_train.runtime.counter_rng import frame_keys
from echo_train.transforms.batch import EVALUATION_BATCH, Batch
from echo_train.transforms.corruptions import CORRUPTIONS, grades


def measure_noise(
    model: Model,
    loader: Loader,
    order: np.ndarray,
    area_range: tuple[float, float] | None,
    seed: int,
    progress: Progress[Batch] = silent,
) -> list[NoiseRow]:
    """Measure a model under every corruption, one pass over the frames.

    Parameters
    ----------
    model : Model
    loader : Loader
        Gives the frames.
    order : ndarray, (frame,) int64
        Which of the loader's frames; at least one.
    area_range : tuple of float, or None
        From `echo_train.evaluation.measure.area_range`.
    seed : int
        Of the random corruptions.
    progress : Progress
        Wraps the batches.

    Returns
    -------
    rows : list of NoiseRow
        `CLEAN` first, then in the order of `echo_train.transforms.corruptions.grades`.
    """
    frames = loader.frames
    rows = torch.from_numpy(frames.rows).to(model.device)
    collectors = {
        grade: SplitCollector(model.target, frames, area_range) for grade in [CLEAN, *grades()]
    }
    batches = loader.in_gray().batches(order, EVALUATION_BATCH)
    for batch in progress(
        batches, -(-len(order) // EVALUATION_BATCH), f"corruptions, {model.folder}"
    ):
        for (name, severity), collector in collectors.items():
            images = batch.images
            if name in CORRUPTIONS:
                # The same numbers at each severity, so that only the severity differs.
                keys = frame_keys(rows[batch.index], seed, list(CORRUPTIONS).index(name))
                images = CORRUPTIONS[name].apply(images, severity, keys)
            collector.update(model.logits(images), batch)
    figures = [collector.results() for collector in collectors.values()]
    scores = np.stack([one.dice() for one in figures])
    intervals = bootstrap_intervals(scores, np.ones_like(scores), frames.video[figures[0].index])
    return [
        _row(grade, one, interval)
        for grade, one, interval in zip(collectors, figures, intervals, strict=True)
    ]


def _row(grade: tuple[str, float], figures: SplitResults, interval: np.ndarray) -> NoiseRow:
    scores, phase = figures.dice(), figures.frames.phase[figures.index]
    errors = figures.radial_errors()
    return NoiseRow(
        corruption=grade[0],
        severity=grade[1],
        dice=float(scores.mean()),
        low=float(interval[0]),
        high=float(interval[1]),
        pooled=pooled_dice(figures.counts),
        ed=_mean(scores[phase == schema.PHASES.index("ED")]),
        es=_mean(scores[phase == schema.PHASES.index("ES")]),
        hd95=float(figures.hd95().mean()),
        implausible=float(figures.implausible().mean()),
        missed_frames=int(missed(figures.counts).sum()),
        mean_radial_error=None if errors is None else _mean(errors[~np.isnan(errors)]),
    )


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if values.size else None
