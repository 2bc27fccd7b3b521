"""The command `echo-report`: finished runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from echo_common.command import run_command

from echo_train.pictures import ATTENTION, CURVES, OVERLAY
from echo_train.run import read_summary

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
    """
    rows = []
    for folder, summary in runs:
        splits = [split for split in SPLITS if split in summary]
        rows += [_row(folder, summary, split) for split in splits[: None if every_split else 1]]
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


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="echo-lv-segmentation")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
def cli(runs: tuple[Path, ...]) -> None:
    """Compare finished runs: the true foreground Dice first."""
    click.echo(describe([(folder, read_summary(folder)) for folder in runs]))


def main() -> None:
    """Run the command; the console script's entry point."""
    run_command(cli)


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
