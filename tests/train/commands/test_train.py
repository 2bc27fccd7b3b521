"""The command `echo-train`: where its settings come from, and how it ends."""

from __future__ import annotations

import errno
import functools
import json
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch

from echo_common.store.schema import SCHEMA
from echo_train.commands.train import cli
from support.commands import exit_code
from support.training import assert_same_states, checkpoint, stopped_before

TINY = ["--width", "2", "--epochs", "1", "--batch-size", "4", "--device", "cpu"]


echo_train = functools.partial(exit_code, cli)


def config(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "config.toml").read_text())


def assert_one_message(error: str, *parts: str) -> None:
    assert "Traceback" not in error
    last = error.strip().splitlines()[-1]
    assert last.startswith("error: ")
    for part in parts:
        assert part in last


def test_a_run_says_what_it_did(
    small_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert echo_train("--store", small_store, "--run", folder, *TINY) == 0
    said = capsys.readouterr()
    mean = json.loads((folder / "summary.json").read_text())["test"]["dice"]["mean"]
    assert "12 training frames" in said.out and f"{mean:.4f}" in said.out
    assert str(folder / "overlay.png") in said.out
    assert "epoch 1/1: loss" in said.err


def test_option_wins_over_environment_over_file_over_default(
    small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, folder = tmp_path / "settings.toml", tmp_path / "run"
    file.write_text(f'store = "{small_store}"\nwidth = 3\nbatch-size = 3\nseed = 3\nepochs = 1\n')
    monkeypatch.setenv("ECHO_WIDTH", "2")
    monkeypatch.setenv("ECHO_BATCH_SIZE", "2")
    arguments = ["--config", file, "--batch-size", "4", "--run", folder, "--device", "cpu"]
    assert echo_train(*arguments) == 0
    said = config(folder)
    assert (said["batch_size"], said["width"], said["seed"]) == (4, 2, 3)
    assert said["learning_rate"] == 0.002


def test_a_config_repeats_its_run_in_another_folder(small_store: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert echo_train("--store", small_store, "--run", first, "--seed", "5", *TINY) == 0
    assert not {"run", "resume"} & set(config(first))
    assert echo_train("--config", first / "config.toml", "--run", second) == 0
    assert config(second) == config(first)
    assert_same_states(
        checkpoint(first / "last.pt")["network"], checkpoint(second / "last.pt")["network"]
    )


def test_resume_takes_the_settings_from_the_run(small_store: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert echo_train("--store", small_store, "--run", folder, *TINY, "--schedule", "constant") == 0
    assert echo_train("--resume", "--run", folder, "--epochs", "2") == 0
    assert len(checkpoint(folder / "last.pt")["history"]) == 2


def test_resume_with_another_setting_is_refused(
    small_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert echo_train("--store", small_store, "--run", folder, *TINY) == 0
    assert echo_train("--resume", "--run", folder, "--width", "3") == 1
    assert_one_message(capsys.readouterr().err, "width was 2 and is 3", "--run")


def test_ctrl_c_says_how_to_go_on(
    small_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    arguments = ["--store", small_store, "--run", folder, *TINY, "--epochs", "2"]
    with stopped_before(2):
        assert echo_train(*arguments) == 130
    assert f"echo-train --resume --run {folder}" in capsys.readouterr().err
    assert echo_train("--resume", "--run", folder) == 0
    assert [row["epoch"] for row in checkpoint(folder / "last.pt")["history"]] == [1, 2]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_missed(
    small_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--store", small_store, "--run", tmp_path / "run", *TINY, "--device", "cuda"]
    assert echo_train(*arguments) == 1
    assert_one_message(
        capsys.readouterr().err, "device 'cuda' is not available", "--device auto or cpu"
    )
    assert not (tmp_path / "run").exists()


def test_a_loss_of_the_other_target_is_refused(
    small_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--store", small_store, "--run", tmp_path / "run", *TINY]
    assert echo_train(*arguments, "--loss", "spatial-ce") == 1
    assert_one_message(capsys.readouterr().err, "--loss spatial-ce", "--target mask", "bce")
    assert not (tmp_path / "run").exists()


def test_a_store_that_is_not_there_names_the_build(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert echo_train("--store", tmp_path / "no.zarr", *TINY) == 1
    assert_one_message(capsys.readouterr().err, "no store at", "echo-prep build --store")


def test_landmarks_that_the_store_lacks_name_the_build(
    small_store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--store", small_store, "--target", "landmarks", "--landmarks", "11"]
    assert echo_train(*arguments) == 1
    assert_one_message(capsys.readouterr().err, "echo-prep build", "--landmarks 11")


@pytest.mark.parametrize("damage", ["chunk", "manifest", "schema", "stages", "zarr.json"])
def test_a_damaged_store_is_one_message(
    small_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    store = tmp_path / "small.zarr"
    shutil.copytree(small_store, store)
    metadata = store / "zarr.json"
    if damage == "chunk":
        listed = json.loads((store / "masks/chords/manifest.json").read_text())["chunks"]
        chunk = store / "masks/chords" / next(iter(listed))
        content = bytearray(chunk.read_bytes())
        content[len(content) // 2] ^= 1
        chunk.write_bytes(content)
    elif damage == "manifest":
        (store / "masks/chords/manifest.json").unlink()
    elif damage == "schema":
        metadata.write_text(metadata.read_text().replace(SCHEMA, "echo-store/99"))
    elif damage == "stages":
        table = json.loads(metadata.read_text())
        table["attributes"]["stages"] = {}
        metadata.write_text(json.dumps(table))
    else:
        metadata.write_text("no JSON")
    assert echo_train("--store", store, "--run", tmp_path / "run", *TINY) == 1
    assert_one_message(capsys.readouterr().err, str(store))
    assert not (tmp_path / "run").exists()


def test_wrong_usage_ends_with_2(small_store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert echo_train("--store", small_store, "--epochs", "0") == 2
    assert "--epochs" in capsys.readouterr().err


def test_a_full_disk_is_one_message_and_the_run_goes_on_later(
    small_store: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    folder = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr("echo_train.training.resume.checkpoint_bytes", full)
        assert echo_train("--store", small_store, "--run", folder, *TINY) == 1
    assert_one_message(
        capsys.readouterr().err, "disk is full", f"echo-train --resume --run {folder}"
    )
    assert echo_train("--resume", "--run", folder) == 0


def test_a_dry_run_covers_a_run_or_the_first_of_a_sweep(
    small_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--store", small_store, "--run", tmp_path / "run", *TINY, "--dry-run"]
    assert echo_train(*options) == 0
    single = capsys.readouterr().out
    assert single.count("forecast: about") == 1 and "million parameters" in single
    assert echo_train(*options, "--seeds", 3) == 0
    assert capsys.readouterr().out.startswith("the first of 3 runs:\n")
    assert echo_train(*options, "--resume") == 1
    assert_one_message(capsys.readouterr().err, "--dry-run", "omit --resume")
    assert not list(tmp_path.iterdir())


def test_several_processes_are_launched_with_the_same_options(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    launched = []

    def launch(count: int, module: str, arguments: list[str]) -> int:
        launched.append((count, module, arguments))
        return 3

    monkeypatch.setattr("echo_train.runtime.launch.launch", launch)
    arguments = ["--processes", "2", "--width", "4"]
    monkeypatch.setattr("sys.argv", ["echo-train", *arguments])
    assert echo_train(*arguments) == 3
    assert launched == [(2, "echo_train", arguments)]
