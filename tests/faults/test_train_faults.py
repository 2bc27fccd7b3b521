"""Nothing of a run is lost: it is killed, the disk fills up, a checkpoint is not what it was."""

from __future__ import annotations

import csv
import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from echo_common.cli.settings import replace
from echo_common.errors import RunError
from echo_train.runs import run_folder
from echo_train.training.settings import TrainSettings
from echo_train.training.train import train
from support.diskfaults import be_full, failing_disk, killed_at
from support.training import assert_same_states, checkpoint, stopped_before, tiny

TIMES = ("seconds", "images_per_second")
LEARNT = ("network", "average", "optimiser")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def whole(small_store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A run that nothing disturbed, and how many steps of writing it took."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    with failing_disk(0, be_full) as disk:
        train(small(small_store, folder))
    return folder, disk.steps


def small(store: Path, folder: Path) -> TrainSettings:
    return tiny(store, folder, ema=0.5)


def go_on(store: Path, folder: Path) -> Path:
    """What a person does after a run has died."""
    begun = (folder / run_folder.CONFIG).exists()
    return train(replace(small(store, folder), resume=begun))


def figures(folder: Path) -> list[dict[str, str]]:
    with (folder / run_folder.METRICS).open(newline="") as file:
        return [
            {name: value for name, value in row.items() if name not in TIMES}
            for row in csv.DictReader(file)
        ]


def assert_same_run(left: Path, right: Path) -> None:
    for name in (run_folder.LAST, run_folder.BEST):
        states = [checkpoint(folder / name) for folder in (left, right)]
        for part in LEARNT:
            assert_same_states(states[0].get(part), states[1].get(part), f"{name} {part}")
    assert figures(left) == figures(right)
    said = [json.loads((folder / run_folder.SUMMARY).read_text()) for folder in (left, right)]
    for split in ("val", "test"):
        assert said[0][split] == said[1][split]
    assert (left / run_folder.FRAMES).read_bytes() == (right / run_folder.FRAMES).read_bytes()
    assert sorted(one.name for one in left.iterdir()) == sorted(one.name for one in right.iterdir())


def test_a_run_killed_at_any_step_of_its_writing_comes_to_the_same_end(
    small_store: Path, tmp_path: Path, whole: tuple[Path, int]
) -> None:
    undisturbed, steps = whole
    assert steps > 30
    # Four steps make a file: five at a time meets each kind of step, and each of the files.
    for at in range(1, steps + 1, 5):
        folder = tmp_path / str(at)
        assert killed_at(at, train, small(small_store, folder)), at
        go_on(small_store, folder)
        assert_same_run(folder, undisturbed)


def test_a_run_killed_again_and_again_comes_to_the_same_end(
    small_store: Path, tmp_path: Path, whole: tuple[Path, int]
) -> None:
    folder = tmp_path / "run"
    settings = small(small_store, folder)
    # In the first epoch's last checkpoint, in the second's, and in the summary.
    for at in (10, 6, 14):
        assert killed_at(at, train, settings)
        settings = replace(settings, resume=True)
    train(settings)
    assert_same_run(folder, whole[0])


@pytest.mark.parametrize("at", range(1, 9))
def test_a_full_disk_keeps_the_checkpoint_before(
    small_store: Path, tmp_path: Path, whole: tuple[Path, int], at: int
) -> None:
    folder = tmp_path / "run"
    settings = small(small_store, folder)
    with stopped_before(2), pytest.raises(KeyboardInterrupt):
        train(settings)
    before = (folder / run_folder.LAST).read_bytes()
    settings = replace(settings, resume=True)
    with (
        failing_disk(at, be_full) as disk,
        pytest.raises(RunError, match=f"disk is full.*echo-train --resume --run {folder}"),
    ):
        train(settings)
    assert disk.steps == at
    assert not list(folder.glob(".*.tmp"))
    last = folder / run_folder.LAST
    assert last.read_bytes() == before or len(checkpoint(last)["history"]) == 2
    train(settings)
    assert_same_run(folder, whole[0])


def test_ctrl_c_ends_with_130_and_the_run_goes_on(small_store: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    options = {"store": small_store, "run": folder, "width": 2, "epochs": 500, "batch-size": 4}
    options |= {"device": "cpu", "schedule": "constant", "learning-rate": 0.01}
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
        if line.startswith("epoch 3/"):
            break
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait() == 130
    assert rest.strip().splitlines()[-1] == (
        f"interrupted: go on after the last complete epoch with: echo-train --resume --run {folder}"
    )
    done = len(checkpoint(folder / run_folder.LAST)["history"])
    assert 2 <= done < 500
    settings = tiny(small_store, folder, schedule="constant", resume=True)
    train(replace(settings, epochs=done + 1))
    assert [int(row["epoch"]) for row in figures(folder)] == list(range(1, done + 2))


class Hostile:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, tuple[Path]]:
        return Path.touch, (self.trace,)


@pytest.mark.parametrize("damage", ["cut", "empty", "code", "code-in-zip", "other", "shapes"])
def test_a_checkpoint_that_is_not_what_it_was_is_refused(
    small_store: Path, tmp_path: Path, damage: str
) -> None:
    folder, trace = tmp_path / "run", tmp_path / "code-was-run"
    with stopped_before(2), pytest.raises(KeyboardInterrupt):
        train(small(small_store, folder))
    last = folder / run_folder.LAST
    state = checkpoint(last)
    if damage == "cut":
        last.write_bytes(last.read_bytes()[:-100])
    elif damage == "empty":
        last.write_bytes(b"")
    elif damage == "code":
        last.write_bytes(pickle.dumps({**state, "network": Hostile(trace)}, protocol=2))
    elif damage == "code-in-zip":
        torch.save({**state, "network": Hostile(trace)}, last)
    elif damage == "other":
        del state["optimiser"]
        torch.save(state, last)
    else:
        state["network"]["head.weight"] = torch.zeros(1, 99, 1, 1)
        torch.save(state, last)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(RunError, match=r"last\.pt"):
        go_on(small_store, folder)
    assert not trace.exists()
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
