"""The command `echo-report`: finished runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from echo_common import atomic
from echo_common.errors import RunError
from echo_train.reporting.html_page import build_page
from echo_train.reporting.paired_difference import paired_difference, read_scores
from echo_train.reporting.plots import picture_curves
from echo_train.runs.run_folder import (
    ATTENTION,
    CURVES,
    METRICS,
    OVERLAY,
    SUMMARY,
    read_metrics,
)
from echo_train.runs.run_names import short_names

SPLITS = ("test", "val", "all", "train")
"""In this order one is looked for where one alone is shown."""

HEADER = (
    "run",
    "target",
    "split",
    "Dice",
    "95 %",
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


def figure_rows(
    runs: Sequence[tuple[Path, dict[str, Any]]], every_split: bool = False
) -> list[tuple[str, ...]]:
    """The figures of runs as text, in the columns of `HEADER`.

    Parameters
    ----------
    runs : sequence of (Path, dict)
        Run folders, or those of evaluations, with their summaries.
    every_split : bool
        A row for each split measured; by default the test split alone, or
        validation where there is no test.

    Raises
    ------
    RunError
        If a summary is not one that this version writes.
    """
    rows = []
    for folder, summary in runs:
        splits = [split for split in SPLITS if split in summary]
        try:
            rows += [_row(folder, summary, split) for split in splits[: None if every_split else 1]]
        except (KeyError, TypeError, ValueError) as error:
            raise RunError(
                f"{folder / SUMMARY} lacks figures that this version writes ({error}); measure "
                f"the run again with: echo-eval {folder}"
            ) from error
    return rows


def describe(runs: Sequence[tuple[Path, dict[str, Any]]], every_split: bool = False) -> str:
    """Lay runs out as a table, with the paths of their pictures under it; see `figure_rows`."""
    table = [HEADER, *figure_rows(runs, every_split)]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEADER))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    pictures = [f"  {path}" for folder, _ in runs for path in find_pictures(folder)]
    return "\n".join([*lines, "", "pictures:", *pictures])


def find_pictures(folder: Path) -> list[Path]:
    """The pictures that a run or an evaluation left."""
    paths = [folder / name for name in (CURVES, OVERLAY, ATTENTION)]
    return [path for path in paths if path.exists()]


def find_runs(folders: Sequence[Path]) -> list[Path]:
    """Put the finished runs of a sweep, or of an evaluation of several, in its place."""
    found = []
    for folder in folders:
        inner = sorted(path.parent for path in folder.glob(f"*/{SUMMARY}"))
        found += [folder] if (folder / SUMMARY).exists() or not inner else inner
    return found


def compare_runs(folders: Sequence[Path], summaries: Sequence[dict[str, Any]]) -> list[str]:
    """Compare each run with the first on the frames that both were measured on, in a sentence.

    Raises
    ------
    RunError
        If a frames.csv cannot be read.
    """
    first, *others = zip(folders, summaries, strict=True)
    sentences = []
    for folder, summary in others:
        shared = [split for split in SPLITS if split in summary and split in first[1]]
        if not shared:
            continue
        scores = (read_scores(one, shared[0]) for one in (folder, first[0]))
        difference = paired_difference(*scores)
        if difference is not None:
            sentences.append(f"Dice of {folder} less that of {first[0]}, {shared[0]}: {difference}")
    return sentences


def write_report(path: Path, folders: Sequence[Path], summaries: Sequence[dict[str, Any]]) -> None:
    """Write report.html: table, comparisons, curves, figures, settings and pictures of runs."""
    names = short_names(folders)
    histories = {
        name: read_metrics(folder)
        for name, folder in zip(names, folders, strict=True)
        if (folder / METRICS).exists()
    }
    runs = list(zip(folders, summaries, strict=True))
    page = build_page(
        names,
        summaries,
        [HEADER, *figure_rows(runs, every_split=True)],
        compare_runs(folders, summaries),
        picture_curves(histories) if histories else None,
        [find_pictures(folder) for folder in folders],
    )
    atomic.write_text(path, page)


def _row(folder: Path, summary: dict[str, Any], split: str) -> tuple[str, ...]:
    figures = summary[split]
    dice = figures["dice"]
    low, high = dice["ci95"]
    return (
        str(folder),
        summary["choice"],
        split,
        _figure(dice["mean"], 4),
        "-" if low is None else f"{low:.3f}-{high:.3f}",
        _figure(dice["ed"], 3),
        _figure(dice["es"], 3),
        _figure(dice["pooled"], 4),
        _figure(figures["hd95"]["mean"], 2),
        _figure(figures.get("mean_radial_error", {}).get("mean"), 2),
        str(figures["missed_frames"]),
        f"{100 * figures['shape']['implausible']['mean']:.1f} %",
        _figure(figures["pixel_accuracy"]["mean"], 4),
        _figure(summary["seconds"], 0),
    )


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
