"""The pictures of a run: its curves, and contours over frames."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from echo_common import atomic
from echo_common.store.schema import PHASES
from echo_train.reporting.robustness_table import CLEAN, NoiseRow
from echo_train.runs.run_folder import EpochRow
from echo_train.targets.base import Prediction
from echo_train.transforms.batch import Pixels
from echo_train.transforms.corruptions import CORRUPTIONS

TRUE = "#35d07f"
PREDICTED = "#ff5a36"
COLUMNS = 6


def draw_curves(path: Path, history: Sequence[EpochRow]) -> None:
    """Draw loss and foreground Dice over the epochs, training and validation, as a PNG."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    epochs = [row.epoch for row in history]
    for axes, name, label in ((left, "loss", "loss"), (right, "dice", "foreground Dice")):
        for part, colour, word in (
            ("train", "#7a8794", "training"),
            ("val", "#1769aa", "validation"),
        ):
            values = [getattr(row, f"{part}_{name}") for row in history]
            axes.plot(epochs, values, color=colour, marker=".", label=word)
        axes.set(xlabel="epoch", ylabel=label)
        axes.grid(alpha=0.25)
        axes.xaxis.get_major_locator().set_params(integer=True)
    right.legend(loc="lower right", frameon=False)
    _save(figure, path)


def picture_curves(histories: Mapping[str, Sequence[EpochRow]]) -> bytes:
    """Draw the validation loss and Dice of several runs over the epochs, as a PNG.

    Parameters
    ----------
    histories : mapping of str to sequence of EpochRow
        By the run's name.
    """
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    grid = figure.subplots(1, 2)
    for axes, name, label in zip(
        grid, ("val_loss", "val_dice"), ("validation loss", "validation Dice"), strict=True
    ):
        for run, history in histories.items():
            axes.plot(
                [row.epoch for row in history],
                [getattr(row, name) for row in history],
                marker=".",
                label=run,
            )
        axes.set(xlabel="epoch", ylabel=label)
        axes.grid(alpha=0.25)
        axes.xaxis.get_major_locator().set_params(integer=True)
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return _png(figure)


def draw_experiment(
    path: Path,
    history: Sequence[EpochRow],
    published_dice: tuple[float, float],
    published_loss: tuple[float, float],
    title: str,
) -> None:
    """Draw one of the paper's experiments as its figures 9 to 12 do, as a PNG.

    Parameters
    ----------
    path : Path
    history : sequence of EpochRow
    published_dice, published_loss : tuple of float
        The paper's values after the last epoch, for training and test.
    title : str
    """
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    figure.suptitle(title, fontsize=11)
    left, right = figure.subplots(1, 2)
    epochs = [row.epoch for row in history]
    for place, (part, colour, word) in enumerate(
        (("train", "#7a8794", "training"), ("val", "#1769aa", "test"))
    ):
        for axes, name, style, label in (
            (left, "loss", "-", word),
            (right, "pixel_accuracy", "-", f"{word}, Dice as in the paper"),
            (right, "dice", "--", f"{word}, foreground Dice"),
        ):
            values = [getattr(row, f"{part}_{name}") for row in history]
            axes.plot(epochs, values, style, color=colour, marker=".", label=label)
        for axes, published in ((left, published_loss), (right, published_dice)):
            axes.plot(
                epochs[-1], published[place], "*", color=colour, markersize=11, clip_on=False,
                label=f"{word}, the paper's",
            )  # fmt: skip
    for axes, label in ((left, "loss"), (right, "Dice")):
        axes.set(xlabel="epoch", ylabel=label)
        axes.grid(alpha=0.25)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False, fontsize=8
        )
    _save(figure, path)


