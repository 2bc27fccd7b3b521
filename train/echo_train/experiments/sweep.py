"""Several runs that differ only in seed or fold, and the spread of their metrics.

The metrics of one run depend on its seed and its validation videos. `echo-train --seeds 3` and
`--folds 5` train one run for each, and sweep.json holds the mean and the spread over the runs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from echo_common.cli.settings import replace, to_table, to_toml
from echo_common.errors import SettingsError
from echo_common.tables import text_table
from echo_train.data.resident import SharedArrays
from echo_train.experiments.settings import SweepSettings
from echo_train.runs import run_folder
from echo_train.runs.summary import read_summary
from echo_train.training.resume import check_settings, explain_interruption
from echo_train.training.settings import TrainSettings
from echo_train.training.train import Say, train

SWEEP = "sweep.json"

METRICS = (
    "dice.mean",
    "dice.pooled",
    "dice.ed",
    "dice.es",
    "pixel_accuracy.mean",
    "mean_radial_error.mean",
    "floor.mean_mask.dice.mean",
    "floor.black.pixel_accuracy.mean",
)
"""Metrics to compare, as paths into a split of summary.json."""


def sweep(settings: SweepSettings, say: Say = lambda line: None, quiet: bool = True) -> Path:
    """Train each run of a sweep that is not finished, and compare all of them.

    Parameters
    ----------
    settings : SweepSettings
        With `resume`, finished runs are kept and an interrupted one is resumed.
    say : callable
        Takes each line that a person should read.
    quiet : bool
        Show no progress on stderr.

    Returns
    -------
    folder : Path
        Holds a run folder for each run, config.toml and sweep.json.

    Raises
    ------
    SettingsError, StoreError, RunError
        As `echo_train.training.train.train` does.
    """
    runs = settings.runs()
    next(iter(runs.values())).check()
    resume = settings.folder.resume
    base = choose_base(settings.folder.run, resume, "sweep")
    inputs = [settings.selection.store]
    with explain_interruption(base), run_folder.open_run_folder(base, resume, inputs) as output:
        if resume:
            check_settings(run_folder.read_config(base), to_table(settings), base)
            output.adopt(run_folder.CONFIG, SWEEP)
        output.claim(SWEEP)
        if not resume:
            text = to_toml(settings, leave_out=("run", "resume"))
            output.write_text(run_folder.CONFIG, text)
        train_each(base, runs, say, quiet)
        summaries = [read_summary(base / name) for name in runs]
        table = {"runs": list(runs), **compare(summaries)}
        output.write_text(SWEEP, json.dumps(table, indent=2, allow_nan=False) + "\n")
    return base


def choose_base(folder: Path | None, resume: bool, name: str) -> Path:
    """Choose the folder of several runs; see `echo_train.runs.run_folder.choose_run_folder`.

    Raises
    ------
    SettingsError
        If runs are to be resumed and no folder is given.
    RunError
        If it contains nothing to resume, or a new folder is not empty.
    """
    if resume and folder is None:
        raise SettingsError("--resume needs --run, the folder that holds the runs")
    return run_folder.choose_run_folder(folder, resume, name)


def train_each(base: Path, runs: Mapping[str, TrainSettings], say: Say, quiet: bool) -> None:
    """Train each run that is not finished, and resume one that was interrupted.

    Runs of the same frames read them once.

    Parameters
    ----------
    base : Path
        Folder of the run folders.
    runs : mapping of str to TrainSettings
        By the name of the run's folder.
    say, quiet
        As `sweep` takes them.
    """
    shared = SharedArrays()
    compiled: tuple[object, ...] = ()
    for number, (name, settings) in enumerate(runs.items(), start=1):
        folder = base / name
        if (folder / run_folder.SUMMARY).exists():
            say(f"{folder} is finished already")
            continue
        say(f"run {number} of {len(runs)}: {folder}")
        started = (folder / run_folder.CONFIG).exists()
        before, compiled = compiled, _compiled_for(settings)
        if before != compiled:
            # After eight networks of different shapes, torch would silently stop compiling.
            torch._dynamo.reset()
        train(replace(settings, run=folder, resume=started), say, quiet, shared=shared)


def _compiled_for(settings: TrainSettings) -> tuple[object, ...]:
    """Settings that determine the compiled network; runs that differ in others share it."""
    return (
        settings.architecture,
        settings.location_prior.prior_use,
        settings.selection,
        settings.training.batch_size,
        settings.hardware,
    )


def compare(summaries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Compute mean and spread of each metric over runs.

    Parameters
    ----------
    summaries : sequence of mapping
        The content of each run's summary.json.

    Returns
    -------
    table : dict
        By split (``val``, ``test``) and by the name of the metric: ``mean``, ``spread`` (the
        sample standard deviation) and ``values``, one for each run. A metric that a run lacks is
        left out.
    """
    table: dict[str, Any] = {}
    for split in ("val", "test"):
        for metric in METRICS:
            values = [_look_up(summary, split, metric) for summary in summaries]
            known = [value for value in values if value is not None]
            if len(known) == len(values):
                table.setdefault(split, {})[metric] = {
                    "mean": float(np.mean(known)),
                    "spread": float(np.std(known, ddof=1)) if len(known) > 1 else None,
                    "values": known,
                }
    return table


def describe(folder: Path) -> str:
    """Lay out a sweep's comparison: mean, spread and the value of each run, a metric per line."""
    table = json.loads((folder / SWEEP).read_text(encoding="utf-8"))
    rows = [["", "mean", "spread", *table["runs"]]]
    for split in ("val", "test"):
        for metric, numbers in table.get(split, {}).items():
            values = [numbers["mean"], numbers["spread"], *numbers["values"]]
            cells = ["-" if value is None else f"{value:.4f}" for value in values]
            rows.append([f"{split} {metric}", *cells])
    return text_table(rows)


def _look_up(summary: Mapping[str, Any], split: str, metric: str) -> float | None:
    value: Any = summary.get(split, {})
    for key in metric.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value
