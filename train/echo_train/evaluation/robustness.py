"""A trained model measured under graded corruptions, for the noise.csv of `echo-eval --noise`."""

from __future__ import annotations

import numpy as np
import torch

from echo_common.cli.progress import Progress, silent
from echo_common.store import schema
from echo_train.data.loader import Loader
from echo_train.evaluation.measure import SplitCollector
from echo_train.evaluation.trained_model import TrainedModel
from echo_train.metrics.bootstrap import bootstrap_intervals
from echo_train.metrics.overlap import pooled_dice
from echo_train.metrics.results import SplitResults
from echo_train.reporting.robustness_report import CLEAN, RobustnessRow
from echo_train.runtime.counter_rng import epoch_key, frame_keys
from echo_train.transforms.batch import EVALUATION_BATCH, Batch
from echo_train.transforms.corruptions import CORRUPTIONS, grades


def measure_robustness(
    model: TrainedModel,
    loader: Loader,
    order: np.ndarray,
    area_range: tuple[float, float] | None,
    seed: int,
    progress: Progress[Batch] = silent,
) -> list[RobustnessRow]:
    """Measure a model under every corruption, in one pass over the frames.

    Parameters
    ----------
    model, loader, order, area_range, progress
        As `echo_train.evaluation.measure.measure` takes them.
    seed : int
        Of the random corruptions.

    Returns
    -------
    rows : list of RobustnessRow
        `CLEAN` first, then in the order of `echo_train.transforms.corruptions.grades`.
    """
    frames = loader.frames
    rows = torch.from_numpy(frames.rows).to(model.device)
    collectors = {
        grade: SplitCollector(model.target, frames, area_range) for grade in [CLEAN, *grades()]
    }
    batches = loader.batches(order, EVALUATION_BATCH, normalised=False)
    steps = -(-len(order) // EVALUATION_BATCH)
    # The same random numbers at each severity, so that only the severity differs.
    keys_of = {
        name: epoch_key(seed, number, model.device) for number, name in enumerate(CORRUPTIONS)
    }
    for batch in progress(batches, steps, f"corruptions, {model.folder}"):
        for (name, severity), collector in collectors.items():
            images = batch.images
            if name in CORRUPTIONS:
                keys = frame_keys(rows[batch.index], keys_of[name])
                images = CORRUPTIONS[name].apply(images, severity, keys)
            collector.update(model.predict(images, batch.phases), batch)
    results = [collector.results() for collector in collectors.values()]
    scores = np.stack([result.dice() for result in results])
    intervals = bootstrap_intervals(scores, np.ones_like(scores), frames.groups[results[0].index])
    return [
        _row(grade, result, interval)
        for grade, result, interval in zip(collectors, results, intervals, strict=True)
    ]


def _row(grade: tuple[str, float], results: SplitResults, interval: np.ndarray) -> RobustnessRow:
    scores, phase = results.dice(), results.frames.phase[results.index]
    errors = results.radial_errors()
    return RobustnessRow(
        corruption=grade[0],
        severity=grade[1],
        dice=float(scores.mean()),
        low=float(interval[0]),
        high=float(interval[1]),
        pooled=pooled_dice(results.counts),
        ed=_mean(scores[phase == schema.PHASES.index("ED")]),
        es=_mean(scores[phase == schema.PHASES.index("ES")]),
        hd95=float(results.hd95().mean()),
        implausible=float(results.implausible().mean()),
        missed_frames=int(results.missed().sum()),
        mean_radial_error=None if errors is None else _mean(errors[~np.isnan(errors)]),
    )


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if values.size else None
