"""Curves over the epochs: their axes, and those of several runs as SVG that is part of the page.

Each line carries the number of its row, so that the page can pick it out, and
has the colours of the page, light or dark. `echo_train.reporting.plots` draws those of one run.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence

from matplotlib.ticker import MaxNLocator

from echo_train.runs.run_folder import EpochRow

WIDTH, HEIGHT = 460, 250
LEFT, RIGHT, TOP, BOTTOM = 52, 10, 10, 34
"""Margins of a plot, for its ticks and labels."""

Run = tuple[int, str, Sequence[EpochRow]]
"""Number of the run's row in the table, its name, and its epochs."""

LATER_SHARE = 0.1
"""Of an axis, for the values of the later half of the epochs at least."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plot:
    """Curves on axes, in the units of an SVG of `WIDTH` by `HEIGHT`.

    Attributes
    ----------
    lines : list of (int, str, str)
        Row, name, and coordinates of each curve as SVG takes them.
    x_ticks, y_ticks : list of (float, str)
        Position and label.
    """

    title: str
    lines: list[tuple[int, str, str]]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]


def axis_range(curves: Iterable[Sequence[float]]) -> tuple[float, float, str]:
    """Find a range for an axis that large values of early epochs do not flatten.

    The loss of the first epoch may be a hundred times that of the others.

    Parameters
    ----------
    curves : iterable of sequence of float
        Each in the order of its epochs; values that are not finite are left out.

    Returns
    -------
    lowest, highest : float
        Of all values, or of those that leave `LATER_SHARE` to the later half.
    note : str
        How large the values above it are; "" if there are none.

    Examples
    --------
    >>> axis_range([[8.0, 0.5, 0.2, 0.1], [0.6, 0.4, 0.3, 0.2]])
    (0.1, 0.6, 'early values up to 8 are cut off')
    """
    finite = [[value for value in curve if math.isfinite(value)] for curve in curves]
    finite = [curve for curve in finite if curve]
    values = [value for curve in finite for value in curve] or [0.0]
    lowest, largest = min(values), max(values)
    later = max((max(curve[len(curve) // 2 :]) for curve in finite), default=lowest)
    limit = lowest + (later - lowest) / LATER_SHARE if later > lowest else largest
    highest = max(value for value in values if value <= limit)
    note = f"early values up to {largest:.3g} are cut off" if largest > highest else ""
    return lowest, highest, note


def draw_plot(title: str, runs: Sequence[Run], metric: str) -> Plot | None:
    """Plot a metric of runs over their epochs; None if no run has a finite value."""
    curves = [
        [(row.epoch, y) for row in history if math.isfinite(y := float(getattr(row, metric)))]
        for _, _, history in runs
    ]
    points = [point for curve in curves for point in curve]
    if not points:
        return None
    x_ticks = MaxNLocator(nbins=6, integer=True).tick_values(1, max(2, max(x for x, _ in points)))
    low, high, note = axis_range([y for _, y in curve] for curve in curves)
    y_ticks = MaxNLocator(nbins=5).tick_values(low, high if high > low else low + 1e-3)
    last = max(2.0, max(x for x, _ in points))

    def x_of(epoch: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (epoch - 1) / (last - 1), 1)

    def y_of(value: float) -> float:
        share = (min(value, y_ticks[-1]) - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share, 1)

    return Plot(
        title=f"{title} ({note})" if note else title,
        lines=[
            (number, name, " ".join(f"{x_of(x)},{y_of(y)}" for x, y in curve))
            for (number, name, _), curve in zip(runs, curves, strict=True)
        ],
        x_ticks=[(x_of(tick), f"{tick:g}") for tick in x_ticks if 1 <= tick <= last],
        y_ticks=[(y_of(tick), f"{tick:.4g}") for tick in y_ticks],
    )
