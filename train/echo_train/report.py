"""The command `echo-report`: finished runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from echo_common.command import run_command

from echo_train.pictures import CURVES, OVERLAY
from echo_train.run import read_summary


def describe(runs: Sequence[tuple[Path, dict[str, Any]]]) -> str:
    """Lay runs out as a table, with the paths of their pictures under it.

    Parameters
    ----------
    runs : sequence of (Path, dict)
        Run folders with their summaries.

    Returns
    -------
    text : str
        A run a line: target, foreground Dice with its 95 % interval, mean
        radial error, the paper's pixel accuracy, seconds. The figures are
        those of the test split, or of validation where there is no test.
    """
    header = (
        "run",
        "target",
        "split",
        "Dice",
        "95 %",
        "ED",
        "ES",
        "MRE px",
        "pixel acc.",
        "seconds",
    )
    table = [header, *(_row(folder, summary) for folder, summary in runs)]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    pictures = [str(folder / name) for folder, _ in runs for name in (CURVES, OVERLAY)]
    return "\n".join([*lines, "", "pictures:", *(f"  {path}" for path in pictures)])


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="echo-lv-segmentation")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
def cli(runs: tuple[Path, ...]) -> None:
    """Compare finished runs: the true foreground Dice first."""
    click.echo(describe([(folder, read_summary(folder)) for folder in runs]))


def main() -> None:
    """Run the command; the console script's entry point."""
    run_command(cli)


def _row(folder: Path, summary: dict[str, Any]) -> tuple[str, ...]:
    split = "test" if "test" in summary else "val"
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
        _figure(figures.get("mean_radial_error", {}).get("mean"), 2),
        _figure(figures["pixel_accuracy"]["mean"], 4),
        _figure(summary["seconds"], 0),
    )


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
