"""A model measured under graded corruptions: for the noise.csv of `echo-eval --noise`."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from echo_common.cli.progress import Progress, silent
from echo_common.store import schema
from echo_train.data.loader import Loader
from echo_train.evaluation.measure import FigureCollector
from echo_train.evaluation.trained_model import Model
from echo_train.metrics.bootstrap import bootstrap_intervals
from echo_train.metrics.overlap import missed, pooled_dice
from echo_train.metrics.summary import Figures
from echo_train.runtime.counter_rng import frame_keys
from echo_train.transforms.batch import EVALUATION_BATCH, Batch
from echo_train.transforms.corruptions import CORRUPTIONS, grades

CLEAN = ("clean", 0.0)
"""In the place of a corruption and its severity: images as they are."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoiseRow:
    """One line of noise.csv: a model's figures under one corruption.

    Attributes
    ----------
    corruption : str
        A name of `echo_train.transforms.corruptions.CORRUPTIONS`, or that of `CLEAN`.
    severity : float
    dice, low, high : float
        Mean foreground Dice and its 95 % interval.
    pooled, ed, es : float or None
    hd95 : float
        In pixels.
    implausible : float
        Share of predictions that no ventricle looks like.
    missed_frames : int
    mean_radial_error : float or None
        In pixels; None where masks are predicted, or every landmark is missed.
    """

    corruption: str
    severity: float
    dice: float
    low: float
    high: float
    pooled: float
    ed: float | None
    es: float | None
    hd95: float
    implausible: float
    missed_frames: int
    mean_radial_error: float | None


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
        grade: FigureCollector(model.target, frames, area_range) for grade in [CLEAN, *grades()]
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
    figures = [collector.figures() for collector in collectors.values()]
    scores = np.stack([one.dice() for one in figures])
    intervals = bootstrap_intervals(scores, np.ones_like(scores), frames.video[figures[0].index])
    return [
        _row(grade, one, interval)
        for grade, one, interval in zip(collectors, figures, intervals, strict=True)
    ]


def noise_table(measured: Mapping[str, Sequence[NoiseRow]]) -> str:
    """The rows of several runs as CSV; what has no value is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [field.name for field in dataclasses.fields(NoiseRow)]
    writer.writerow(["run", *columns])
    for name, rows in measured.items():
        for row in rows:
            writer.writerow([name, *map(_cell, dataclasses.astuple(row))])
    return text.getvalue()


def describe_noise(measured: Mapping[str, Sequence[NoiseRow]]) -> str:
    """Figures of several runs as text: a corruption a block, a figure of a run a line."""
    labels = {"dice": "Dice", "hd95": "HD95 px", "implausible": "implausible"}
    formats = {"dice": "8.3f", "hd95": "8.1f", "implausible": "8.1%"}
    width = max(len(name) for name in ("", *measured)) + 1
    right = max(map(len, labels.values()))
    lines = []
    for corruption, one in CORRUPTIONS.items():
        severities = "".join(f"{severity:>8g}" for severity in one.severities)
        lines += ["", f"{corruption} ({one.unit})", f"{'':{width + right}}{'clean':>8}{severities}"]
        for figure, label in labels.items():
            for name, rows in measured.items():
                chosen = [row for row in rows if row.corruption in (CLEAN[0], corruption)]
                values = "".join(f"{getattr(row, figure):{formats[figure]}}" for row in chosen)
                lines.append(f"{name:{width}}{label:{right}}{values}")
    return "\n".join(lines[1:])


def _row(grade: tuple[str, float], figures: Figures, interval: np.ndarray) -> NoiseRow:
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


def _cell(value: str | float | None) -> str:
    if value is None:
        return ""
    return f"{value:.6f}" if isinstance(value, float) else str(value)
