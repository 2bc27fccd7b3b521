"""The table of a model's figures under corruptions: noise.csv."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence

from echo_train.transforms.corruptions import CORRUPTIONS

CLEAN = ("clean", 0.0)
"""In the place of a corruption and its severity: images as they are."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class NoiseRow:
    """One line of noise.csv: a model's figures under one corruption.

    Attributes
    ----------
    corruption : str
        A name of `echo_train.transforms.corruptions.CORRUPTIONS`, or that of `CLEAN`.
    severity : float
    dice, low, high : float
        Mean foreground Dice and its 95 % interval.
    pooled, ed, es : float or None
    hd95 : float
        In pixels.
    implausible : float
        Share of predictions that no ventricle looks like.
    missed_frames : int
    mean_radial_error : float or None
        In pixels; None where masks are predicted, or every landmark is missed.
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


def noise_table(measured: Mapping[str, Sequence[NoiseRow]]) -> str:
    """The rows of several runs as CSV; what has no value is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [field.name for field in dataclasses.fields(NoiseRow)]
    writer.writerow(["run", *columns])
    for name, rows in measured.items():
        for row in rows:
            writer.writerow([name, *map(_cell, dataclasses.astuple(row))])
    return text.getvalue()


def describe_noise(measured: Mapping[str, Sequence[NoiseRow]]) -> str:
    """Figures of several runs as text: a corruption a block, a figure of a run a line."""
    labels = {"dice": "Dice", "hd95": "HD95 px", "implausible": "implausible"}
    formats = {"dice": "8.3f", "hd95": "8.1f", "implausible": "8.1%"}
    width = max(len(name) for name in ("", *measured)) + 1
    right = max(map(len, labels.values()))
    lines = []
    for corruption, one in CORRUPTIONS.items():
        severities = "".join(f"{severity:>8g}" for severity in one.severities)
        lines += ["", f"{corruption} ({one.unit})", f"{'':{width + right}}{'clean':>8}{severities}"]
        for figure, label in labels.items():
            for name, rows in measured.items():
                chosen = [row for row in rows if row.corruption in (CLEAN[0], corruption)]
                values = "".join(f"{getattr(row, figure):{formats[figure]}}" for row in chosen)
                lines.append(f"{name:{width}}{label:{right}}{values}")
    return "\n".join(lines[1:])


def _cell(value: str | float | None) -> str:
    if value is None:
        return ""
    return f"{value:.6f}" if isinstance(value, float) else str(value)
