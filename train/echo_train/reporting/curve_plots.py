"""Curves of several runs over the epochs, as SVG that is part of the page.

Each line carries the number of its row, so that the page can pick it out, and
has the colours of the page, light or dark.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from matplotlib.ticker import MaxNLocator

from echo_train.runs.run_folder import EpochRow

WIDTH, HEIGHT = 460, 250
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 10, 34
"""Margins of a plot, for its ticks and labels."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curve:
    """The values of a run over the epochs.

    Attributes
    ----------
    row : int
        Number of the run's row in the table.
    name : str
    points : tuple of (float, float)
        Epoch and value; where none is finite, the curve has no point.
    """

    row: int
    name: str
    points: tuple[tuple[float, float], ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plot:
    """Curves on axes, in the units of an SVG of `WIDTH` by `HEIGHT`.

    Attributes
    ----------
    title : str
    lines : list of (int, str, str)
        Row, name, and coordinates of each curve as SVG takes them.
    x_ticks, y_ticks : list of (float, str)
        Position and label.
    """

    title: str
    lines: list[tuple[int, str, str]]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]


def curve_of(row: int, name: str, history: Sequence[EpochRow], metric: str) -> Curve:
    """Take one metric of a run's epochs; an epoch whose value is not finite is left out."""
    values = [(float(epoch.epoch), float(getattr(epoch, metric))) for epoch in history]
    return Curve(row=row, name=name, points=tuple(v for v in values if math.isfinite(v[1])))


def draw_plot(title: str, curves: Sequence[Curve]) -> Plot | None:
    """Scale curves to a plot; None if no curve has a point."""
    points = [point for curve in curves for point in curve.points]
    if not points:
        return None
    x_ticks = MaxNLocator(nbins=6, integer=True).tick_values(1, max(2, max(x for x, _ in points)))
    low, high = min(y for _, y in points), max(y for _, y in points)
    y_ticks = MaxNLocator(nbins=5).tick_values(low, high if high > low else low + 1e-3)
    last = max(2.0, max(x for x, _ in points))

    def x_of(epoch: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (epoch - 1) / (last - 1), 1)

    def y_of(value: float) -> float:
        share = (value - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share, 1)

    return Plot(
        title=title,
        lines=[
            (curve.row, curve.name, " ".join(f"{x_of(x)},{y_of(y)}" for x, y in curve.points))
            for curve in curves
        ],
        x_ticks=[(x_of(tick), f"{tick:g}") for tick in x_ticks if 1 <= tick <= last],
        y_ticks=[(y_of(tick), f"{tick:.4g}") for tick in y_ticks],
    )
