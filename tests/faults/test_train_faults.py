"""A run survives being killed and a full disk, and refuses a damaged checkpoint."""

from __future__ import annotations

import csv
import errno
import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

from echo_common.cli.settings import replace
from echo_common.errors import RunError
from echo_train.runs import background_writer, run_folder
from echo_train.training.resume import explain_interruption
from echo_train.training.settings import TrainSettings
from echo_train.training.train import train
from support.diskfaults import be_full, failing_disk, killed_at
from support.stores import file_bytes
from support.training import (
    assert_same_states,
    checkpoint,
    stopped_before,
    tiny,
    train_on_one_thread,
)

TIMES = ("seconds", "images_per_second")
WEIGHTS = ("network", "average", "optimiser")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    # The state is written after each epoch, so that steps of writing can be counted.
    with mock.patch.object(background_writer, "INTERVAL", 0):
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def undisturbed(small_store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A run without interruption, and the number of its steps of writing."""
    folder = tmp_path_factory.mktemp("runs") / "undisturbed"
    with failing_disk(0, be_full) as disk:
        train(small_settings(small_store, folder))
    return folder, disk.steps


def small_settings(store: Path, folder: Path) -> TrainSettings:
    return tiny(store, folder, ema=0.5)


def start_again(store: Path, folder: Path) -> Path:
    """Start a run again after it was killed, as a person would."""
    can_resume = (folder / run_folder.CONFIG).exists()
    return train(replace(small_settings(store, folder), resume=can_resume))


def metrics(folder: Path) -> list[dict[str, str]]:
    with (folder / run_folder.METRICS).open(newline="") as file:
        return [
            {name: value for name, value in row.items() if name not in TIMES}
            for row in csv.DictReader(file)
        ]


def assert_same_run(left: Path, right: Path) -> None:
    for name in (run_folder.LAST, run_folder.BEST):
        states = [checkpoint(folder / name) for folder in (left, right)]
        for part in WEIGHTS:
            assert_same_states(states[0].get(part), states[1].get(part), f"{name} {part}")
    assert metrics(left) == metrics(right)
    summaries = [json.loads((folder / run_folder.SUMMARY).read_text()) for folder in (left, right)]
    for split in ("val", "test"):
        assert summaries[0][split] == summaries[1][split]
    assert (left / run_folder.FRAMES).read_bytes() == (right / run_folder.FRAMES).read_bytes()
    assert {path.name for path in left.iterdir()} == {path.name for path in right.iterdir()}


def test_a_run_killed_at_any_step_of_writing_ends_with_the_same_result(
    small_store: Path, tmp_path: Path, undisturbed: tuple[Path, int]
) -> None:
    folder_undisturbed, steps = undisturbed
    assert steps > 30
    # A file takes four steps, so every fifth step covers all kinds of steps and all files.
    for step in range(1, steps + 1, 5):
        folder = tmp_path / str(step)
        assert killed_at(step, train_on_one_thread, small_settings(small_store, folder)), step
        assert_metrics_not_ahead(folder)
        start_again(small_store, folder)
        assert_same_run(folder, folder_undisturbed)


def assert_metrics_not_ahead(folder: Path) -> None:
    """Check that every epoch of metrics.csv is in the state that the run resumes from."""
    if (folder / run_folder.METRICS).exists():
        assert len(metrics(folder)) <= len(checkpoint(folder / run_folder.LAST)["history"])


@pytest.mark.parametrize("step", [4, 9, 13, 18, 22, 27])
def test_a_run_killed_while_it_writes_and_trains_ends_with_the_same_result(
    small_store: Path, tmp_path: Path, undisturbed: tuple[Path, int], step: int
) -> None:
    folder = tmp_path / "run"
    settings = small_settings(small_store, folder)
    # With a short interval, the first epoch is written while the second trains.
    killed_at(step, train_on_one_thread, settings, interval=1e-3)
    assert_metrics_not_ahead(folder)
    start_again(small_store, folder)
    assert_same_run(folder, undisturbed[0])


def test_a_run_killed_several_times_ends_with_the_same_result(
    small_store: Path, tmp_path: Path, undisturbed: tuple[Path, int]
) -> None:
    folder = tmp_path / "run"
    settings = small_settings(small_store, folder)
    # In the last checkpoint of the first epoch, in that of the second, and in the summary.
    for step in (10, 6, 14):
        assert killed_at(step, train_on_one_thread, settings)
        settings = replace(settings, resume=True)
    train(settings)
    assert_same_run(folder, undisturbed[0])


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_a_run_without_settings_yet_is_not_said_to_be_resumable(
    tmp_path: Path, error: BaseException
) -> None:
    with pytest.raises(type(error)) as raised, explain_interruption(tmp_path):
        raise error
    assert raised.value is error


@pytest.mark.parametrize("step", range(1, 9))
def test_a_full_disk_keeps_the_previous_checkpoint(
    small_store: Path, tmp_path: Path, undisturbed: tuple[Path, int], step: int
) -> None:
    folder = tmp_path / "run"
    settings = small_settings(small_store, folder)
    with stopped_before(2), pytest.raises(KeyboardInterrupt):
        train(settings)
    before = (folder / run_folder.LAST).read_bytes()
    settings = replace(settings, resume=True)
    with (
        failing_disk(step, be_full) as disk,
        pytest.raises(RunError, match=f"disk is full.*echo-train --resume --run {folder}"),
    ):
        train(settings)
    assert disk.steps == step
    assert not list(folder.glob(".*.tmp"))
    last = folder / run_folder.LAST
    assert last.read_bytes() == before or len(checkpoint(last)["history"]) == 2
    train(settings)
    assert_same_run(folder, undisturbed[0])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_exits_with_130_and_the_run_is_resumed_at_its_step(
    small_store: Path, tmp_path: Path, number: signal.Signals
) -> None:
    folder = tmp_path / "run"
    options = {"store": small_store, "run": folder, "width": 2, "epochs": 500, "batch-size": 1}
    options |= {"device": "cpu", "schedule": "constant", "learning-rate": 0.01, "precision": "fp32"}
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    process = subprocess.Popen(
        [sys.executable, "-m", "echo_train", *words],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("epoch 2/"):
            break
    process.send_signal(number)
    rest = process.stderr.read()
    assert process.wait() == 130
    assert rest.strip().splitlines()[-1] == (
        f"interrupted: resume with: echo-train --resume --run {folder}"
    )
    state = checkpoint(folder / run_folder.LAST)
    done = len(state["history"])
    assert 2 <= done < 500
    # The optimiser has taken the steps of the complete epochs, and those of the unfinished one.
    unfinished = state["unfinished"]["losses"]["losses"] if state["unfinished"] else ()
    assert state["optimiser"]["state"][0]["step"] == 12 * done + len(unfinished)
    settings = tiny(small_store, folder, schedule="constant", batch_size=1, epochs=done + 1)
    train(replace(settings, resume=True))
    uninterrupted = train(replace(settings, run=tmp_path / "uninterrupted"))
    assert_same_run(folder, uninterrupted)


class Hostile:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("damage", ["cut", "empty", "code", "code-in-zip", "other", "shapes"])
def test_a_damaged_checkpoint_is_refused(small_store: Path, tmp_path: Path, damage: str) -> None:
    folder, executed = tmp_path / "run", tmp_path / "executed"
    with stopped_before(2), pytest.raises(KeyboardInterrupt):
        train(small_settings(small_store, folder))
    last = folder / run_folder.LAST
    state = checkpoint(last)
    if damage == "cut":
        last.write_bytes(last.read_bytes()[:-100])
    elif damage == "empty":
        last.write_bytes(b"")
    elif damage == "code":
        last.write_bytes(pickle.dumps({**state, "network": Hostile(executed)}, protocol=2))
    elif damage == "code-in-zip":
        torch.save({**state, "network": Hostile(executed)}, last)
    elif damage == "other":
        del state["optimiser"]
        torch.save(state, last)
    else:
        state["network"]["head.weight"] = torch.zeros(1, 99, 1, 1)
        torch.save(state, last)
    before = file_bytes(folder)
    with pytest.raises(RunError, match=r"last\.pt"):
        start_again(small_store, folder)
    assert not executed.exists()
    assert file_bytes(folder) == before
