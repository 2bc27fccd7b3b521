"""The metrics of several runs, compared: sweep.json.

The metrics of one run depend on its seed and its validation videos, so sweep.json holds the mean
and the spread over the runs that differ only in these.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from echo_common.output_folder import OutputFolder
from echo_common.tables import text_table
from echo_train.reporting.run_rows import average_rows, make_rows, sort_rows
from echo_train.reporting.run_table import table_rows
from echo_train.runs.summary import look_up, read_summary

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


def write_sweep(output: OutputFolder, table: Mapping[str, Any]) -> None:
    """Write the metrics of several runs, from `compare` or `group_results`, to sweep.json."""
    output.write_text(SWEEP, json.dumps(table, indent=2, allow_nan=False) + "\n")


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
            values = [look_up(summary, f"{split}.{metric}") for summary in summaries]
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
