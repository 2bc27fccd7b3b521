"""Pictures of a run, its curves and contours over frames: arrays in, the bytes of a PNG out."""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from echo_common.geometry.raster import mask_outlines
from echo_common.paper import Curves, Published
from echo_train.reporting.curve_plots import axis_range
from echo_train.runs.run_folder import EpochRow

TRUE = "#35d07f"
PREDICTED = "#ff5a36"
TRAINING = "#7a8794"
VALIDATION = "#1769aa"

COLUMNS = 6
"""Frames in a row of an overlay."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Panel:
    """One frame of an overlay.

    Attributes
    ----------
    image : ndarray, (y, x) uint8
    true, predicted : ndarray, (y, x) uint8
        Masks, 0 or 1.
    points : ndarray, (landmark, 2) float, or None
        Predicted landmarks, (x, y) in pixels; NaN for a missed one.
    """

    image: np.ndarray
    true: np.ndarray
    predicted: np.ndarray
    points: np.ndarray | None = None
    title: str = ""


def curves_png(history: Sequence[EpochRow]) -> bytes:
    """Plot loss and foreground Dice over the epochs, how long these took, and their rates."""
    figure = Figure(figsize=(9, 5.4), layout="constrained")
    above, below = figure.subplots(2, 2, height_ratios=(3, 2))
    for axes, name, label in zip(above, ("loss", "dice"), ("loss", "foreground Dice"), strict=True):
        for part, colour, word in (
            ("train", TRAINING, "training"),
            ("val", VALIDATION, "validation"),
        ):
            _plot_epochs(axes, history, f"{part}_{name}", color=colour, label=word)
        _label_epochs(axes, label)
    _cut_losses(above[0])
    for axes, name, label in zip(
        below, ("seconds", "learning_rate"), ("seconds", "learning rate"), strict=True
    ):
        _plot_epochs(axes, history, name, color="black")
        _label_epochs(axes, label)
        axes.set_ylim(bottom=0)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    return encode_png(figure)


def experiment_png(
    history: Sequence[EpochRow],
    published: Published,
    published_curves: Curves | None,
    published_epochs: int,
    title: str,
) -> bytes:
    """Plot one of the paper's experiments as its figures 9 to 12 do.

    Parameters
    ----------
    published : Published
        The paper's values after the last epoch, drawn as stars.
    published_curves : Curves or None
        Those of its epochs, drawn as dotted lines, if they are known.
    """
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    figure.suptitle(title, fontsize=11)
    losses, scores = figure.subplots(1, 2)
    for part, key, colour, word in (
        # First the part with a published curve of the Dice, for even columns of the legend.
        ("val", "test", VALIDATION, "test"),
        ("train", "train", TRAINING, "training"),
    ):
        _plot_epochs(losses, history, f"{part}_loss", color=colour, label=word)
        _plot_epochs(
            scores,
            history,
            f"{part}_pixel_accuracy",
            color=colour,
            label=f"{word}, Dice as in the paper",
        )
        _plot_epochs(
            scores,
            history,
            f"{part}_dice",
            color=colour,
            linestyle="--",
            label=f"{word}, foreground Dice",
        )
        for axes, name in ((losses, f"{key}_loss"), (scores, f"{key}_dice")):
            curve = getattr(published_curves, name, ())
            if curve:
                epochs = range(1, len(curve) + 1)
                axes.plot(epochs, curve, ":", color=colour, label=f"{word}, published curve")
            axes.plot(
                published_epochs,
                getattr(published, name),
                "*",
                color=colour,
                markersize=11,
                clip_on=False,
                label=f"{word}, published table 1",
            )
    _cut_losses(losses)
    for axes, label in ((losses, "loss"), (scores, "Dice")):
        _label_epochs(axes, label)
        axes.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False, fontsize=8
        )
    return encode_png(figure)


def overlay_png(panels: Sequence[Panel], title: str) -> bytes:
    """Draw true and predicted contours, and predicted landmarks, over frames."""
    columns = min(COLUMNS, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(2.2 * columns, 2.5 * rows + 0.7), layout="constrained")
    figure.suptitle(title, fontsize=11)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.set_axis_off()
    for axes, panel in zip(grid, panels, strict=False):
        axes.imshow(panel.image, cmap="gray", vmin=0, vmax=255)
        _outline(axes, panel.true, TRUE)
        _outline(axes, panel.predicted, PREDICTED)
        if panel.points is not None:
            axes.plot(*panel.points.T, ".", color=PREDICTED, markersize=5)
        axes.set_title(panel.title, fontsize=9)
    _legend_of_contours(figure, {"tracing": TRUE, "prediction": PREDICTED})
    return encode_png(figure)


def attention_png(
    images: np.ndarray, true: np.ndarray, maps: Sequence[np.ndarray], title: str
) -> bytes:
    """Draw attention maps over frames, one row for each level.

    Parameters
    ----------
    images, true : ndarray, (frame, y, x) uint8
        Frames and their true masks.
    maps : sequence of ndarray, (frame, y, x) float
        Weights in [0, 1] at the size of the frames, of the gates at half of the full resolution,
        a quarter of it and so on.
    """
    count = len(images)
    size = (1.9 * count + 1.4, 1.9 * len(maps) + 0.9)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title, fontsize=11)
    grid = figure.subplots(len(maps), count, squeeze=False)
    for level, (row, weights) in enumerate(zip(grid, maps, strict=True), 1):
        for axes, image, mask, weight in zip(row, images, true, weights, strict=True):
            axes.set(xticks=[], yticks=[])
            axes.imshow(image, cmap="gray", vmin=0, vmax=255)
            shown = axes.imshow(weight, cmap="inferno", vmin=0, vmax=1, alpha=0.55)
            _outline(axes, mask, TRUE)
        row[0].set_ylabel(f"1/{1 << level} resolution", fontsize=9)
    figure.colorbar(shown, ax=grid, label="attention weight", shrink=0.8)
    _legend_of_contours(figure, {"tracing": TRUE})
    return encode_png(figure)


def encode_png(figure: Figure) -> bytes:
    """Render a figure as a PNG."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    return content.getvalue()


