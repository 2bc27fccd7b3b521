"""A model, a store and settings that do not go together: made to fit with a note, or refused."""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from echo_common.cli.settings import from_toml, replace
from echo_common.errors import RunError
from echo_common.store.reader import EchoStore
from echo_train.commands.evaluate import cli
from echo_train.evaluation.trained_model import load_model
from echo_train.prediction.segment import segment
from echo_train.training.settings import TrainSettings
from echo_train.training.train import train
from support.commands import exit_code
from support.datasets import small_videos, write_small_dataset
from support.stores import build_store
from support.training import checkpoint, tiny

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
    (note, other) = after["notes"]
    assert "does not hold the data that the model was trained on (frames, masks/chords" in other
    assert other.count("FileList.csv ") == 2
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


def other_arrays(state: dict[str, Any]) -> None:
    state["store"] = {"frames": "0", "masks/convexhull": "0"}


def nan_weights(state: dict[str, Any]) -> None:
    for values in state["network"].values():
        if values.is_floating_point():
            values.fill_(torch.nan)


def infinite_weight(state: dict[str, Any]) -> None:
    name = next(name for name in state["network"] if name.endswith("running_var"))
    state["network"][name][0] = torch.inf


def nan_prior(state: dict[str, Any]) -> None:
    state["target"]["mean"][0] = torch.nan


REFUSED = {
    "config.toml of a run on another method's masks": (
        "mask", other_arrays, ("best.pt was trained on frames, masks/convexhull", "masks chords"),
    ),
    "config.toml of a run on other landmarks": (
        "landmarks", other_arrays, ("masks/convexhull, and config.toml", "7 anatomical landmarks"),
    ),
    "weights that are NaN": ("mask", nan_weights, ("best.pt holds values that are not numbers",)),
    "NaN weights of a landmark model": (
        "landmarks", nan_weights, ("best.pt holds values that are not numbers",),
    ),
    "an infinite variance": ("mask", infinite_weight, ("running_var",)),
    "a shape prior of NaN": ("landmarks", nan_prior, ("not numbers (mean)",)),
}  # fmt: skip


@pytest.mark.parametrize("pair", REFUSED)
def test_a_checkpoint_that_does_not_go_with_its_run_is_refused(
    runs: Path, tmp_path: Path, pair: str, capsys: pytest.CaptureFixture[str]
) -> None:
    target, change, words = REFUSED[pair]
    run = shutil.copytree(runs / target, tmp_path / "run")
    state = checkpoint(run / "best.pt")
    change(state)
    torch.save(state, run / "best.pt")
    assert echo_eval(run, "--device", "cpu") == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("error: ")
    for word in words:
        assert word in last
    assert not (run / "eval-test" / "summary.json").exists()


