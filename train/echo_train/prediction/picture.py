"""The picture of a clip: its curves with the beats, and its ED and ES frames with contours."""

from __future__ import annotations

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from echo_train.prediction.measurement import Measurement, headline
from echo_train.prediction.segment import Segmentation
from echo_train.reporting.plots import encode_png, plain_label

_ED, _ES, _RAW = "#1769aa", "#d1495b", "#9aa5b1"
"""Colours of end-diastole, of end-systole and of single frames."""


def clip_png(
    title: str,
    found: Segmentation,
    measured: Measurement,
    pictures: dict[str, np.ndarray],
    note: str = "",
) -> bytes:
    """Plot the curves of area and volume, and show frames next to them.

    Parameters
    ----------
    pictures : dict of str to ndarray (y, x, 3) uint8
        Frames with their contours by title, as (blue, green, red).
    note : str
        On the model; shown below.
    """
    figure = Figure(figsize=(6.4 + 3 * len(pictures), 4.6), layout="constrained")
    grid = figure.add_gridspec(2, 2 + len(pictures))
    seconds = found.seconds
    times, label = (
        (found.numbers, "frame") if np.isnan(seconds).any() else (seconds, "time in seconds")
    )
    units = {"area": "area in px²", "volume": f"volume in {measured.volume_unit}"}
    first: Axes | None = None
    for row, (name, unit) in enumerate(units.items()):
        axes = figure.add_subplot(grid[row, :2], sharex=first)
        first = first or axes
        _plot(axes, times, measured, name)
        axes.set_ylabel(unit)
    axes.set_xlabel(label)
    assert first is not None
    first.tick_params(labelbottom=False)
    first.legend(loc="upper right", fontsize=8, ncols=4, frameon=False)
    first.margins(y=0.25)
    for column, (name, picture) in enumerate(pictures.items()):
        axes = figure.add_subplot(grid[:, 2 + column])
        axes.imshow(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
        axes.set_title(name, fontsize=10)
        axes.set_axis_off()
    if note:
        figure.supxlabel(plain_label(note), fontsize=8)
    figure.suptitle(f"{plain_label(title)}\n{headline(measured)}", fontsize=10)
    return encode_png(figure)


def _plot(axes: Axes, times: np.ndarray, measured: Measurement, name: str) -> None:
    smooth = measured.curves[f"smooth_{name}"]
    axes.plot(times, measured.curves[name], ".", color=_RAW, markersize=3, label="frame")
    if measured.status != "not measurable":
        axes.plot(times, smooth, "-", color="black", linewidth=1, label="smoothed")
    for frames, colour, marker, label in (
        (measured.ed, _ED, "^", "ED"),
        (measured.es, _ES, "v", "ES"),
    ):
        if len(frames):
            axes.plot(times[frames], smooth[frames], marker, color=colour, label=label)
    axes.grid(alpha=0.3)
