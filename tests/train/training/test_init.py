"""`echo-train --init`: what a run begins with, what it says, and what resuming does."""

from __future__ import annotations

import functools
import json
import shutil
import tomllib
from pathlib import Path

import pytest
import torch

from echo_common.cli.settings import replace
from echo_train.commands.train import cli
from echo_train.runs.weights_file import write_weights
from echo_train.training.train import train
from support.commands import exit_code
from support.training import (
    assert_same_states,
    checkpoint,
    stopped_before,
    tiny,
    train_in_parts,
    train_on_one_thread,
)

echo_train = functools.partial(exit_code, cli)

STILL = {"width": 4, "epochs": 1, "learning_rate": 0.0, "ema": 0.5}
"""Settings of a run whose weights do not move, but for the statistics of normalisations."""


def test_a_run_begins_with_the_weights_and_so_does_their_average(
    runs: Path, small_store: Path, tmp_path: Path
) -> None:
    folder = train(tiny(small_store, tmp_path / "run", init=runs / "mask", **STILL))
    begun, last = (checkpoint(path) for path in (runs / "mask" / "best.pt", folder / "last.pt"))
    for state in (last["network"], last["average"]["network"]):
        for name, values in state.items():
            if "running" not in name and "tracked" not in name:
                torch.testing.assert_close(values, begun["network"][name], rtol=1e-6, atol=0)
    text = f"{runs / 'mask'} (masks chords), a unet of width 4: all weights"
    assert json.loads((folder / "summary.json").read_text())["provenance"]["began_with"] == text
    config = (folder / "config.toml").read_text()
    assert f"# began_with: {text}" in config
    assert tomllib.loads(config)["init"] == str(runs / "mask")


def test_a_run_of_landmarks_keeps_its_own_head(
    runs: Path, small_store: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "mask.safetensors"
    write_weights(runs / "mask", weights)
    settings = {**STILL, "target": "landmarks"}
    random, begun = (
        checkpoint(train(tiny(small_store, tmp_path / name, init=init, **settings)) / "last.pt")
        for name, init in (("random", None), ("begun", weights))
    )
    trained = checkpoint(runs / "mask" / "best.pt")["network"]
    assert torch.equal(begun["network"]["head.weight"], random["network"]["head.weight"])
    filters = begun["network"]["up.0.0.weight"]
    assert torch.equal(filters, trained["up.0.0.weight"].half().float())
    assert "except the head (1 channel there, 7 channels here)" in begun["began_with"]


def test_resuming_does_not_begin_again(runs: Path, small_store: Path, tmp_path: Path) -> None:
    """An interrupted run equals an uninterrupted one, though the weights are gone by then."""
    init = shutil.copytree(runs / "mask", tmp_path / "init")
    settings = {"width": 4, "ema": 0.5, "init": init}
    # Stopped before the first epoch ends, a run begins again with the weights.
    parts = tiny(small_store, tmp_path / "parts", **settings)
    with stopped_before(1), pytest.raises(KeyboardInterrupt):
        train(parts)
    complete = train_on_one_thread(tiny(small_store, tmp_path / "complete", **settings))
    resumed = replace(parts, resume=True)
    with stopped_before(2), pytest.raises(KeyboardInterrupt):
        train(resumed)
    shutil.rmtree(init)
    train_in_parts(resumed)
    first, second = (checkpoint(folder / "best.pt") for folder in (complete, tmp_path / "parts"))
    for part in ("network", "began_with", "best"):
        if part == "best":
            assert first[part]["val_dice"] == second[part]["val_dice"]
        else:
            assert_same_states(first[part], second[part])


def test_network_and_width_are_those_of_the_weights_unless_given(
    runs: Path, small_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--store", small_store, "--init", runs / "mask", "--device", "cpu", "--dry-run")
    assert echo_train(*words) == 0
    said = capsys.readouterr().out
    assert (
        "unet of width 4, " in said
        and f"begins with {runs / 'mask'} (masks chords), a unet" in said
    )
    for options, kind in (
        (("--width", "8"), "unet of width 8"),
        (("--network", "fast-unet"), "fast-unet of width 4"),
    ):
        assert echo_train(*words, *options) == 1
        last = capsys.readouterr().err.strip().splitlines()[-1]
        assert last.startswith(f"error: --init {runs / 'mask'} (masks chords) does not fit: ")
        assert f"the network of this run is a {kind}" in last
        assert last.endswith("give --network unet --width 4")


def test_the_phase_channel_is_that_of_the_weights_unless_given(
    small_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = train(tiny(small_store, tmp_path / "told", phase_channel=True, epochs=1))
    words = ("--store", small_store, "--init", told, "--device", "cpu", "--dry-run")
    for option, text in (
        ((), "all weights"),
        (("--no-phase-channel",), "all weights except the first convolution ("),
    ):
        assert echo_train(*words, *option) == 0
        said = capsys.readouterr().out
        assert f"begins with {told} (masks chords), a unet of width 2: {text}" in said
        assert ("except" in said) == bool(option)


def test_weights_that_do_not_exist_are_an_error_before_a_folder_is_made(
    small_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, reason in (
        ("absent", "contains no run"),
        ("absent.safetensors", "there is no weights file"),
    ):
        run = tmp_path / "run"
        assert echo_train("--store", small_store, "--init", tmp_path / name, "--run", run) == 1
        assert reason in capsys.readouterr().err
        assert not run.exists()
