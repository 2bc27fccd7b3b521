"""A model, a store and settings that do not go together: made to fit with a note, or refused."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from echo_common.store.reader import EchoStore
from echo_train.commands.evaluate import cli
from echo_train.evaluation.trained_model import load_model
from echo_train.prediction.segment import segment
from echo_train.training.train import train
from support.commands import exit_code
from support.stores import build_store
from support.training import tiny

echo_eval = functools.partial(exit_code, cli)


def summary(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "summary.json").read_text())


@pytest.fixture(scope="module")
def large_store(small_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The frames and tracings of the small store, scaled to 224x224 together."""
    return build_store(small_dataset, tmp_path_factory.mktemp("large") / "large.zarr", size=224)


@pytest.mark.parametrize("target", ["mask", "landmarks"])
def test_a_model_is_measured_on_larger_frames_as_on_its_own(
    runs: Path,
    large_store: Path,
    tmp_path: Path,
    target: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    own, scaled = tmp_path / "own", tmp_path / "scaled"
    options = ("--split", "all", "--device", "cpu")
    assert echo_eval(runs / target, "--out", own, *options) == 0
    assert "note: " not in capsys.readouterr().out
    assert echo_eval(runs / target, "--out", scaled, "--store", large_store, *options) == 0
    said = capsys.readouterr().out
    before, after = summary(own), summary(scaled)
    assert before["notes"] == []
    (note, _) = after["notes"]
    assert "large.zarr are 224x224, and the model was trained on 112x112" in note
    assert note in said
    before, after = before["all"], after["all"]
    assert after["dice"]["mean"] == pytest.approx(before["dice"]["mean"], abs=0.01)
    assert after["hd95"]["mean"] == pytest.approx(2 * before["hd95"]["mean"], rel=0.05)
    assert after["loss"] is None and before["loss"] > 0
    if target == "landmarks":
        error = before["mean_radial_error"]["mean"]
        assert after["mean_radial_error"]["mean"] == pytest.approx(2 * error, rel=0.05)
        assert after["missed_landmarks"] == before["missed_landmarks"]


def test_measured_masks_of_larger_frames_are_those_of_a_prediction(
    runs: Path, large_store: Path, tmp_path: Path
) -> None:
    store = EchoStore(large_store)
    images, true = store.read("frames"), store.read("masks/chords") > 0
    found = segment(load_model(runs / "mask"), images).masks > 0
    both, total = (found & true).sum((1, 2)), found.sum((1, 2)) + true.sum((1, 2))
    out = tmp_path / "out"
    options = ("--store", large_store, "--split", "all", "--out", out, "--device", "cpu")
    assert echo_eval(runs / "mask", *options) == 0
    assert summary(out)["all"]["dice"]["mean"] == pytest.approx((2 * both / total).mean())
    overlay = cv2.imread(str(out / "overlay.png"))
    assert overlay is not None and np.ptp(overlay) > 0


def test_weights_of_pixels_need_no_frames_of_their_size(
    small_store: Path, large_store: Path, tmp_path: Path
) -> None:
    run = train(tiny(small_store, tmp_path / "run", epochs=1, prior="mean-mask"))
    out = tmp_path / "out"
    assert echo_eval(run, "--store", large_store, "--out", out, "--device", "cpu") == 0
    assert summary(out)["test"]["loss"] is None
