"""The paper's experiments: their settings, what overrides them, and table 1 with our results."""

from __future__ import annotations

import csv
import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from echo_common.errors import RunError, SettingsError
from echo_common.paper import PRESETS, PUBLISHED
from echo_train.commands.train import cli
from echo_train.experiments import paper, sweep
from echo_train.experiments.paper import repeat
from echo_train.networks.architecture import NETWORKS
from echo_train.runs.run_folder import EpochRow, read_config
from echo_train.training.settings import TrainSettings
from support.commands import exit_code
from support.training import assert_same_states, checkpoint

SMALL: dict[str, Any] = {
    "width": 2,
    "epochs": 2,
    "batch_size": 4,
    "train_images": 12,
    "device": "cpu",
}

EXPERIMENTS = ["experiment-1", "experiment-2", "experiment-3", "experiment-4"]


@pytest.fixture(scope="module")
def repeated(paper_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All experiments at width 2."""
    return repeat({**SMALL, "store": paper_store, "run": tmp_path_factory.mktemp("runs") / "paper"})


echo_train = functools.partial(exit_code, cli)


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "table1.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_all_writes_a_run_and_a_figure_for_each_experiment_and_the_table(repeated: Path) -> None:
    figures = [f"figure-{number}.png" for number in (9, 10, 11, 12)]
    assert {path.name for path in repeated.iterdir()} == {
        *EXPERIMENTS, *figures, "table1.md", "table1.csv", "config.toml", ".echo",
    }  # fmt: skip
    assert all((repeated / name).read_bytes().startswith(b"\x89PNG") for name in figures)
    for name in EXPERIMENTS:
        said = read_config(repeated / name)
        assert said["width"] == 2 and said["network"] == PRESETS[name]["network"]


def test_the_table_has_the_last_epoch_and_the_papers_values(repeated: Path) -> None:
    rows = table(repeated)
    assert [row["experiment"] for row in rows] == EXPERIMENTS
    text = (repeated / "table1.md").read_text()
    for row in rows:
        folder, published = repeated / row["experiment"], PUBLISHED[row["experiment"]]
        with (folder / "metrics.csv").open(newline="") as file:
            last = list(csv.DictReader(file))[-1]
        for column, here in (
            ("train_pixel_accuracy", "train_pixel_accuracy"),
            ("test_pixel_accuracy", "val_pixel_accuracy"),
            ("train_foreground_dice", "train_dice"),
            ("test_foreground_dice", "val_dice"),
            ("train_loss", "train_loss"),
            ("test_loss", "val_loss"),
        ):
            assert float(row[column]) == pytest.approx(float(last[here]), abs=5.1e-5)
        assert float(row["paper_test_dice"]) == published.test_dice
        assert f"{float(row['test_pixel_accuracy']):.4f} ({published.test_dice:.4f})" in text
        assert f"| {float(row['test_foreground_dice']):.4f} |" in text


def test_pixel_accuracy_and_dice_of_an_epoch_are_those_of_its_frames(repeated: Path) -> None:
    folder = repeated / "experiment-4"
    best = json.loads((folder / "summary.json").read_text())["best_epoch"]
    with (folder / "metrics.csv").open(newline="") as file:
        line = list(csv.DictReader(file))[best - 1]
    with (folder / "frames.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for column, name in (("val_dice", "dice"), ("val_pixel_accuracy", "pixel_accuracy")):
        expected = np.mean([float(row[name]) for row in rows])
        assert float(line[column]) == pytest.approx(expected, abs=1e-6)


def test_the_floor_is_that_of_black_and_mean_masks(repeated: Path, paper_store: Path) -> None:
    group = zarr.open_group(paper_store, mode="r")
    masks = np.asarray(group["masks/centroid"])
    for row in table(repeated):
        with (repeated / row["experiment"] / "frames.csv").open(newline="") as file:
            tested = [int(line["row"]) for line in csv.DictReader(file)]
        expected = (masks[tested] == 0).mean()
        assert float(row["black_pixel_accuracy"]) == pytest.approx(expected, abs=5.1e-5)
        # Of 15 frames, 12 are for training; a mean mask of others would agree less.
        assert float(row["mean_mask_pixel_accuracy"]) > expected
        assert 0 < float(row["mean_mask_foreground_dice"]) < 1
        text = (repeated / "table1.md").read_text()
        assert f"| {float(row['mean_mask_foreground_dice']):.4f} |" in text


def test_a_store_unlike_the_papers_is_noted(paper_store: Path, repeated: Path) -> None:
    said: list[str] = []
    repeat({**SMALL, "store": paper_store, "run": repeated, "resume": True}, said.append)
    assert sum("rounded coordinates" in line for line in said) == 1
    assert sum("is cut at the pixel expansion" in line for line in said) == 1


def test_interrupted_experiments_resume_with_the_given_settings(
    repeated: Path,
    paper_store: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    real, base = sweep.train, tmp_path / "stopped"

    def stopped(settings: TrainSettings, *rest: Any, **more: Any) -> Path:
        if settings.folder.run == base / "experiment-3":
            raise KeyboardInterrupt
        return real(settings, *rest, **more)

    options = ["--preset", "all", "--store", paper_store, "--run", base]
    for name, value in SMALL.items():
        options += [f"--{name.replace('_', '-')}", str(value)]
    with monkeypatch.context() as patch:
        patch.setattr(sweep, "train", stopped)
        assert echo_train(*options) == 130
    command = f"echo-train --config {base / 'config.toml'} --resume --run {base}"
    assert command in capsys.readouterr().err
    before = (base / "experiment-2" / "last.pt").read_bytes()
    assert echo_train(*command.split()[1:]) == 0
    assert (base / "experiment-2" / "last.pt").read_bytes() == before
    for name in EXPERIMENTS:
        expected, resumed = (
            checkpoint(folder / name / "last.pt")["network"] for folder in (repeated, base)
        )
        assert_same_states(expected, resumed)
    said = capsys.readouterr().out
    assert f"{base / 'experiment-1'} is finished already" in said
    assert (base / "table1.md").read_text() in said


def test_finished_experiments_with_other_settings_are_refused(
    repeated: Path, paper_store: Path
) -> None:
    given = {**SMALL, "store": paper_store, "run": repeated, "resume": True}
    with pytest.raises(RunError, match="width was 2 and is 3"):
        repeat({**given, "width": 3})


@pytest.mark.parametrize("preset", ["all", *EXPERIMENTS])
def test_missing_masks_are_reported_before_training(
    small_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], preset: str
) -> None:
    options = ["--preset", preset, "--store", small_store, "--run", tmp_path / "run"]
    assert echo_train(*options) == 1
    assert f"echo-prep build --paper --store {small_store}" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_too_few_frames_are_an_error(
    paper_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--preset", "all", "--store", paper_store, "--run", tmp_path / "run"]
    assert echo_train(*options) == 1
    assert "--train-images 800 needs 800 frames" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seeds": 3}, "leave out --seeds and --folds"),
        ({"folds": 5}, "leave out --seeds and --folds"),
        ({"resume": True}, "--resume needs --run"),
        ({"loss": "dice"}, "--loss dice is no loss for --target landmarks"),
    ],
)
def test_options_that_contradict_all_presets_are_refused(
    paper_store: Path, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        repeat({**SMALL, "store": paper_store, **given})


def test_a_row_has_only_the_last_epoch() -> None:
    def row(epoch: int, value: float) -> EpochRow:
        figures = {
            field.name: value for field in dataclasses.fields(EpochRow) if field.name != "epoch"
        }
        return EpochRow(epoch=epoch, **figures)

    summary: dict[str, Any] = {
        "choice": "masks centroid",
        "device": "cpu",
        "seconds": 12.34,
        "settings": {"network": next(iter(NETWORKS)), "width": 8, "split_by": "video"},
    }
    metrics = {"pixel_accuracy": {"mean": 0.9}, "dice": {"mean": 0.6}}
    history = [row(1, 0.9), row(2, 0.25)]
    with pytest.raises(RunError, match="has no floor"):
        paper.table_row("experiment-2", history, summary | {"val": {}})
    summary["val"] = {"floor": {"black": metrics, "mean_mask": metrics}}
    found = paper.table_row("experiment-2", history, summary)
    assert found["epochs"] == 2 and found["seconds"] == 12.3
    measured = [name for name in found if name.startswith(("train_", "test_"))]
    assert {found[name] for name in measured} == {0.25}
    assert "Split by video; width 8; last epoch; cpu." in paper.describe([found])


def test_a_dry_run_lists_every_experiment(
    paper_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--preset", "all", "--store", paper_store, "--run", tmp_path / "run", "--dry-run"]
    for name, value in SMALL.items():
        arguments += [f"--{name.replace('_', '-')}", value]
    assert echo_train(*arguments) == 0
    said = capsys.readouterr().out
    assert [line[:-1] for line in said.splitlines() if line.endswith(":")] == EXPERIMENTS
    assert said.count("steps: 3 per epoch, 6 in 2 epochs") == 4
    assert not list(tmp_path.iterdir())
