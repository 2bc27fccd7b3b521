"""`echo-eval`: a run measured again, on any split, on another store, or under corruptions."""

from __future__ import annotations

import csv
import functools
import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from echo_common.measures.disks import trace_volume
from echo_common.store.reader import EchoStore
from echo_train.commands.evaluate import cli
from echo_train.evaluation.trained_model import load_model
from echo_train.metrics.surface_distance import surface_distances
from echo_train.runtime.counter_rng import epoch_key, frame_keys
from echo_train.training.train import train
from echo_train.transforms.corruptions import CORRUPTIONS, grades
from support.commands import exit_code
from support.datasets import small_videos, write_small_dataset
from support.stores import build_store, file_bytes
from support.training import checkpoint, tiny

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def other_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another data set of five videos, none of them for validation."""
    folder = tmp_path_factory.mktemp("other")
    videos = [video for video in small_videos(7, seed=3) if video.split != "VAL"]
    return build_store(write_small_dataset(folder / "data", videos), folder / "other.zarr")


echo_eval = functools.partial(exit_code, cli)


def summary(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "summary.json").read_text())


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("target", ["mask", "landmarks"])
def test_the_metrics_of_the_run_are_reproduced(runs: Path, tmp_path: Path, target: str) -> None:
    before = file_bytes(runs / target)
    out = tmp_path / "out"
    assert echo_eval(runs / target, "--split", "all", "--out", out, "--device", "cpu") == 0
    own, again = summary(runs / target), summary(out)
    for split in ("val", "test"):
        assert again[split] == own[split]
        assert own[split]["dice"]["mean"] > 0
    assert again["training_area"] == own["training_area"]
    assert (again["epoch"], again["checkpoint"]) == (own["best_epoch"], "best")
    listed = rows(out / "frames.csv")
    mine = rows(runs / target / "frames.csv")
    assert [row for row in listed if row["split"] != "TRAIN"] == sorted(
        mine, key=lambda row: row["split"] == "TEST"
    )
    assert len(listed) == again["all"]["frames"] == 24
    means = [float(row["dice"]) for row in listed]
    assert again["all"]["dice"]["mean"] == pytest.approx(np.mean(means), abs=1e-6)
    assert file_bytes(runs / target) == before


@pytest.mark.parametrize("target", ["mask", "landmarks"])
def test_ejection_fractions_are_compared_with_the_tracings(
    runs: Path, small_store: Path, target: str
) -> None:
    store = EchoStore(small_store)
    volumes = trace_volume(store.read("tracing/long_axis"), store.read("tracing/contour"))
    video, phase = store.read("index/video"), store.read("index/phase")
    listed = rows(runs / target / "videos.csv")
    for row in listed:
        ed, es = (volumes[(video == row["video"]) & (phase == code)].item() for code in (0, 1))
        assert float(row["traced_ef"]) == pytest.approx(100 * (1 - es / ed), abs=1e-3)
        found = 100 * (1 - float(row["esv_px3"]) / float(row["edv_px3"]))
        assert float(row["ef"]) == pytest.approx(found, abs=0.01)
    test = summary(runs / target)["test"]["ef"]
    names = {row["video"] for row in rows(runs / target / "frames.csv") if row["split"] == "TEST"}
    errors = [float(row["ef"]) - float(row["traced_ef"]) for row in listed if row["video"] in names]
    assert (test["n"], test["bias"]) == (len(errors), pytest.approx(np.mean(errors), abs=1e-3))


def test_volumes_are_corrected_by_the_exponent_of_the_validation_split(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exponent = summary(runs / "mask")["val"]["ef"]["exponent"]
    assert echo_eval(runs / "mask", "--correct-volumes", "--out", tmp_path, "--device", "cpu") == 0
    assert f"corrected by the exponent {exponent:.3f}" in capsys.readouterr().out
    assert summary(tmp_path)["test"]["ef"]["correction"] == exponent
    before = {row["video"]: row for row in rows(runs / "mask" / "videos.csv")}
    for row in rows(tmp_path / "videos.csv"):
        kept = 1 - float(before[row["video"]]["ef"]) / 100
        assert float(row["ef"]) == pytest.approx(100 * (1 - kept**exponent), rel=1e-3)


def test_the_training_area_is_the_range_of_the_masks(runs: Path, small_store: Path) -> None:
    store = EchoStore(small_store)
    shares = store.read("masks/chords")[store.read("index/split") == 0].mean(axis=(1, 2))
    assert summary(runs / "mask")["training_area"] == pytest.approx([shares.min(), shares.max()])


def test_the_default_is_the_test_split_in_the_run_folder(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(runs / "mask", tmp_path / "mask")
    assert echo_eval(run, "--device", "cpu") == 0
    found = summary(run / "eval-test")
    assert {"val", "train", "all"} & set(found) == set()
    mean, out = found["test"]["dice"]["mean"], capsys.readouterr().out
    assert f"{mean:.4f}" in out and str(run / "eval-test" / "overlay.png") in out
    assert {path.name for path in (run / "eval-test").iterdir()} == {
        ".echo",
        "summary.json",
        "frames.csv",
        "videos.csv",
        "overlay.png",
        "ef.png",
    }


@pytest.mark.parametrize("split", ["val", "all"])
def test_the_measured_masks_are_written_on_request(
    runs: Path, small_store: Path, tmp_path: Path, split: str
) -> None:
    arguments = ("--split", split, "--masks", "png", "--out", tmp_path, "--device", "cpu")
    assert echo_eval(runs / "mask", *arguments) == 0
    true = EchoStore(small_store).read("masks/chords") > 0
    listed = rows(tmp_path / "frames.csv")
    assert len(list(tmp_path.glob("*.mask-*.png"))) == len(listed) == {"val": 6, "all": 24}[split]
    for row in listed:
        name = f"{row['video']}.mask-{int(row['frame']):05}.png"
        found = cv2.imread(str(tmp_path / name), cv2.IMREAD_UNCHANGED)
        assert found is not None and set(np.unique(found)) <= {0, 255}
        mask = true[int(row["row"])]
        dice = 2 * (mask & (found > 0)).sum() / (mask.sum() + (found > 0).sum())
        assert float(row["dice"]) == pytest.approx(dice, abs=1e-6)
    foreign = next(tmp_path.glob("*.mask-*.png"))
    foreign.write_bytes(b"mine")
    assert echo_eval(runs / "mask", *arguments) == 1
    assert foreign.read_bytes() == b"mine"


def test_the_last_state_is_the_average_of_the_last_epoch(runs: Path) -> None:
    model = load_model(runs / "mask", "last", CPU)
    expected = checkpoint(runs / "mask" / "last.pt")["average"]["network"]
    assert model.epoch == 12
    for name, values in model.network.state_dict().items():
        assert torch.equal(values, expected[name])


@pytest.mark.parametrize("target", ["mask", "landmarks"])
def test_another_store_is_measured_by_its_own_splits(
    runs: Path, other_store: Path, tmp_path: Path, target: str
) -> None:
    out = tmp_path / "out"
    arguments = ("--store", other_store, "--split", "all", "--out", out, "--device", "cpu")
    assert echo_eval(runs / target, *arguments) == 0
    found = summary(out)
    assert [found[split]["frames"] for split in ("train", "test", "all")] == [8, 2, 10]
    assert "val" not in found
    assert found["store"] == str(other_store)
    assert found["training_area"] == summary(runs / target)["training_area"]


def test_a_model_does_not_need_the_training_frames(
    runs: Path, other_store: Path, tmp_path: Path
) -> None:
    """Weights and priors from the training split are in the checkpoint."""
    data = write_small_dataset(
        tmp_path / "data", [video for video in small_videos(4) if video.split == "TEST"]
    )
    store = build_store(data, tmp_path / "test-only.zarr")
    out = tmp_path / "out"
    for target in ("mask", "landmarks"):
        arguments = ("--store", store, "--out", out, "--device", "cpu")
        assert echo_eval(runs / target, *arguments) == 0
        assert summary(out)["test"]["frames"] == 2


def test_folds_apply_only_to_the_store_of_the_run(
    small_store: Path, other_store: Path, tmp_path: Path
) -> None:
    run = train(tiny(small_store, tmp_path / "run", epochs=1, folds=3, fold=1))
    assert echo_eval(run, "--split", "val", "--device", "cpu") == 0
    assert summary(run / "eval-val")["val"] == summary(run)["val"]
    arguments = ("--store", other_store, "--split", "all", "--out", tmp_path / "out")
    assert echo_eval(run, *arguments, "--device", "cpu") == 0
    assert summary(tmp_path / "out")["train"]["frames"] == 8


def test_noise_measures_predictions_of_corrupted_images(
    runs: Path, small_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ("--noise", "--noise-seed", "4", "--split", "val", "--out", out, "--device", "cpu")
    assert echo_eval(runs / "mask", runs / "landmarks", *arguments) == 0
    table = rows(out / "noise.csv")
    assert {row["run"] for row in table} == {"mask", "landmarks"}
    rows_of = {(row["run"], row["corruption"], float(row["severity"])): row for row in table}
    assert len(rows_of) == len(table) == 2 * (1 + len(grades()))
    for target in ("mask", "landmarks"):
        own, clean = summary(runs / target)["val"], rows_of[target, "clean", 0.0]
        assert float(clean["dice"]) == pytest.approx(own["dice"]["mean"], abs=1e-6)
        assert [float(clean[end]) for end in ("low", "high")] == pytest.approx(
            own["dice"]["ci95"], abs=1e-6
        )
        assert int(clean["missed_frames"]) == own["missed_frames"]
        assert float(clean["hd95"]) == pytest.approx(own["hd95"]["mean"], abs=1e-6)
        implausible = own["shape"]["implausible"]["mean"]
        assert float(clean["implausible"]) == pytest.approx(implausible, abs=1e-6)
        assert summary(out / target)["val"] == own
    assert rows_of["mask", "clean", 0.0]["mean_radial_error"] == ""
    store = EchoStore(small_store)
    frames = np.flatnonzero(store.read("index/split") == 1)
    images = torch.from_numpy(store.read("frames")[frames])[:, None].float() / 255
    masks = store.read("masks/chords")[frames] > 0
    model = load_model(runs / "mask", "best", CPU)
    for number, (name, corruption) in enumerate(CORRUPTIONS.items()):
        severity = corruption.severities[1]
        keys = frame_keys(torch.from_numpy(frames), epoch_key(4, number))
        found = (
            model.target.predict(model.logits(corruption.apply(images, severity, keys))).masks > 0
        )
        both, total = (found & masks).sum((1, 2)), found.sum((1, 2)) + masks.sum((1, 2))
        row = rows_of["mask", name, severity]
        assert float(row["dice"]) == pytest.approx((2 * both / total).mean(), abs=1e-6)
        assert float(row["pooled"]) == pytest.approx(2 * both.sum() / total.sum(), abs=1e-6)
        distances = surface_distances(found.astype(np.uint8), masks.astype(np.uint8))
        assert float(row["hd95"]) == pytest.approx(distances[:, 0].mean(), abs=1e-6)
    said = capsys.readouterr().out
    assert f"{float(rows_of['landmarks', 'blur', 2.0]['dice']):8.3f}" in said
    assert (out / "noise.png").read_bytes().startswith(b"\x89PNG")


def test_runs_with_the_same_name_have_separate_folders(runs: Path, tmp_path: Path) -> None:
    for place in ("a", "b"):
        shutil.copytree(runs / "mask", tmp_path / place / "mask")
    assert echo_eval(tmp_path / "a/mask", tmp_path / "b/mask", "--device", "cpu") == 0
    out = tmp_path / "eval-test"
    assert sorted(path.name for path in out.iterdir()) == [".echo", "mask", "mask-2"]
    assert summary(out / "mask-2")["run"] == str(tmp_path / "b/mask")


def assert_one_message(capsys: pytest.CaptureFixture[str], *parts: str) -> None:
    error = capsys.readouterr().err
    assert "Traceback" not in error
    last = error.strip().splitlines()[-1]
    assert last.startswith("error: ")
    for part in parts:
        assert part in last


def test_a_folder_without_a_run_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert echo_eval(tmp_path, "--device", "cpu") == 1
    assert_one_message(capsys, f"{tmp_path} contains no run", "config.toml")


def test_a_split_without_frames_is_an_error_that_lists_the_others(
    runs: Path, other_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--store", other_store, "--split", "val", "--out", tmp_path / "out")
    assert echo_eval(runs / "mask", *arguments, "--device", "cpu") == 1
    assert_one_message(capsys, "no readable frame of the split val", "it has train, test")
    assert not (tmp_path / "out").exists()


def test_missing_masks_are_an_error_that_names_the_build(
    runs: Path, small_dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = build_store(small_dataset, tmp_path / "hull.zarr", method=("convexhull",))
    assert echo_eval(runs / "mask", "--store", store, "--device", "cpu") == 1
    assert_one_message(capsys, "no masks of chords", "echo-prep build", "--method chords")


def test_a_checkpoint_of_another_network_is_refused(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(runs / "mask", tmp_path / "mask")
    state = checkpoint(run / "best.pt")
    state["architecture"]["width"] = 5
    torch.save(state, run / "best.pt")
    assert echo_eval(run, "--device", "cpu") == 1
    assert_one_message(capsys, "best.pt does not fit", "config.toml")
    del state["architecture"]
    torch.save(state, run / "best.pt")
    assert echo_eval(run, "--device", "cpu") == 1
    assert_one_message(capsys, "best.pt does not fit", "architecture")
