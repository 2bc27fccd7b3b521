"""Plots: curves, contours and landmarks are drawn at the right coordinates."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from echo_common.paper import CURVES, PRESETS, PUBLISHED
from echo_train.reporting import plots
from echo_train.reporting.agreement_plot import agreement_png
from echo_train.reporting.curve_plots import BOTTOM, HEIGHT, TOP, axis_range, draw_plot
from echo_train.reporting.plots import Panel
from echo_train.runs.run_folder import EpochRow


def epoch_row(epoch: int, **metrics: float) -> EpochRow:
    names = ("train_loss", "train_dice", "val_loss", "val_dice")
    return EpochRow(
        epoch=epoch,
        **{name: metrics.get(name, 0.0) for name in names},
        train_pixel_accuracy=0,
        val_pixel_accuracy=0,
        seconds=1,
        images_per_second=1,
    )


def lines(axes: Axes) -> dict[str, np.ndarray]:
    return {str(line.get_label()): np.asarray(line.get_xydata()) for line in axes.get_lines()}


def test_curves_show_the_history(tmp_path: Path, drawn: list[Figure]) -> None:
    history = [
        epoch_row(1, train_loss=0.9, val_loss=0.8, train_dice=0.1, val_dice=0.2),
        epoch_row(2, train_loss=0.5, val_loss=0.6, train_dice=0.6, val_dice=0.5),
    ]
    history = [
        dataclasses.replace(row, seconds=seconds, learning_rate=rate)
        for row, seconds, rate in zip(history, (8.0, 4.0), (0.02, 0.01), strict=True)
    ]
    (tmp_path / "curves.png").write_bytes(plots.curves_png(history))
    loss, dice, seconds, rate = (lines(axes) for axes in drawn[0].axes)
    np.testing.assert_allclose(loss["training"], [[1, 0.9], [2, 0.5]])
    np.testing.assert_allclose(loss["validation"], [[1, 0.8], [2, 0.6]])
    np.testing.assert_allclose(dice["training"], [[1, 0.1], [2, 0.6]])
    np.testing.assert_allclose(dice["validation"], [[1, 0.2], [2, 0.5]])
    (durations,), (rates,) = seconds.values(), rate.values()
    np.testing.assert_allclose(durations, [[1, 8], [2, 4]])
    np.testing.assert_allclose(rates, [[1, 0.02], [2, 0.01]])
    assert [axes.get_title(loc="right") for axes in drawn[0].axes] == [""] * 4
    assert cv2.imread(str(tmp_path / "curves.png")) is not None


LOSSES = [8.0, *np.linspace(0.2, 0.1, 9)]


def test_a_large_loss_of_the_first_epoch_leaves_the_plot_and_is_named(drawn: list[Figure]) -> None:
    history = [
        epoch_row(epoch, train_loss=loss / 2, val_loss=loss, train_dice=0.1 * epoch, val_dice=0.5)
        for epoch, loss in enumerate(LOSSES, 1)
    ]
    plots.curves_png(history)
    loss, dice = drawn[0].axes[:2]
    low, high = loss.get_ylim()
    # The losses of the other epochs, 0.05 to 0.2, take nearly all of the axis.
    assert (low, high) == (pytest.approx(0.05 - 0.0075), pytest.approx(0.2 + 0.0075))
    assert loss.get_title(loc="right") == "early values up to 8 are cut off"
    assert dice.get_title(loc="right") == "" and dice.get_ylim()[1] > 1


def test_the_page_cuts_the_same_losses_and_keeps_the_curve_inside() -> None:
    history = [epoch_row(epoch, val_loss=loss) for epoch, loss in enumerate(LOSSES, 1)]
    plot = draw_plot("Validation loss", [(0, "run", history)], "val_loss")
    assert plot is not None
    assert plot.title == "Validation loss (early values up to 8 are cut off)"
    assert float(plot.y_ticks[-1][1]) < 0.25
    ((_, _, points),) = plot.lines
    heights = [float(point.split(",")[1]) for point in points.split()]
    assert heights[0] == min(height for height, _ in plot.y_ticks) == TOP
    # From the second epoch to the last: 0.2 to 0.1, in proportion to the ticks.
    bottom, top = (float(plot.y_ticks[end][1]) for end in (0, -1))
    share = 0.1 / (top - bottom)
    assert heights[-1] - heights[1] == pytest.approx(share * (HEIGHT - TOP - BOTTOM), abs=0.2)


@pytest.mark.parametrize(
    ("curves", "expected"),
    [
        ([], (0, 0, "")),
        ([[math.nan]], (0, 0, "")),
        ([[3.0]], (3, 3, "")),
        ([[5.0, 5.0]], (5, 5, "")),
        # A loss as it falls usually, one that grows, and one whose later half jumps.
        ([[0.5, 0.3, 0.2, 0.15, 0.12, 0.1]], (0.1, 0.5, "")),
        ([[0.1, 0.1, 0.1, 9.0, math.inf]], (0.1, 9, "")),
        ([[-1.0, -1.5, -2.0, -1.0]], (-2, -1, "")),
        # The spike of one run among two.
        ([[20.0, 0.3, 0.2], [0.4, 0.2, 0.1]], (0.1, 0.4, "early values up to 20 are cut off")),
    ],
)
def test_the_range_of_an_axis(
    curves: list[list[float]], expected: tuple[float, float, str]
) -> None:
    assert axis_range(curves) == expected


@pytest.mark.parametrize("name", ["experiment-1", "experiment-2", "experiment-3"])
def test_the_papers_curves_are_drawn_next_to_ours(name: str, drawn: list[Figure]) -> None:
    published, curves, epochs = PUBLISHED[name], CURVES.get(name), PRESETS[name]["epochs"]
    plots.experiment_png([epoch_row(1), epoch_row(2)], published, curves, epochs, title="t")
    losses, scores = (
        {label: points.T.tolist() for label, points in lines(axes).items()}
        for axes in drawn[0].axes
    )
    assert losses["test, published table 1"] == [[epochs], [published.test_loss]]
    assert scores["training, published table 1"] == [[epochs], [published.train_dice]]
    if curves is None:
        assert not any("curve" in label for label in [*losses, *scores])
        return
    numbers = list(range(1, epochs + 1))
    assert losses["training, published curve"] == [numbers, list(curves.train_loss)]
    assert losses["test, published curve"] == [numbers, list(curves.test_loss)]
    assert scores["test, published curve"] == [numbers, list(curves.test_dice)]
    assert "training, published curve" not in scores
    # The last value of each is that of table 1, to a unit of its last digit.
    assert curves.test_dice[-1] == published.test_dice
    assert abs(curves.train_loss[-1] - published.train_loss) < 1.1e-4
    assert published.test_loss in curves.test_loss[-2:]


def test_overlay_outlines_truth_and_prediction_and_dots_landmarks(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    true, found = np.zeros((2, 40, 40), np.uint8), np.zeros((2, 40, 40), np.uint8)
    true[:, 10:20, 5:15] = 1
    found[0, 12:22, 25:35] = 1
    points = np.full((2, 3, 2), np.nan, dtype=np.float32)
    points[0] = [[25, 12], [34, 12], [30, 21]]
    image = np.full((40, 40), 90, np.uint8)
    panels = [
        Panel(
            image=image,
            true=true[number],
            predicted=found[number],
            points=points[number],
            title=f"{number}",
        )
        for number in range(2)
    ]
    (tmp_path / "overlay.png").write_bytes(plots.overlay_png(panels, "title"))
    first, second = drawn[0].axes[:2]
    assert [axes.get_title() for axes in (first, second)] == ["0", "1"]
    boxes = [
        collection.get_paths()[0].get_extents().bounds
        for collection in first.collections
        if collection.get_paths()
    ]
    # A contour at 0.5 runs half a pixel outside the outermost centres.
    np.testing.assert_allclose(boxes, [(4.5, 9.5, 10, 10), (24.5, 11.5, 10, 10)])
    np.testing.assert_allclose(first.get_lines()[0].get_xydata(), points[0])
    assert len([lines for lines in second.collections if lines.get_paths()]) == 1
    content = cv2.imread(str(tmp_path / "overlay.png"))
    assert content is not None and content.std() > 10


def test_empty_and_full_masks_and_every_piece_are_outlined(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    pieces = np.zeros((16, 16), np.uint8)
    pieces[2:4, 2:4] = pieces[8:12, 8:16] = 1
    masks = [np.zeros((16, 16), np.uint8), np.ones((16, 16), np.uint8), pieces]
    image = np.zeros((16, 16), np.uint8)
    panels = [Panel(image=image, true=mask, predicted=np.zeros_like(mask)) for mask in masks]
    (tmp_path / "overlay.png").write_bytes(plots.overlay_png(panels, "title"))
    outlines = [
        [path.get_extents().bounds for lines in axes.collections for path in lines.get_paths()]
        for axes in drawn[0].axes
    ]
    assert outlines == [
        [],
        [(-0.5, -0.5, 16, 16)],
        [(1.5, 1.5, 2, 2), (7.5, 7.5, 8, 4)],
    ]


def test_attention_has_a_row_for_each_level(tmp_path: Path, drawn: list[Figure]) -> None:
    images, true = np.zeros((3, 16, 16), np.uint8), np.zeros((3, 16, 16), np.uint8)
    true[:, 4:8, 4:8] = 1
    maps = [np.full((3, 16, 16), weight) for weight in (0.25, 0.75)]
    (tmp_path / "attention.png").write_bytes(plots.attention_png(images, true, maps, "title"))
    panels = [axes for axes in drawn[0].axes if axes.images][:6]
    assert [axes.get_ylabel() for axes in panels[::3]] == [
        "1/2 resolution",
        "1/4 resolution",
    ]
    weights = [np.asarray(axes.images[1].get_array()).mean() for axes in panels]
    assert weights == [0.25] * 3 + [0.75] * 3


def test_agreement_shows_bias_and_limits(drawn: list[Figure]) -> None:
    traced = np.array([30.0, 45, 60, 70])
    predicted = np.array([28.0, 47, 55, np.nan])
    agreement_png(predicted, traced, "masks")
    scatter, difference = drawn[0].axes
    lines = [line.get_ydata()[0] for line in difference.get_lines()[1:]]
    mean, sd = -5 / 3, np.std([-2, 2, -5], ddof=1)
    np.testing.assert_allclose(lines, [0, mean, mean - 1.96 * sd, mean + 1.96 * sd])
    np.testing.assert_allclose(scatter.get_lines()[1].get_xydata()[:3, 1], predicted[:3])
    agreement_png(np.array([np.nan]), np.array([50.0]), "nothing predicted")
