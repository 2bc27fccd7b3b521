"""The runs of a grid, trained one after the other or at once.

`echo-train --grid`, `--seeds` and `--folds` train a run for each combination of values.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from echo_common.cli.settings import replace, to_table, to_toml
from echo_common.errors import EchoError, RunError, SettingsError
from echo_common.output_folder import OutputFolder
from echo_train.data.resident import SharedArrays
from echo_train.experiments.comparison import SWEEP, compare, group_results, write_sweep
from echo_train.experiments.settings import BACKENDS, ONE_CALL, SweepSettings, WorkerSettings
from echo_train.experiments.workers import train_at_once
from echo_train.reporting.run_rows import AVERAGED
from echo_train.runs import run_folder
from echo_train.runs.summary import read_summary
from echo_train.training.preparation import Say
from echo_train.training.resume import check_settings, explain_interruption
from echo_train.training.settings import TrainSettings
from echo_train.training.train import train

ONE_WORKER = WorkerSettings()


def sweep(settings: SweepSettings, say: Say = lambda line: None, quiet: bool = True) -> Path:
    """Train each run of a sweep that is not finished, and compare all of them.

    Parameters
    ----------
    settings : SweepSettings
        With `resume`, finished runs are kept and an interrupted one is resumed.
    say, quiet
        As `echo_train.training.train.train` takes them.

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
    # A folder of an earlier version has no key for a grid.
    left_out = ("search", "trials", *(() if settings.grid else ("grid",)))
    with open_sweep(settings, "grid" if settings.grid else "sweep", left_out) as output:
        base = output.folder
        train_each(base, runs, say, quiet, settings.workers)
        table: dict[str, Any] = {"runs": list(runs)}
        if {axis.field for axis in settings.axes()} <= set(AVERAGED):
            table |= compare([read_summary(base / name) for name in runs])
        else:
            table = group_results(base, list(runs))
        write_sweep(output, table)
    return base


@contextlib.contextmanager
def open_sweep(
    settings: SweepSettings, name: str, left_out: Sequence[str], may_differ: Sequence[str] = ()
) -> Iterator[OutputFolder]:
    """Open the folder of several runs, with its config.toml: written, or checked on resuming.

    Parameters
    ----------
    name : str
        Name of a new folder under ``runs/``.
    left_out : sequence of str
        Settings that config.toml does not have, besides `ONE_CALL`.
    may_differ : sequence of str
        Settings that may change on resuming, besides the path of the store.

    Raises
    ------
    SettingsError, RunError
        If the folder cannot be used, or has other settings.
    """
    resume, left_out = settings.folder.resume, (*ONE_CALL, *left_out)
    base = choose_base(settings.folder.run, resume, name)
    inputs = [settings.selection.store]
    with explain_interruption(base), run_folder.open_run_folder(base, resume, inputs) as output:
        if resume:
            now = to_table(settings, leave_out=left_out)
            check_settings(run_folder.read_config(base), now, base, ["store", *may_differ])
            output.adopt(run_folder.CONFIG, SWEEP)
        output.claim(SWEEP)
        if not resume:
            output.write_text(run_folder.CONFIG, to_toml(settings, leave_out=left_out))
        yield output


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
        As `echo_train.training.train.train` takes them.
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
