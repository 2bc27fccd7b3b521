"""Several runs that differ in seed or fold alone, and how far their figures lie apart.

One number of one run says little: `echo-train --seeds 3` and `--folds 5`
train each in turn, and sweep.json holds the mean and the spread.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from echo_common import atomic
from echo_common.cli.settings import to_toml
from echo_common.errors import SettingsError
from echo_train.runs import run_folder
from echo_train.runs.resume import check_same, resumable
from echo_train.settings import SweepSettings
from echo_train.training.train import Say, train

SWEEP = "sweep.json"

FIGURES = (
    "dice.mean",
    "dice.pooled",
    "dice.ed",
    "dice.es",
    "pixel_accuracy.mean",
    "mean_radial_error.mean",
)
"""What is compared, as summary.json has it; the first is the one that counts."""


def sweep(settings: SweepSettings, say: Say = lambda line: None, quiet: bool = True) -> Path:
    """Train each run of a sweep that is not finished, and compare all of them.

    Parameters
    ----------
    settings : SweepSettings
        With `resume`, runs that are finished are kept and one that was
        stopped goes on.
    say : callable
        Takes each line that a person should read.
    quiet : bool
        No progress on stderr.

    Returns
    -------
    folder : Path
        Holds a run folder for each run, config.toml and sweep.json.

    Raises
    ------
    SettingsError, StoreError, RunError
        As `echo_train.training.train.train` does.
    """
    if settings.resume and settings.run is None:
        raise SettingsError("--resume needs --run, the folder of the sweep to go on with")
    runs = settings.runs()
    next(iter(runs.values())).check()
    base = run_folder.open_folder(settings.run, settings.resume, "sweep")
    if settings.resume:
        check_same(run_folder.read_config(base), settings, base)
    else:
        atomic.write_text(base / run_folder.CONFIG, to_toml(settings, leave_out=("run", "resume")))
    with resumable(base):
        for place, (name, one) in enumerate(runs.items(), start=1):
            folder = base / name
            if (folder / run_folder.SUMMARY).exists():
                say(f"{folder} is finished already")
                continue
            say(f"run {place} of {len(runs)}: {folder}")
            begun = (folder / run_folder.CONFIG).exists()
            train(dataclasses.replace(one, run=folder, resume=begun), say, quiet)
        summaries = {name: run_folder.read_summary(base / name) for name in runs}
        table = {"runs": list(runs), **compare(list(summaries.values()))}
        atomic.write_text(base / SWEEP, json.dumps(table, indent=2, allow_nan=False) + "\n")
    return base


def compare(summaries: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Mean and spread of each figure over runs.

    Parameters
    ----------
    summaries : sequence of mapping
        The content of each run's summary.json.

    Returns
    -------
    table : dict
        By split (``val``, ``test``) and by the figure's name: ``mean``,
        ``spread``, the standard deviation of a sample, and ``values``, one a
        run. A figure that a run lacks is left out.
    """
    table: dict[str, Any] = {}
    for split in ("val", "test"):
        for figure in FIGURES:
            values = [_figure(summary, split, figure) for summary in summaries]
            known = [value for value in values if value is not None]
            if len(known) == len(values):
                table.setdefault(split, {})[figure] = {
                    "mean": float(np.mean(known)),
                    "spread": float(np.std(known, ddof=1)) if len(known) > 1 else None,
                    "values": known,
                }
    return table


def describe(folder: Path) -> str:
    """Lay a sweep's comparison out: each figure's mean, spread and value in each run."""
    table = json.loads((folder / SWEEP).read_text(encoding="utf-8"))
    lines = [["", "mean", "spread", *table["runs"]]]
    for split in ("val", "test"):
        for figure, numbers in table.get(split, {}).items():
            values = [numbers["mean"], numbers["spread"], *numbers["values"]]
            cells = ["-" if value is None else f"{value:.4f}" for value in values]
            lines.append([f"{split} {figure}", *cells])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _figure(summary: Mapping[str, Any], split: str, figure: str) -> float | None:
    value: Any = summary.get(split, {})
    for key in figure.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value