@pytest.mark.parametrize(
    ("target", "before", "after"),
    [
        ("mask", 'normalise = "frame"', 'normalise = "none"'),
        ("mask", 'normalise = "frame"', ""),
        ("mask", 'loss = "dice"', 'loss = "bce"'),
        ("mask", "folds = 0", "folds = 2\nfold = 1"),
        ("mask", "learning_rate = 0.03", "learning_rate = 0.01"),
        ("mask", "width = 4", "width = 8"),
        ("landmarks", 'decoder = "centroid"', 'decoder = "argmax"'),
        ("landmarks", "shape_prior = true", "shape_prior = false"),
        ("landmarks", 'decoder = "centroid"', 'decoder = "centroid"\ncurve = "polygon"'),
    ],
)
def test_a_setting_edited_after_training_is_refused_by_name(
    runs: Path,
    tmp_path: Path,
    target: str,
    before: str,
    after: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = shutil.copytree(runs / target, tmp_path / "run")
    config = (run / "config.toml").read_text()
    assert before in config
    (run / "config.toml").write_text(config.replace(before, after))
    name = (after or before).splitlines()[-1].split(" =")[0]
    if name == "fold":
        name = "folds"
    assert echo_eval(run, "--device", "cpu") == 1
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert "best.pt was trained with other settings than config.toml" in last
    assert f"{name} was " in last
    with pytest.raises(RunError, match=rf"\b{name} was "):
        train(from_toml_resumed(run))
    # The path of the store and the device may be others.
    lines = [
        line
        for line in config.splitlines()
        if not line.startswith(("store =", "device =", "compile =", "patience ="))
    ]
    (run / "config.toml").write_text("\n".join([*lines, 'store = "moved.zarr"']))
    assert load_model(run).epoch > 0


def from_toml_resumed(run: Path) -> TrainSettings:
    """The settings with which echo-train --resume continues a run."""
    return replace(from_toml(TrainSettings, run / "config.toml"), run=run, resume=True)


def test_checkpoints_of_different_runs_are_not_mixed(
    runs: Path, small_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also if they have the same settings and no record of them, as in version 0.1."""
    first = train(tiny(small_store, tmp_path / "first", epochs=2))
    second = train(tiny(small_store, tmp_path / "second", epochs=2, seed=1))
    for folder in (first, second):
        for name in ("best.pt", "last.pt"):
            state = checkpoint(folder / name)
            del state["settings"]
            torch.save(state, folder / name)
    shutil.copy(second / "best.pt", first / "best.pt")
    assert echo_eval(first, "--device", "cpu") == 1
    assert "best.pt is of another run than metrics.csv next to it" in capsys.readouterr().err
    assert echo_eval(first, "--checkpoint", "last", "--device", "cpu") == 0
    with pytest.raises(RunError, match=r"best\.pt and .*last\.pt are of different runs"):
        train(from_toml_resumed(first))


@pytest.mark.parametrize("change", ["another data set", "other videos with the same tracings"])
def test_a_store_that_was_replaced_is_named_and_not_trained_on(
    tmp_path: Path, change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    videos = small_videos(5)
    store = build_store(write_small_dataset(tmp_path / "a", videos), tmp_path / "s.zarr")
    run = train(tiny(store, tmp_path / "run", epochs=1))
    shutil.rmtree(store)
    if change == "another data set":
        data = write_small_dataset(tmp_path / "b", small_videos(5, seed=3))
    else:
        data = tmp_path / "a"
        first, second = (data / "Videos" / f"{video.name}.avi" for video in videos[:2])
        shutil.copy(first, second)
    build_store(data, store)
    assert echo_eval(run, "--device", "cpu") == 0
    said = capsys.readouterr().out
    notes = summary(run / "eval-test")["notes"]
    assert len(notes) == 1 and notes[0] in said
    if change == "another data set":
        assert "does not hold the data that the model was trained on" in notes[0]
    else:
        assert "was built again since the model was trained, with other content: frames" in notes[0]
    with pytest.raises(RunError, match=r"s\.zarr is not the store .* FileList\.csv .* FileList"):
        train(tiny(store, run, epochs=1, resume=True))


def test_splits_of_the_run_on_another_store_are_named(
    small_store: Path, large_store: Path, tmp_path: Path
) -> None:
    run = train(tiny(small_store, tmp_path / "run", epochs=1, folds=2, fold=1))
    out = tmp_path / "out"
    assert echo_eval(run, "--store", large_store, "--out", out, "--device", "cpu") == 0
    assert any("splits of its own (--folds 2)" in note for note in summary(out)["notes"])


def test_a_checkpoint_from_before_a_setting_was_added_is_read(runs: Path, tmp_path: Path) -> None:
    run = shutil.copytree(runs / "mask", tmp_path / "run")
    state = checkpoint(run / "best.pt")
    assert state["settings"].pop("tversky_alpha") == 0.3
    torch.save(state, run / "best.pt")
    lines = (run / "config.toml").read_text().splitlines(keepends=True)
    kept = [line for line in lines if not line.startswith("tversky_alpha")]
    (run / "config.toml").write_text("".join(kept))
    load_model(run)
    (run / "config.toml").write_text("".join(kept) + "tversky_alpha = 0.4\n")
    with pytest.raises(RunError, match=r"tversky_alpha was 0\.3 and is 0\.4"):
        load_model(run)
