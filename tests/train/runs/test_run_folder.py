"""The run folder: what is promised is there, and says what the weights in it do."""

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
from echo_train.training.train import train
from support.training import checkpoint, tiny

PROMISED = {
    "config.toml",
    "metrics.csv",
    "last.pt",
    "best.pt",
    "summary.json",
    "frames.csv",
    "curves.png",
    "overlay.png",
    ".lock",
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


def evaluate_apart(folder: Path, store: Path, split: str) -> tuple[np.ndarray, float]:
    """Foreground Dice of each frame and the mean loss, sharing only the network's class."""
    group = zarr.open_group(store, mode="r")
    chosen = np.asarray(group["index/split"]) == schema.SPLITS.index(split)
    images = np.asarray(group["frames"])[chosen]
    masks = torch.from_numpy(np.asarray(group["masks/chords"])[chosen]).long()
    network = UNet(out_channels=1, width=summary(folder)["settings"]["width"]).eval()
    network.load_state_dict(checkpoint(folder / "best.pt")["network"])
    with torch.no_grad():
        logits = network(torch.from_numpy(images[:, None]).float() / 255)[:, 0].double()
    chance = torch.sigmoid(logits)
    loss = -torch.where(masks > 0, chance, 1 - chance).log().mean()
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


def test_a_run_leaves_exactly_the_files_promised(finished: Path) -> None:
    assert {path.name for path in finished.iterdir()} == PROMISED


def test_landmarks_leave_the_same_files(small_store: Path, tmp_path: Path) -> None:
    folder = train(tiny(small_store, tmp_path / "run", target="landmarks", epochs=1))
    assert {path.name for path in folder.iterdir()} == PROMISED
    assert summary(folder)["choice"] == "7 anatomical landmarks, gaussian, masks chords"


@pytest.mark.parametrize("split", ["VAL", "TEST"])
def test_figures_are_those_of_the_best_weights(
    finished: Path, small_store: Path, split: str
) -> None:
    scores, loss = evaluate_apart(finished, small_store, split)
    said = summary(finished)[split.lower()]
    assert 0 < scores.min() < scores.max() < 1
    assert said["frames"] == len(scores) == 6
    assert said["dice"]["mean"] == pytest.approx(scores.mean(), abs=1e-6)
    assert said["loss"] == pytest.approx(loss, rel=1e-5)
    listed = [float(row["dice"]) for row in rows(finished, "frames.csv") if row["split"] == split]
    np.testing.assert_allclose(listed, scores, atol=1e-6)


def test_metrics_have_a_line_an_epoch_and_the_best_is_the_highest(
    finished: Path, small_store: Path
) -> None:
    lines = rows(finished, "metrics.csv")
    assert [int(line["epoch"]) for line in lines] == list(range(1, 13))
    dice = [float(line["val_dice"]) for line in lines]
    best = summary(finished)["best_epoch"]
    assert best == 1 + int(np.argmax(dice))
    scores, loss = evaluate_apart(finished, small_store, "VAL")
    assert dice[best - 1] == pytest.approx(scores.mean(), abs=1e-6)
    assert float(lines[best - 1]["val_loss"]) == pytest.approx(loss, rel=1e-5)


def test_summary_counts_what_the_run_did(finished: Path) -> None:
    said = summary(finished)
    assert said["epochs"] == 12
    weights = checkpoint(finished / "best.pt")["network"]
    learnt = [value for name, value in weights.items() if "running" not in name]
    counted = sum(value.numel() for value in learnt if value.is_floating_point())
    assert said["parameters"] == counted
    assert said["seconds"] == pytest.approx(
        sum(float(line["seconds"]) for line in rows(finished, "metrics.csv"))
    )
    assert said["settings"] == tomllib.loads((finished / "config.toml").read_text())


def test_config_says_what_was_left_open(finished: Path) -> None:
    config = tomllib.loads((finished / "config.toml").read_text())
    assert (config["method"], config["loss"]) == ("chords", "bce")


def test_a_run_is_never_overwritten(finished: Path, small_store: Path) -> None:
    before = {path: path.read_bytes() for path in finished.iterdir()}
    with pytest.raises(RunError, match="holds something already; give another --run"):
        train(tiny(small_store, finished))
    assert {path: path.read_bytes() for path in finished.iterdir()} == before


def test_runs_without_a_name_are_numbered(
    small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folders = [train(tiny(small_store, epochs=1)) for _ in range(2)]
    assert folders == [Path("runs/mask"), Path("runs/mask-2")]


def test_two_processes_do_not_train_in_one_folder(small_store: Path, tmp_path: Path) -> None:
    folder = train(tiny(small_store, tmp_path / "run", epochs=1))
    with (
        run_folder.run_lock(folder),
        pytest.raises(RunError, match=rf"process {os.getpid()} on \S+ trains in {folder}; wait"),
    ):
        train(tiny(small_store, folder, epochs=1, resume=True))
    train(tiny(small_store, folder, epochs=1, resume=True))


def test_a_summary_that_is_not_there_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=f"echo-train --resume --run {tmp_path}"):
        run_folder.read_summary(tmp_path)


def test_a_run_ties_to_the_earlier_epoch_and_never_to_no_number() -> None:
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
