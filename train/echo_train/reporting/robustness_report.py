"""Metrics of models under graded corruptions: noise.csv, noise.png and the printed table.

`echo_train.evaluation.robustness` computes them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from echo_common.tables import csv_table, fixed, text_table
from echo_train.reporting import plots
from echo_train.transforms.corruptions import CORRUPTIONS

CLEAN = ("clean", 0.0)
"""Corruption and severity of the row of unchanged images."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RobustnessRow:
    """One line of noise.csv: the metrics of a model under one corruption.

    Attributes
    ----------
    corruption : str
        A name of `echo_train.transforms.corruptions.CORRUPTIONS`, or that of `CLEAN`.
    dice, low, high : float
        Mean foreground Dice and its 95 % interval.
    pooled, ed, es : float or None
    hd95 : float
        In pixels.
    implausible : float
        Share of predictions with a shape or size that no ventricle has.
    mean_radial_error : float or None
        In pixels; None if masks are predicted or every landmark is missed.
    """

    corruption: str
    severity: float
    dice: float
    low: float
    high: float
    pooled: float
    ed: float | None
    es: float | None
    hd95: float
    implausible: float
    missed_frames: int
    mean_radial_error: float | None


def robustness_csv(measured: Mapping[str, Sequence[RobustnessRow]]) -> str:
    """Format the rows of several runs as CSV; missing values are empty."""
    columns = [field.name for field in dataclasses.fields(RobustnessRow)]
    lines = [
        [
            name,
            *(
                fixed(value, 6) if isinstance(value, float) else value
                for value in dataclasses.astuple(row)
            ),
        ]
        for name, rows in measured.items()
        for row in rows
    ]
    return csv_table([["run", *columns], *lines])


def describe_robustness(measured: Mapping[str, Sequence[RobustnessRow]]) -> str:
    """Lay out the metrics of several runs as text, in a table for each corruption."""
    formats = {
        "dice": ("Dice", "8.3f"),
        "hd95": ("HD95 px", "8.1f"),
        "implausible": ("implausible", "8.1%"),
    }
    tables = []
    for corruption, settings in CORRUPTIONS.items():
        severities = [f"{severity:>8g}" for severity in settings.severities]
        table = [[f"{corruption} ({settings.unit})", "", f"{'clean':>8}", *severities]]
        for metric, (label, form) in formats.items():
            for name, rows in measured.items():
                chosen = [row for row in rows if row.corruption in (CLEAN[0], corruption)]
                values = [f"{getattr(row, metric):{form}}" for row in chosen]
                table.append([name, label, *values])
        tables.append(text_table(table))
    return "\n\n".join(tables)


def robustness_png(measured: Mapping[str, Sequence[RobustnessRow]]) -> bytes:
    """Plot the Dice of several runs over the severity of each corruption.

    Parameters
    ----------
    measured : mapping of str to sequence of RobustnessRow
        By the name of the run, as `echo_train.evaluation.robustness.measure_robustness`
        returns them.
    """
    figure = Figure(figsize=(11, 6.4), layout="constrained")
    grid = figure.subplots(2, 3, sharey=True).flat
    for axes, (corruption, settings) in zip(grid, CORRUPTIONS.items(), strict=True):
        for number, rows in enumerate(measured.values()):
            # The clean frames are a point of every curve.
            curve = {
                row.severity if row.corruption == corruption else settings.clean: row
                for row in rows
                if row.corruption in (corruption, CLEAN[0])
            }
            severities = sorted(curve)
            dice, low, high = (
                [getattr(curve[severity], name) for severity in severities]
                for name in ("dice", "low", "high")
            )
            axes.plot(severities, dice, color=f"C{number}", marker=".")
            axes.fill_between(severities, low, high, color=f"C{number}", alpha=0.2, linewidth=0)
        axes.set_title(corruption, fontsize=10)
        axes.set_xlabel(settings.unit, fontsize=9)
        axes.set_ylim(0, 1)
        axes.grid(alpha=0.25)
    figure.supylabel("foreground Dice, 95 % interval", fontsize=10)
    figure.legend(
        handles=[
            Line2D([], [], color=f"C{number}", marker=".", label=plots.plain_label(name))
            for number, name in enumerate(measured)
        ],
        loc="outside lower center",
        ncols=min(4, len(measured)),
        frameon=False,
    )
    return plots.encode_png(figure)
