"""A search over ranges of settings for the highest Dice on the validation frames, by Optuna.

A trial is a run. One that is worse than the median of the earlier trials after as many epochs is
stopped. The search is resumed from its journal in the folder.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from echo_common.cli.settings import replace
from echo_common.cli.start import import_extra
from echo_common.errors import RunError, SettingsError
from echo_train.data.resident import SharedArrays
from echo_train.experiments.comparison import group_results, write_sweep
from echo_train.experiments.grid import Axis, parse_axis
from echo_train.experiments.settings import SweepSettings, refuse_automatic
from echo_train.experiments.sweep import open_sweep
from echo_train.runs.summary import read_summary
from echo_train.training.preparation import Say
from echo_train.training.train import train

JOURNAL = "search.journal"
"""Optuna's record of the trials, in the folder of the search."""

LOGARITHMIC = 10.0
"""Ratio of the ends of a range from which its logarithm is searched."""

_RANGE = re.compile(r"\s*([\w-]+)\s*=\s*([-+.\de]+?)\.\.([-+.\de]+)\s*")


def search(settings: SweepSettings, say: Say = lambda line: None, quiet: bool = True) -> Path:
    """Train trials until there are as many as asked for, and compare those that finished.

    Parameters
    ----------
    settings : SweepSettings
        With `resume`, the trials of the folder count.
    say, quiet
        As `echo_train.training.train.train` takes them.

    Returns
    -------
    folder : Path
        Holds a run folder for each trial, config.toml, sweep.json and the journal.

    Raises
    ------
    SettingsError, StoreError, RunError
        As `echo_train.training.train.train` does; also if Optuna is not installed.
    """
    optuna = import_extra("--search", "optuna", "search")
    axes = [parse_range(text) for text in settings.search]
    if settings.axes() or settings.workers.jobs != 1:
        raise SettingsError(
            "--search trains one run after the other; leave out --grid, --seeds, --folds and --jobs"
        )
    refuse_automatic([settings])
    with open_sweep(settings, "search", left_out=(), may_differ=["trials"]) as output:
        base = output.folder
        study = _open_study(optuna, base, settings.training.seed)
        shared = SharedArrays()

        def objective(trial: Any) -> float:
            values = {axis.field: _suggest(trial, axis) for axis in axes}
            folder = base / f"trial-{trial.number}"
            say(f"trial {trial.number + 1} of {settings.trials}: {values}; {folder}")
            run = replace(settings.single_run(), **values, run=folder, resume=False)
            pruning = _Pruning(optuna, trial)
            try:
                train(run, say, quiet, shared=shared, observers=[pruning])
            except RunError as error:
                # Such as a loss that is not finite at too high a rate.
                say(f"trial {trial.number + 1} failed: {error}")
                raise optuna.TrialPruned from error
            return float(read_summary(folder)["val"]["dice"]["mean"])

        states = optuna.trial.TrialState
        done = study.get_trials(states=(states.COMPLETE, states.PRUNED))
        study.optimize(objective, n_trials=max(0, settings.trials - len(done)))
        names = [f"trial-{trial.number}" for trial in study.get_trials(states=(states.COMPLETE,))]
        if not names:
            raise RunError(f"no trial of {base} finished; search smaller ranges")
        write_sweep(output, group_results(base, names))
    return base


def parse_range(text: str) -> Axis:
    """Read ``learning-rate=1e-4..1e-2``, whose axis has two values and a mark, or a list of values.

    Raises
    ------
    SettingsError
        If it is neither, or the range is empty.
    """
    found = _RANGE.fullmatch(text)
    if not found:
        return parse_axis(text)
    name, low, high = found.groups()
    axis = parse_axis(f"{name}={low},{high}")
    if not all(isinstance(value, int | float) for value in axis.values):
        raise SettingsError(f"--search {text!r}: {name} is no number; give values such as a,b")
    if axis.values[0] >= axis.values[1]:
        raise SettingsError(f"--search {text!r} is no range from a smaller to a larger number")
    return Axis(field=axis.field, option=axis.option, values=axis.values, is_range=True)


def _suggest(trial: Any, axis: Axis) -> Any:
    if not axis.is_range:
        return trial.suggest_categorical(axis.option, list(axis.values))
    low, high = axis.values
    log = low > 0 and high / low >= LOGARITHMIC
    suggest = trial.suggest_int if isinstance(low, int) else trial.suggest_float
    return suggest(axis.option, low, high, log=log)


class _Pruning:
    """Reports each epoch's validation Dice to Optuna, and stops a trial that is not promising."""

    def __init__(self, optuna: Any, trial: Any) -> None:
        self._optuna = optuna
        self._trial = trial

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        self._trial.report(metrics["dice/val"], epoch)
        if self._trial.should_prune():
            raise self._optuna.TrialPruned

    def log_end(self, metrics: Mapping[str, float], pictures: Sequence[Path]) -> None:
        """All is known from the epochs."""

    def close(self) -> None:
        """Nothing is open."""


def _open_study(optuna: Any, base: Path, seed: int) -> Any:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    journal = importlib.import_module("optuna.storages.journal")
    storage = optuna.storages.JournalStorage(journal.JournalFileBackend(str(base / JOURNAL)))
    study = optuna.create_study(
        study_name="search", direction="maximize", storage=storage, load_if_exists=True
    )
    # The same trials follow an interruption, whenever it was.
    study.sampler = optuna.samplers.TPESampler(seed=seed + len(study.trials))
    study.pruner = optuna.pruners.MedianPruner(n_startup_trials=4)
    for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        study.enqueue_trial(trial.params)
    return study
