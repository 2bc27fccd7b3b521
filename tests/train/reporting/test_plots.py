"""The pictures, looked at pixel by pixel: what is drawn is where it should be."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from echo_train.reporting import plots
from echo_train.reporting.robustness_table import CLEAN, NoiseRow
from echo_train.runs.run_folder import EpochRow
from echo_train.targets.base import Prediction
from echo_train.transforms.batch import Pixels
from echo_train.transforms.corruptions import CORRUPTIONS, grades


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Every figure that was turned into a PNG."""
    kept: list[Figure] = []
    real = plots._png

    def png(figure: Figure) -> bytes:
        kept.append(figure)
        return real(figure)

    monkeypatch.setattr(plots, "_png", png)
    return kept


def epoch_row(epoch: int, **figures: float) -> EpochRow:
    names = ("train_loss", "train_dice", "val_loss", "val_dice")
    return EpochRow(
        epoch=epoch,
        **{name: figures.get(name, 0.0) for name in names},
        train_pixel_accuracy=0,
        val_pixel_accuracy=0,
        seconds=1,
        images_per_second=1,
    )


def lines(axes: Axes) -> dict[str, np.ndarray]:
    return {str(line.get_label()): np.asarray(line.get_xydata()) for line in axes.get_lines()}


def test_curves_are_the_history(tmp_path: Path, drawn: list[Figure]) -> None:
    history = [
        epoch_row(1, train_loss=0.9, val_loss=0.8, train_dice=0.1, val_dice=0.2),
        epoch_row(2, train_loss=0.5, val_loss=0.6, train_dice=0.6, val_dice=0.5),
    ]
    plots.draw_curves(tmp_path / "curves.png", history)
    loss, dice = (lines(axes) for axes in drawn[0].axes)
    np.testing.assert_allclose(loss["training"], [[1, 0.9], [2, 0.5]])
    np.testing.assert_allclose(loss["validation"], [[1, 0.8], [2, 0.6]])
    np.testing.assert_allclose(dice["training"], [[1, 0.1], [2, 0.6]])
    np.testing.assert_allclose(dice["validation"], [[1, 0.2], [2, 0.5]])
    assert cv2.imread(str(tmp_path / "curves.png")) is not None


def test_curves_of_several_runs_are_told_apart(drawn: list[Figure]) -> None:
    content = plots.picture_curves(
        {
            "a": [epoch_row(1, val_dice=0.3), epoch_row(2, val_dice=0.4)],
            "b": [epoch_row(1, val_loss=2)],
        }
    )
    loss, dice = (lines(axes) for axes in drawn[0].axes)
    np.testing.assert_allclose(dice["a"], [[1, 0.3], [2, 0.4]])
    np.testing.assert_allclose(loss["b"], [[1, 2]])
    assert cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) is not None


def noise_rows(dice: float) -> list[NoiseRow]:
    return [
        NoiseRow(
            corruption=name,
            severity=severity,
            dice=dice - 0.01 * place,
            low=dice - 0.01 * place - 0.02,
            high=dice - 0.01 * place + 0.02,
            pooled=dice,
            ed=dice,
            es=None,
            hd95=3.0,
            implausible=0.0,
            missed_frames=0,
            mean_radial_error=None,
        )
        for place, (name, severity) in enumerate([CLEAN, *grades()])
    ]


def test_noise_has_a_curve_a_run_from_the_clean_frames_on(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    measured = {"mask": noise_rows(0.9), "landmarks": noise_rows(0.8)}
    plots.draw_noise(tmp_path / "noise.png", measured)
    axes = drawn[0].axes
    assert [one.get_title() for one in axes] == list(CORRUPTIONS)
    for one in axes:
        corruption = CORRUPTIONS[one.get_title()]
        severities = sorted([corruption.clean, *corruption.severities])
        for rows, line in zip(measured.values(), one.get_lines(), strict=True):
            by_grade = {(row.corruption, row.severity): row.dice for row in rows}
            expected = [
                by_grade[CLEAN]
                if severity == corruption.clean
                else by_grade[one.get_title(), severity]
                for severity in severities
            ]
            np.testing.assert_allclose(line.get_xdata(), severities)
            np.testing.assert_allclose(line.get_ydata(), expected)
    (legend,) = drawn[0].legends
    assert [text.get_text() for text in legend.get_texts()] == ["mask", "landmarks"]


def test_overlay_outlines_truth_and_prediction_and_dots_landmarks(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    true, found = np.zeros((2, 40, 40), np.uint8), np.zeros((2, 40, 40), np.uint8)
    true[:, 10:20, 5:15] = 1
    found[0, 12:22, 25:35] = 1
    points = np.full((2, 3, 2), np.nan, dtype=np.float32)
    points[0] = [[25, 12], [34, 12], [30, 21]]
    pixels = Pixels(
        index=torch.arange(2),
        images=torch.from_numpy(np.full((2, 40, 40), 90, np.uint8)),
        masks=torch.from_numpy(true),
    )
    plots.draw_overlay(
        tmp_path / "overlay.png",
        pixels,
        np.array([0, 1]),
        Prediction(masks=found, points=points),
        np.array([0.25, 0.0]),
        "title",
    )
    first, second = drawn[0].axes[:2]
    assert [one.get_title() for one in (first, second)] == ["ED  Dice 0.250", "ES  Dice 0.000"]
    boxes = [
        collection.get_paths()[0].get_extents().bounds
        for collection in first.collections
        if collection.get_paths()
    ]
    # A contour at 0.5 runs half a pixel outside the outermost centres.
    np.testing.assert_allclose(boxes, [(4.5, 9.5, 10, 10), (24.5, 11.5, 10, 10)])
    np.testing.assert_allclose(first.get_lines()[0].get_xydata(), points[0])
    assert len([one for one in second.collections if one.get_paths()]) == 1
    content = cv2.imread(str(tmp_path / "overlay.png"))
    assert content is not None and content.std() > 10


def test_overlay_stands_empty_and_full_masks(tmp_path: Path) -> None:
    masks = np.stack([np.zeros((16, 16), np.uint8), np.ones((16, 16), np.uint8)])
    pixels = Pixels(
        index=torch.arange(2),
        images=torch.zeros(2, 16, 16, dtype=torch.uint8),
        masks=torch.from_numpy(masks),
    )
    path = tmp_path / "overlay.png"
    plots.draw_overlay(
        path, pixels, np.array([2, 2]), Prediction(masks=masks[::-1].copy()), np.zeros(2), "t"
    )
    assert cv2.imread(str(path)) is not None
