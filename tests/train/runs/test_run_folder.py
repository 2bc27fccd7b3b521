"""The run folder: its files, and metrics that match its weights."""

from __future__ import annotations

import csv
import json
import os
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from torchmetrics.functional.segmentation import dice_score

from echo_common.errors import RunError
from echo_common.store import schema
from echo_train.networks.unet import UNet
from echo_train.runs import run_folder
from echo_train.runs.summary import read_summary
from echo_train.training.train import train
from support.stores import file_bytes
from support.training import checkpoint, tiny

FILES = {
    "config.toml",
    "metrics.csv",
    "last.pt",
    "best.pt",
    "summary.json",
    "frames.csv",
    "videos.csv",
    "curves.png",
    "overlay.png",
    "ef.png",
    ".echo",
}


@pytest.fixture(scope="module")
def finished(small_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the mask target, long enough for a Dice above 0."""
    folder = tmp_path_factory.mktemp("runs") / "mask"
    return train(tiny(small_store, folder, width=4, epochs=12, learning_rate=0.03))


def rows(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / name).open(newline="") as file:
        return list(csv.DictReader(file))


def summary(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "summary.json").read_text())


def evaluate_independently(folder: Path, store: Path, split: str) -> tuple[np.ndarray, float]:
    """Foreground Dice of each frame and the mean loss, independent of the code under test."""
    group = zarr.open_group(store, mode="r")
    in_split = np.asarray(group["index/split"]) == schema.SPLITS.index(split)
    images = np.asarray(group["frames"])[in_split]
    masks = torch.from_numpy(np.asarray(group["masks/chords"])[in_split]).long()
    network = UNet(out_channels=1, width=summary(folder)["settings"]["width"]).eval()
    network.load_state_dict(checkpoint(folder / "best.pt")["network"])
    with torch.no_grad():
        logits = network(torch.from_numpy(images[:, None]).float() / 255)[:, 0].double()
    probability = torch.sigmoid(logits)
    loss = -torch.where(masks > 0, probability, 1 - probability).log().mean()
    scores = [
        dice_score(
            (logit > 0).long()[None],
            mask[None],
            num_classes=2,
            include_background=False,
            input_format="index",
        ).item()
        for logit, mask in zip(logits, masks, strict=True)
    ]
    return np.array(scores), float(loss)


def test_a_run_has_exactly_the_documented_files(finished: Path) -> None:
    assert {path.name for path in finished.iterdir()} == FILES


def test_a_landmark_run_has_the_same_files(small_store: Path, tmp_path: Path) -> None:
    folder = train(tiny(small_store, tmp_path / "run", target="landmarks", epochs=1))
    assert {path.name for path in folder.iterdir()} == FILES
    assert summary(folder)["choice"] == "7 anatomical landmarks, gaussian, masks chords"


@pytest.mark.parametrize("split", ["VAL", "TEST"])
def test_metrics_are_those_of_the_best_weights(
    finished: Path, small_store: Path, split: str
) -> None:
    scores, loss = evaluate_independently(finished, small_store, split)
    measured = summary(finished)[split.lower()]
    assert 0 < scores.min() < scores.max() < 1
    assert measured["frames"] == len(scores) == 6
    assert measured["dice"]["mean"] == pytest.approx(scores.mean(), abs=1e-6)
    assert measured["loss"] == pytest.approx(loss, rel=1e-5)
    listed = [float(row["dice"]) for row in rows(finished, "frames.csv") if row["split"] == split]
    np.testing.assert_allclose(listed, scores, atol=1e-6)


def test_metrics_have_one_line_per_epoch_and_the_best_epoch_has_the_highest_dice(
    finished: Path, small_store: Path
) -> None:
    lines = rows(finished, "metrics.csv")
    assert [int(line["epoch"]) for line in lines] == list(range(1, 13))
    dice = [float(line["val_dice"]) for line in lines]
    best = summary(finished)["best_epoch"]
    assert best == 1 + int(np.argmax(dice))
    scores, loss = evaluate_independently(finished, small_store, "VAL")
    assert dice[best - 1] == pytest.approx(scores.mean(), abs=1e-6)
    assert float(lines[best - 1]["val_loss"]) == pytest.approx(loss, rel=1e-5)


def test_the_summary_describes_the_run(finished: Path) -> None:
    found = summary(finished)
    assert found["epochs"] == 12
    weights = checkpoint(finished / "best.pt")["network"]
    trained = [value for name, value in weights.items() if "running" not in name]
    expected = sum(value.numel() for value in trained if value.is_floating_point())
    assert found["parameters"] == expected
    assert found["seconds"] == pytest.approx(
        sum(float(line["seconds"]) for line in rows(finished, "metrics.csv"))
    )
    assert found["settings"] == tomllib.loads((finished / "config.toml").read_text())


def test_config_contains_the_resolved_settings(finished: Path) -> None:
    config = tomllib.loads((finished / "config.toml").read_text())
    assert (config["method"], config["loss"]) == ("chords", "bce")


def test_a_run_is_never_overwritten(finished: Path, small_store: Path) -> None:
    before = file_bytes(finished)
    with pytest.raises(RunError, match="is not empty; give another --run"):
        train(tiny(small_store, finished))
    assert file_bytes(finished) == before


def test_runs_without_a_given_folder_are_numbered(
    small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folders = [train(tiny(small_store, epochs=1)) for _ in range(2)]
    name = "mask-epochs-1-batch-size-4-learning-rate-0.01-width-2-precision-fp32"
    assert folders == [Path("runs", name), Path("runs", f"{name}-2")]


def test_two_processes_do_not_train_in_one_folder(small_store: Path, tmp_path: Path) -> None:
    folder = train(tiny(small_store, tmp_path / "run", epochs=1))
    with (
        run_folder.open_run_folder(folder, resume=True),
        pytest.raises(RunError, match=rf"process {os.getpid()} on \S+ trains in {folder}; wait"),
    ):
        train(tiny(small_store, folder, epochs=1, resume=True))
    train(tiny(small_store, folder, epochs=1, resume=True))


def test_the_error_of_a_missing_summary_gives_the_command_that_makes_it(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("epochs = 1\n")
    with pytest.raises(RunError, match=f"echo-train --resume --run {tmp_path}"):
        read_summary(tmp_path)


def test_of_equal_epochs_the_earlier_is_best_and_nan_never_is() -> None:
    def row(epoch: int, dice: float) -> run_folder.EpochRow:
        return run_folder.EpochRow(
            epoch=epoch,
            train_loss=0,
            train_dice=0,
            val_loss=0,
            val_dice=dice,
            train_pixel_accuracy=0,
            val_pixel_accuracy=0,
            seconds=1,
            images_per_second=1,
        )

    assert run_folder.is_better(row(1, 0.0), None)
    assert not run_folder.is_better(row(2, 0.5), row(1, 0.5))
    assert run_folder.is_better(row(2, 0.6), row(1, 0.5))
    assert not run_folder.is_better(row(1, float("nan")), None)
