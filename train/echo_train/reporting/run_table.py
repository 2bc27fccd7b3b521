"""Finished runs as a table of text; `echo-report` and the other commands print it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from echo_common.tables import text_table
from echo_train.runs.run_folder import ATTENTION, CURVES, OVERLAY, SUMMARY
from echo_train.runs.summary import SPLITS

HEADER = (
    "run",
    "target",
    "split",
    "Dice",
    "95 % interval",
    "ED",
    "ES",
    "pooled",
    "HD95 px",
    "MRE px",
    "missed",
    "implausible",
    "pixel acc.",
    "seconds",
)


def find_runs(folders: Sequence[Path]) -> list[Path]:
    """Replace the folder of a sweep, or of an evaluation of several runs, by its runs."""
    found = []
    for folder in folders:
        inner = sorted(path.parent for path in folder.glob(f"*/{SUMMARY}"))
        found += [folder] if (folder / SUMMARY).exists() or not inner else inner
    return found


def find_pictures(folder: Path) -> list[Path]:
    """Find the pictures of a run or an evaluation."""
    paths = [folder / name for name in (CURVES, OVERLAY, ATTENTION)]
    return [path for path in paths if path.is_file()]


def table_rows(
    runs: Sequence[tuple[Path, dict[str, Any]]], every_split: bool = False
) -> list[tuple[str, ...]]:
    """Format the metrics of runs in the columns of `HEADER`.

    Parameters
    ----------
    runs : sequence of (Path, dict)
        Folders of runs or evaluations, with their summaries.
    every_split : bool
        One row for each split; by default only for the first of `SPLITS`.
    """
    rows = []
    for folder, summary in runs:
        splits = [split for split in SPLITS if split in summary]
        rows += [_row(folder, summary, split) for split in splits[: None if every_split else 1]]
    return rows


def describe(runs: Sequence[tuple[Path, dict[str, Any]]], every_split: bool = False) -> str:
    """Lay out runs as a table, followed by notes and the paths of pictures; see `table_rows`."""
    table = text_table([HEADER, *table_rows(runs, every_split)])
    pictures = [f"  {path}" for folder, _ in runs for path in find_pictures(folder)]
    notes = [f"note: {folder}: {note}" for folder, summary in runs for note in notes_of(summary)]
    return "\n".join([table, *notes, "", "pictures:", *pictures])


def notes_of(summary: dict[str, Any]) -> list[str]:
    """Where a model and the store that it was measured on do not go together."""
    notes = summary.get("notes")
    return [str(note) for note in notes] if isinstance(notes, list) else []


def _row(folder: Path, summary: dict[str, Any], split: str) -> tuple[str, ...]:
    metrics = summary[split]
    dice = metrics["dice"]
    low, high = dice["ci95"]
    return (
        str(folder),
        summary["choice"],
        split,
        _number(dice["mean"], 4),
        "-" if low is None or high is None else f"{low:.3f} to {high:.3f}",
        _number(dice["ed"], 3),
        _number(dice["es"], 3),
        _number(dice["pooled"], 4),
        _number(metrics["hd95"]["mean"], 2),
        _number(metrics.get("mean_radial_error", {}).get("mean"), 2),
        str(metrics["missed_frames"]),
        f"{100 * metrics['shape']['implausible']['mean']:.1f} %",
        _number(metrics["pixel_accuracy"]["mean"], 4),
        _number(summary["seconds"], 0),
    )


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