def plain_label(name: str) -> str:
    r"""Name of a run as a label that Matplotlib shows unchanged.

    A dollar sign would begin a formula, and an underscore at the start hides a label.

    Examples
    --------
    >>> plain_label("_a$b$\n")
    ' _a\\$b\\$\\n'
    """
    text = "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in name
    )
    return f"{' ' if text.startswith('_') else ''}{text}".replace("$", r"\$")


def _plot_epochs(axes: Axes, history: Sequence[EpochRow], name: str, **style: Any) -> None:
    epochs = [row.epoch for row in history]
    axes.plot(epochs, [getattr(row, name) for row in history], marker=".", **style)


def _label_epochs(axes: Axes, label: str) -> None:
    axes.set(xlabel="epoch", ylabel=label)
    axes.grid(alpha=0.25)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _cut_losses(axes: Axes) -> None:
    """Let large losses of early epochs leave the plot."""
    losses = [np.asarray(line.get_ydata(), dtype=np.float64).tolist() for line in axes.get_lines()]
    lowest, highest, note = axis_range(losses)
    if note:
        margin = 0.05 * (highest - lowest)
        axes.set_ylim(lowest - margin, highest + margin)
        axes.set_title(note, loc="right", fontsize=8)


def _legend_of_contours(figure: Figure, colours: Mapping[str, str]) -> None:
    handles = [Line2D([], [], color=colour, label=word) for word, colour in colours.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)


def _outline(axes: Axes, mask: np.ndarray, colour: str) -> None:
    outlines = mask_outlines(mask)
    if outlines:
        axes.add_collection(LineCollection(outlines, colors=colour, linewidths=1.1))