def draw_noise(path: Path, measured: Mapping[str, Sequence[NoiseRow]]) -> None:
    """Draw the Dice of several runs over the severity of each corruption, as a PNG.

    Parameters
    ----------
    path : Path
    measured : mapping of str to sequence of NoiseRow
        By the run's name, as `echo_train.evaluation.robustness.measure_noise` gives them.
    """
    figure = Figure(figsize=(11, 6.4), layout="constrained")
    grid = figure.subplots(2, 3, sharey=True).flat
    for axes, (corruption, one) in zip(grid, CORRUPTIONS.items(), strict=True):
        for place, rows in enumerate(measured.values()):
            # The clean frames are a point of every curve.
            by_severity = {
                row.severity if row.corruption == corruption else one.clean: row
                for row in rows
                if row.corruption in (corruption, CLEAN[0])
            }
            severities = sorted(by_severity)
            dice, low, high = (
                [getattr(by_severity[severity], name) for severity in severities]
                for name in ("dice", "low", "high")
            )
            colour = f"C{place}"
            axes.plot(severities, dice, color=colour, marker=".")
            axes.fill_between(severities, low, high, color=colour, alpha=0.2, linewidth=0)
        axes.set_title(corruption, fontsize=10)
        axes.set_xlabel(one.unit, fontsize=9)
        axes.set_ylim(0, 1)
        axes.grid(alpha=0.25)
    figure.supylabel("foreground Dice, 95 % interval", fontsize=10)
    figure.legend(
        handles=[
            Figure().subplots().plot([], color=f"C{place}", marker=".", label=name)[0]
            for place, name in enumerate(measured)
        ],
        loc="outside lower center",
        ncols=min(4, len(measured)),
        frameon=False,
    )
    _save(figure, path)


def draw_overlay(
    path: Path,
    pixels: Pixels,
    phases: np.ndarray,
    prediction: Prediction,
    scores: np.ndarray,
    title: str,
) -> None:
    """Draw true and predicted contours over frames, as a PNG.

    Parameters
    ----------
    path : Path
    pixels : Pixels
        The frames and their true masks, on the host.
    phases : ndarray, (frame,) uint8
        Codes of `echo_common.store.schema.PHASES`.
    prediction : Prediction
        Of the same frames.
    scores : ndarray, (frame,) float
        Their foreground Dice.
    title : str
    """
    count = len(phases)
    columns = min(COLUMNS, count)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(2.2 * columns, 2.5 * rows + 0.7), layout="constrained")
    figure.suptitle(title, fontsize=11)
    grid = figure.subplots(rows, columns, squeeze=False).flat
    images, masks = pixels.images.numpy(), pixels.masks.numpy()
    for place, axes in enumerate(grid):
        axes.set_axis_off()
        if place >= count:
            continue
        axes.imshow(images[place], cmap="gray", vmin=0, vmax=255)
        _outline(axes, masks[place], TRUE)
        _outline(axes, prediction.masks[place], PREDICTED)
        if prediction.points is not None:
            axes.plot(*prediction.points[place].T, ".", color=PREDICTED, markersize=5)
        axes.set_title(f"{PHASES[phases[place]]}  Dice {scores[place]:.3f}", fontsize=9)
    figure.legend(
        handles=[
            Figure().subplots().plot([], color=colour, label=word)[0]
            for colour, word in ((TRUE, "tracing"), (PREDICTED, "prediction"))
        ],
        loc="outside lower center",
        ncols=2,
        frameon=False,
    )
    _save(figure, path)


def draw_attention(path: Path, pixels: Pixels, maps: Sequence[np.ndarray], title: str) -> None:
    """Draw attention maps over frames, a row a level, as a PNG.

    Parameters
    ----------
    path : Path
    pixels : Pixels
        The frames and their true masks, on the host.
    maps : sequence of ndarray, (frame, y, x) float
        In [0, 1]; the first at half of the full resolution, each next at half
        of the one before.
    title : str
    """
    images, masks = pixels.images.numpy(), pixels.masks.numpy()
    count = len(images)
    size = (1.9 * count + 1.4, 1.9 * len(maps) + 0.9)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title, fontsize=11)
    grid = figure.subplots(len(maps), count, squeeze=False)
    for level, (row, values) in enumerate(zip(grid, maps, strict=True), 1):
        for place, axes in enumerate(row):
            axes.set(xticks=[], yticks=[])
            axes.imshow(images[place], cmap="gray", vmin=0, vmax=255)
            shown = axes.imshow(values[place], cmap="inferno", vmin=0, vmax=1, alpha=0.55)
            _outline(axes, masks[place], TRUE)
        row[0].set_ylabel(f"1/{1 << level} of the resolution", fontsize=9)
    figure.colorbar(shown, ax=grid, label="weight of a pixel", shrink=0.8)
    figure.legend(
        handles=[Figure().subplots().plot([], color=TRUE, label="tracing")[0]],
        loc="outside lower center",
        frameon=False,
    )
    _save(figure, path)


def _outline(axes: Axes, mask: np.ndarray, colour: str) -> None:
    if mask.any() and not mask.all():
        axes.contour(mask, levels=[0.5], colors=[colour], linewidths=1.1)


def _save(figure: Figure, path: Path) -> None:
    atomic.write_bytes(path, _png(figure))


def _png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    return content.getvalue()
