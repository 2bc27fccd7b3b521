"""The synthetic data set has the statistics that were measured on EchoNet-Dynamic."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from skimage.draw import polygon

from echo_common.geometry.contours import shoelace_area
from echo_common.geometry.raster import rasterise
from echo_prep.dataset.tracings import split_rows


@pytest.fixture(scope="module")
def tracings(like_echonet: Path) -> list[tuple[str, int, np.ndarray]]:
    table = pd.read_csv(like_echonet / "VolumeTracings.csv")
    return [
        (name, int(frame), group[["X1", "Y1", "X2", "Y2"]].to_numpy())
        for (name, frame), group in table.groupby(["FileName", "Frame"], sort=False)
    ]


def read_video(path: Path) -> np.ndarray:
    capture = cv2.VideoCapture(str(path))
    frames = []
    while True:
        done, frame = capture.read()
        if not done:
            return np.array(frames)
        frames.append(frame)


def test_gray_values(like_echonet: Path) -> None:
    frames = np.concatenate(
        [read_video(path)[::4] for path in sorted((like_echonet / "Videos").iterdir())]
    )
    assert frames.shape[1:] == (112, 112, 3)
    assert frames.mean() == pytest.approx(32.6, abs=3)
    assert frames.std() == pytest.approx(50, abs=4)
    channels = frames.astype(int)
    assert np.abs(channels[..., 0] - channels[..., 2]).max() <= 3
    # Outside the fan, the image is black except for JPEG artefacts at its edge.
    y, x = np.mgrid[:112, :112]
    outside = (x + y < 60) | (x - y > 74)
    assert frames[:, outside].mean() < 1


def test_area_of_the_ventricle(tracings: list[tuple[str, int, np.ndarray]]) -> None:
    percentages = []
    for _, _, rows in tracings:
        mask = rasterise(split_rows(rows)[1], (112, 112), "chords")
        percentages.append(100 * mask.mean())
    assert np.mean(percentages) == pytest.approx(9.8, abs=0.8)
    assert 1.5 < min(percentages) < 4
    assert 17 < max(percentages) < 50
    low, high = np.percentile(percentages, [5, 95])
    assert high / low > 3


def test_position_of_the_ventricle(tracings: list[tuple[str, int, np.ndarray]]) -> None:
    axes = np.array([rows[0] for _, _, rows in tracings])
    apex_x, apex_y, base_x, base_y = np.median(axes, axis=0)
    assert 49 < apex_x < 57
    assert 13 < apex_y < 22
    assert 60 < base_x < 70
    assert 58 < base_y < 75
    assert (axes.std(axis=0) > 3).all()


def test_tracings_have_the_format_of_echonet_dynamic(
    like_echonet: Path, tracings: list[tuple[str, int, np.ndarray]]
) -> None:
    listed = pd.read_csv(like_echonet / "FileList.csv").set_index("FileName")
    assert len(listed) == 120
    assert len(tracings) == 240
    areas: dict[str, list[float]] = {}
    for name, frame, rows in tracings:
        assert rows.shape == (21, 4)
        assert 0 <= frame < listed.loc[name.removesuffix(".avi"), "NumberOfFrames"]
        areas.setdefault(name, []).append(shoelace_area(split_rows(rows)[1]))
    first_larger = np.mean([first > second for first, second in areas.values()])
    assert 0.95 < first_larger <= 1


def test_reference_mask_of_every_trace(tracings: list[tuple[str, int, np.ndarray]]) -> None:
    # EchoNet-Dynamic's procedure: x1[1:], then x2[1:] in reverse, rounded to the nearest
    # integer, filled by scikit-image and clipped to the image.
    for _, _, rows in tracings:
        x1, y1, x2, y2 = rows.T
        x = np.concatenate((x1[1:], np.flip(x2[1:])))
        y = np.concatenate((y1[1:], np.flip(y2[1:])))
        r, c = polygon(np.rint(y).astype(int), np.rint(x).astype(int), (112, 112))
        expected = np.zeros((112, 112), np.uint8)
        expected[r, c] = 1
        np.testing.assert_array_equal(
            rasterise(split_rows(rows)[1], (112, 112), "chords"), expected
        )


def test_volumes_agree_with_tracings(
    like_echonet: Path, tracings: list[tuple[str, int, np.ndarray]]
) -> None:
    listed = pd.read_csv(like_echonet / "FileList.csv").set_index("FileName")
    assert ((listed["EDV"] - listed["ESV"]) / listed["EDV"] * 100).to_numpy() == pytest.approx(
        listed["EF"].to_numpy(), abs=1e-3
    )
    volumes: dict[str, list[float]] = {}
    for name, _, rows in tracings:
        length = np.linalg.norm(rows[0, :2] - rows[0, 2:])
        widths = np.linalg.norm(rows[1:, :2] - rows[1:, 2:], axis=1)
        volumes.setdefault(name.removesuffix(".avi"), []).append((widths**2).sum() * length)
    differences = [
        100 * (1 - min(pair) / max(pair)) - listed.loc[name, "EF"] for name, pair in volumes.items()
    ]
    # Inexact tracing changes an ejection fraction by a few points in either direction.
    assert np.abs(differences).max() < 20
    assert np.std(differences) < 6
    assert abs(np.mean(differences)) < 2
    assert listed["EF"].mean() == pytest.approx(55.7, abs=4)
    assert listed["EDV"].mean() == pytest.approx(91, abs=12)
