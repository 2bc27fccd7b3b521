"""The ceiling of a landmark model: the Dice of the masks rebuilt from the true landmarks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from echo_common.geometry.contours import contour_from_landmarks
from echo_common.geometry.raster import rasterise
from echo_common.store.reader import EchoStore
from echo_train.runs.summary import read_summary
from echo_train.training.train import train
from support.training import tiny


@pytest.mark.parametrize("curve", ["open-spline", "polygon"])
def test_the_ceiling_is_the_dice_of_masks_from_true_landmarks(
    small_store: Path, tmp_path: Path, curve: str
) -> None:
    train(tiny(small_store, tmp_path / "run", target="landmarks", epochs=1, curve=curve))
    metrics = read_summary(tmp_path / "run")["test"]
    store = EchoStore(small_store)
    test = np.flatnonzero(store.read("index/split") == 2)
    points = store.read("landmarks/chords/anatomical-7/points")[test]
    scores = []
    for landmarks, true in zip(points, store.read("masks/chords")[test], strict=True):
        contour = contour_from_landmarks(landmarks, "anatomical", curve)
        mask = rasterise(contour, true.shape, "chords")
        scores.append(2 * (mask & true).sum() / (mask.sum() + true.sum()))
    assert metrics["ceiling"]["mean"] == pytest.approx(np.mean(scores))
    assert metrics["dice"]["mean"] < metrics["ceiling"]["mean"] < 1


def test_a_mask_model_has_no_ceiling(small_store: Path, tmp_path: Path) -> None:
    train(tiny(small_store, tmp_path / "run", epochs=1))
    assert "ceiling" not in read_summary(tmp_path / "run")["test"]
