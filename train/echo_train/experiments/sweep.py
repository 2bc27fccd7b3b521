"""The runs of a grid, trained one after the other or at once, and the table of their metrics.

`echo-train --grid`, `--seeds` and `--folds` train a run for each combination of values. The metrics
of one run depend on its seed and its validation videos, so sweep.json holds the mean and the spread
over the runs that differ only in these.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from echo_common.cli.settings import replace, to_table, to_toml
from echo_common.errors import EchoError, RunError, SettingsError
from echo_common.tables import text_table
from echo_train.data.resident import SharedArrays
from echo_train.experiments.settings import BACKENDS, ONE_CALL, SweepSettings, WorkerSettings
from echo_train.experiments.workers import train_at_once
from echo_train.reporting.run_rows import AVERAGED, average_rows, make_rows, sort_rows
from echo_train.reporting.run_table import table_rows
from echo_train.runs import run_folder
from echo_train.runs.summary import read_summary
from echo_train.training.preparation import Say
from echo_train.training.resume import check_settings, explain_interruption
from echo_train.training.settings import TrainSettings
from echo_train.training.train import train

SWEEP = "sweep.json"

ONE_WORKER = WorkerSettings()

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
    for run in runs.values():
        run.check()
    settings.workers.check()
    resume = settings.folder.resume
    base = choose_base(settings.folder.run, resume, "grid" if settings.grid else "sweep")
    # A folder of an earlier version has no key for a grid.
    one_call = (*ONE_CALL, "search", "trials", *(() if settings.grid else ("grid",)))
    inputs = [settings.selection.store]
    with explain_interruption(base), run_folder.open_run_folder(base, resume, inputs) as output:
        if resume:
            now = to_table(settings, leave_out=one_call)
            check_settings(run_folder.read_config(base), now, base, may_differ=["store"])
            output.adopt(run_folder.CONFIG, SWEEP)
        output.claim(SWEEP)
        if not resume:
            text = to_toml(settings, leave_out=one_call)
            output.write_text(run_folder.CONFIG, text)
        train_each(base, runs, say, quiet, settings.workers)
        table: dict[str, Any] = {"runs": list(runs)}
        if {axis.field for axis in settings.axes()} <= set(AVERAGED):
            table |= compare([read_summary(base / name) for name in runs])
        else:
            table = group_results(base, list(runs))
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


def train_each(
    base: Path,
    runs: Mapping[str, TrainSettings],
    say: Say,
    quiet: bool,
    workers: WorkerSettings = ONE_WORKER,
) -> None:
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
    workers : WorkerSettings
        How many runs are trained at once, and where.

    Raises
    ------
    RunError
        If a run failed, after all others.
    """
    remaining = {}
    for name, settings in runs.items():
        folder = base / name
        if (folder / run_folder.SUMMARY).exists():
            say(f"{folder} is finished already")
            continue
        started = (folder / run_folder.CONFIG).exists()
        remaining[name] = replace(settings, run=folder, resume=started)
    in_turn = workers.jobs == 1 and workers.backend == BACKENDS[0]
    results = (
        _train_in_turn(remaining, say, quiet) if in_turn else train_at_once(remaining, workers)
    )
    failed = {}
    for number, (name, error) in enumerate(results, start=1):
        if error is not None:
            failed[name] = error
            say(f"{base / name} failed: {error}")
        elif not in_turn:
            score = read_summary(base / name)["val"]["dice"]["mean"]
            say(f"{number} of {len(remaining)}: {base / name}, validation Dice {score:.4f}")
    if failed:
        name, error = next(iter(failed.items()))
        raise RunError(
            f"{len(failed)} of {len(runs)} runs failed, {name} first: {error}; the others are "
            f"finished. To try again: echo-train --resume --run {base}"
        )


def _train_in_turn(
    runs: Mapping[str, TrainSettings], say: Say, quiet: bool
) -> Iterator[tuple[str, EchoError | None]]:
    shared = SharedArrays()
    compiled: tuple[object, ...] = ()
    for number, (name, settings) in enumerate(runs.items(), start=1):
        say(f"run {number} of {len(runs)}: {settings.folder.run}")
        before, compiled = compiled, _compiled_for(settings)
        if before != compiled:
            # After eight networks of different shapes, torch would silently stop compiling.
            torch._dynamo.reset()
        try:
            train(settings, say, quiet, shared=shared)
        except RunError as error:
            yield name, error
        else:
            yield name, None


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
    """Lay out the comparison of a sweep.

    Returns
    -------
    text : str
        Of runs that differ only in seed and fold: mean, spread and the value of each run, a metric
        per line. Of others: a line for each run, or for those that do; the best on the validation
        frames first.
    """
    table = json.loads((folder / SWEEP).read_text(encoding="utf-8"))
    if "groups" in table:
        folders = [folder / name for name in table["runs"]]
        grid = average_rows(make_rows(folders, [read_summary(path) for path in folders]))
        return text_table(table_rows(sort_rows(grid, "val.dice")))
    rows = [["", "mean", "spread", *table["runs"]]]
    for split in ("val", "test"):
        for metric, numbers in table.get(split, {}).items():
            values = [numbers["mean"], numbers["spread"], *numbers["values"]]
            cells = ["-" if value is None else f"{value:.4f}" for value in values]
            rows.append([f"{split} {metric}", *cells])
    return text_table(rows)


def best_run(folder: Path) -> Path:
    """Folder of the run of a sweep with the highest Dice on its validation frames."""
    names = json.loads((folder / SWEEP).read_text(encoding="utf-8"))["runs"]
    return max(
        (folder / name for name in names),
        key=lambda run: read_summary(run)["val"]["dice"]["mean"] or 0.0,
    )


def group_results(base: Path, names: Sequence[str]) -> dict[str, Any]:
    """Content of sweep.json for runs of any settings.

    Returns
    -------
    table : dict
        ``runs``, and in ``groups`` the comparison of those that differ in seed and fold alone.
    """
    folders = [base / name for name in names]
    rows = average_rows(make_rows(folders, [read_summary(folder) for folder in folders]))
    groups = {
        row.name: {"runs": [path.name for path in row.folders], **compare(row.summaries)}
        for row in rows
    }
    return {"runs": list(names), "groups": groups}


def _look_up(summary: Mapping[str, Any], split: str, metric: str) -> float | None:
    value: Any = summary.get(split, {})
    for key in metric.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value
