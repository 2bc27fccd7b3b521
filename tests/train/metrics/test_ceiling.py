"""The ceiling that stands beside a landmark model's Dice, and the curve that both are drawn by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from echo_common.geometry.contours import contour_from_landmarks
from echo_common.geometry.raster import rasterise
from echo_common.store.reader import EchoStore
from echo_train.runs.run_folder import read_summary
from echo_train.training.train import train
from support.training import tiny


@pytest.mark.parametrize("curve", ["open-spline", "polygon"])
def test_ceiling_is_the_dice_of_the_true_landmarks_mask(
    small_store: Path, tmp_path: Path, curve: str
) -> None:
    train(tiny(small_store, tmp_path / "run", target="landmarks", epochs=1, curve=curve))
    figures = read_summary(tmp_path / "run")["test"]
    store = EchoStore(small_store)
    test = np.flatnonzero(store.read("index/split") == 2)
    points = store.read("landmarks/chords/anatomical-7/points")[test]
    scores = []
    for one, true in zip(points, store.read("masks/chords")[test], strict=True):
        contour = contour_from_landmarks(one, "anatomical", curve)
        mask = rasterise(contour, true.shape, "chords")
        scores.append(2 * (mask & true).sum() / (mask.sum() + true.sum()))
    assert figures["ceiling"]["mean"] == pytest.approx(np.mean(scores))
    assert figures["dice"]["mean"] < figures["ceiling"]["mean"] < 1


def test_a_mask_model_has_no_ceiling(small_store: Path, tmp_path: Path) -> None:
    train(tiny(small_store, tmp_path / "run", epochs=1))
    assert "ceiling" not in read_summary(tmp_path / "run")["test"]
