"""Settings of the paper's experiments: what overrides them, and the store that they need."""

from __future__ import annotations

import csv
import dataclasses
import functools
import shutil
from pathlib import Path

import numpy as np
import pytest

from echo_common.cli.command import run_command
from echo_common.cli.settings import replace, to_table
from echo_common.paper import BUILD, PRESETS, PUBLISHED
from echo_common.store.reader import EchoStore
from echo_prep.build.build import build
from echo_prep.cli import cli as prep_cli
from echo_prep.settings import BuildSettings
from echo_train.commands.train import cli
from echo_train.data.splits import draw_splits
from echo_train.experiments import paper
from echo_train.experiments.presets import choose_for_preset, differences
from echo_train.runs.run_folder import read_config
from echo_train.training.settings import TrainSettings
from support.commands import exit_code
from support.frames import frame_set
from support.training import checkpoint

echo_train = functools.partial(exit_code, cli)


@pytest.mark.parametrize(
    ("name", "images", "epochs", "batch", "network", "target"),
    [
        ("experiment-1", (16_038, 4_010), 20, 64, "unet", "mask"),
        ("experiment-2", (1_600, 400), 5, 64, "unet", "mask"),
        ("experiment-3", (800, 200), 5, 64, "unet", "landmarks"),
        ("experiment-4", (1_600, 400), 5, 64, "unet-no-skip", "mask"),
    ],
)
def test_experiments_are_those_of_sections_4_1_to_4_4(
    name: str, images: tuple[int, int], epochs: int, batch: int, network: str, target: str
) -> None:
    settings = replace(TrainSettings(), **PRESETS[name])
    settings.check()
    table = to_table(settings)
    assert (table["epochs"], table["batch_size"]) == (epochs, batch)
    assert (table["network"], table["target"], table["width"]) == (network, target, 64)
    assert (table["learning_rate"], table["weight_decay"], table["ema"]) == (1e-4, 0, 0)
    assert (table["schedule"], table["augment"], table["method"]) == (
        "constant", "none", "centroid",
    )  # fmt: skip
    frames = frame_set(20_048, video=np.repeat(np.arange(10_024).astype(str), 2))
    drawn = draw_splits(frames, table["split_by"], table.get("train_images"), table["train_order"])
    assert table["train_order"] == "name"
    assert tuple(len(drawn.indices(split)) for split in ("TRAIN", "VAL")) == images


def test_landmarks_are_trained_and_decoded_as_in_the_papers_code() -> None:
    settings = replace(TrainSettings(), **PRESETS["experiment-3"])
    table = to_table(settings)
    assert (table["landmarks"], table["identity"], table["falloff"]) == (7, "angle", "gaussian")
    assert (table["loss"], table["decoder"], table["min_confidence"]) == ("channel-ce", "argmax", 0)
    assert not table["shape_prior"] and table["distance_weight"] == 0


def test_published_values_are_the_papers_table_1() -> None:
    printed = {
        1: "0.9946 0.0136 0.9862 0.0465 70 57",
        2: "0.9848 0.3118 0.9828 0.3111 7 16",
        3: "0.0672 0.0611 0.2194 0.0655 21 34",
        4: "0.9909 0.2008 0.9796 0.2148 6 49",
    }
    for number, line in printed.items():
        *values, minutes, seconds = map(float, line.split())
        assert list(dataclasses.astuple(PUBLISHED[f"experiment-{number}"])) == [
            *values,
            60 * minutes + seconds,
        ]


def test_option_over_environment_over_file_over_preset_over_default(
    paper_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, folder = tmp_path / "settings.toml", tmp_path / "run"
    file.write_text(
        f'store = "{paper_store}"\nwidth = 3\nepochs = 3\nbatch-size = 3\n'
        'train-images = 12\npreset = "experiment-2"\n'
    )
    monkeypatch.setenv("ECHO_WIDTH", "2")
    monkeypatch.setenv("ECHO_EPOCHS", "2")
    monkeypatch.setenv("ECHO_PRESET", "experiment-4")
    assert echo_train("--config", file, "--epochs", "1", "--run", folder, "--device", "cpu") == 0
    said = read_config(folder)
    assert said["epochs"] == 1 and said["width"] == 2
    assert said["batch_size"] == 3 and said["train_images"] == 12
    assert said["network"] == "unet-no-skip" and said["learning_rate"] == 1e-4
    assert said["seed"] == 0 and said["clip_norm"] == 0


def test_a_preset_combines_with_a_split_by_video_and_with_resume(
    paper_store: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    arguments = ["--preset", "experiment-2", "--split-by", "video", "--store", paper_store]
    arguments += ["--train-images", "12", "--width", "2", "--run", folder, "--device", "cpu"]
    assert echo_train(*arguments, "--epochs", "1") == 0
    assert echo_train(*arguments, "--epochs", "2", "--resume") == 0
    assert read_config(folder)["split_by"] == "video"
    with (folder / "frames.csv").open(newline="") as file:
        assert {row["split"] for row in csv.DictReader(file)} == {"VAL"}
    assert len(checkpoint(folder / "last.pt")["history"]) == 2


def test_a_store_of_the_papers_code_has_no_notes(small_dataset: Path, tmp_path: Path) -> None:
    settings = BuildSettings(data=small_dataset, store=tmp_path / "paper.zarr", jobs=1)
    build(replace(settings, **BUILD))
    store = EchoStore(settings.store)
    for preset in ("experiment-2", "experiment-3"):
        chosen = replace(TrainSettings(), **PRESETS[preset], store=settings.store)
        assert not differences(store, choose_for_preset(chosen, {}))


def test_the_suggested_build_adds_what_is_missing(
    small_dataset: Path, small_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = tmp_path / "small.zarr"
    shutil.copytree(small_store, store)
    options = ["--preset", "all", "--store", store, "--run", tmp_path / "run", "--train-images"]
    assert echo_train(*options, "12") == 1
    command = capsys.readouterr().err.strip().split("add them with: ")[1]
    arguments = [*command.split()[1:], "--data", str(small_dataset), "--jobs", "1"]
    with pytest.raises(SystemExit) as end:
        run_command(prep_cli, args=[*arguments, "--backend", "threading"])
    assert end.value.code == 0
    given = {"store": store, "train_images": 12}
    for name, settings in paper.experiments(given).items():
        choice = choose_for_preset(settings, given)
        assert choice.method == "centroid", name


def test_a_missing_method_of_the_users_choice_is_named(
    small_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--preset", "experiment-2", "--store", small_store, "--run", tmp_path / "run"]
    assert echo_train(*options, "--method", "convexhull") == 1
    said = capsys.readouterr().err
    assert "--paper" not in said and "--method convexhull" in said
