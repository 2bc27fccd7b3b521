"""Runs that are stopped within an epoch: the resumed run equals an uninterrupted one."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import threading
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import torch

from echo_common import atomic
from echo_common.cli.settings import replace
from echo_common.errors import RunError
from echo_common.output_folder import RECORD_FOLDER
from echo_common.store.reader import EchoStore
from echo_train.runtime.distributed import Process
from echo_train.training.progress_bar import ProgressBar
from echo_train.training.resume import restore_state
from echo_train.training.settings import TrainSettings
from echo_train.training.train import train
from echo_train.training.trainer import Trainer
from support.training import (
    TIMES,
    assert_same_states,
    checkpoint,
    open_loader,
    resume,
    stopped_before,
    stopped_in,
    stopped_in_validation,
    tiny,
    without_times,
)

STEPS = 3
"""Of an epoch: batches of 5, 5 and 2 of the 12 training frames."""


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [
            {name: value for name, value in row.items() if name not in TIMES}
            for row in csv.DictReader(file)
        ]


def stop(trained: AbstractContextManager[None], settings: TrainSettings) -> dict[str, Any]:
    """Train until a signal ends the run; returns its state."""
    with trained, pytest.raises(KeyboardInterrupt, match="resume with: echo-train --resume"):
        train(settings)
    return checkpoint(settings.folder.run / "last.pt")


@pytest.mark.parametrize(
    "changes",
    [
        {"augment": "strong", "ema": 0.9, "schedule": "one-cycle", "loader": "resident"},
        {"target": "landmarks", "shape_prior": True, "loader": "stream"},
        {"precision": "bf16"},
    ],
    ids=["mask", "landmarks", "bfloat16"],
)
def test_a_run_stopped_within_epochs_is_bit_identical_to_an_uninterrupted_one(
    small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    changes = {**changes, "batch_size": 5, "epochs": 3}
    uninterrupted = train(tiny(small_store, tmp_path / "uninterrupted", **changes))
    settings = tiny(small_store, tmp_path / "run", **changes)
    # In the second step of the first epoch.
    state = stop(stopped_in(1), settings)
    assert state["history"] == [] and len(state["unfinished"]["losses"]["losses"]) == 2
    assert not (tmp_path / "run" / "metrics.csv").exists()
    settings = replace(settings, resume=True)
    # In its last step, by the signal of a scheduler: its validation follows.
    state = stop(stopped_in(STEPS - 1, signal.SIGTERM), settings)
    assert state["history"] == [] and len(state["unfinished"]["losses"]["losses"]) == STEPS
    state = stop(stopped_in_validation(1), settings)
    assert state["history"] == [] and len(state["unfinished"]["losses"]["losses"]) == STEPS
    # In the first step of the last epoch.
    state = stop(stopped_in(2 * STEPS), settings)
    assert len(state["history"]) == 2 and len(state["unfinished"]["losses"]["losses"]) == 1
    train(settings)
    for name in ("last.pt", "best.pt"):
        assert_same_states(
            without_times(checkpoint(uninterrupted / name)),
            without_times(checkpoint(tmp_path / "run" / name)),
        )
    assert rows_of(uninterrupted) == rows_of(tmp_path / "run")


def test_a_state_of_an_earlier_version_is_resumed(small_store: Path, tmp_path: Path) -> None:
    """It has neither steps of an unfinished epoch nor learning rates of epochs."""
    uninterrupted = train(tiny(small_store, tmp_path / "uninterrupted"))
    settings = tiny(small_store, tmp_path / "run")
    state = stop(stopped_before(2), settings)
    del state["unfinished"]
    for row in (*state["history"], state["best"]):
        del row["learning_rate"]
    shutil.rmtree(tmp_path / "run" / RECORD_FOLDER)
    torch.save(state, tmp_path / "run" / "last.pt")
    train(replace(settings, resume=True))
    states = [checkpoint(folder / "last.pt") for folder in (uninterrupted, tmp_path / "run")]
    assert_same_states(*([state[part] for part in ("network", "optimiser")] for state in states))
    rates = [row["learning_rate"] for row in rows_of(tmp_path / "run")]
    assert rates == ["nan", rows_of(uninterrupted)[1]["learning_rate"]]


def begun(settings: TrainSettings) -> Trainer:
    return Trainer(settings, *open_loader(settings), torch.device("cpu"))


def test_several_processes_do_not_resume_within_an_epoch(small_store: Path, tmp_path: Path) -> None:
    """Each would count the steps of the one process as its own."""
    settings = tiny(small_store, tmp_path, loader="resident", method="chords", loss="bce")
    stop(stopped_in(1), settings)
    trainer = begun(settings)
    trainer.process = Process(world_size=2)
    with pytest.raises(RunError, match=r"last\.pt is the state of a step.*without --processes"):
        restore_state(trainer, tmp_path, EchoStore(small_store))


def test_training_draws_nothing_from_the_generator_of_torch(small_store: Path) -> None:
    """So the state of a run has none; Ruff refuses that of NumPy."""
    trainer = begun(tiny(small_store, augment="strong", target="landmarks"))
    before = torch.get_rng_state()
    with ProgressBar(0, 0, 1, quiet=True) as progress:
        trainer.train_epoch(1, progress)
    assert torch.equal(before, torch.get_rng_state())


def test_the_seconds_of_an_epoch_are_those_of_its_parts(small_store: Path) -> None:
    trainer = begun(tiny(small_store))
    trainer.begin_epoch(1).seconds = 1000.0
    with ProgressBar(0, 0, 1, quiet=True) as progress:
        row = trainer.train_epoch(1, progress)
    assert row.seconds > 1000
    assert 0 < row.images_per_second < 12 / 1000


def test_a_second_ctrl_c_while_the_state_is_written_keeps_the_last_one(
    small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk does not answer any more, and the second Ctrl-C does not wait for it."""
    folder, answers, writers = tmp_path / "run", threading.Event(), list[threading.Thread]()
    settings = tiny(small_store, folder)
    stop(stopped_in(1), settings)
    before = (folder / "last.pt").read_bytes()
    fsync = atomic.fsync_path

    def wait(path: Path) -> None:
        if path.name == "last.pt" and threading.current_thread().name == "checkpoints":
            writers.append(threading.current_thread())
            os.kill(os.getpid(), signal.SIGINT)
            answers.wait()
        fsync(path)

    with monkeypatch.context() as patch:
        patch.setattr(atomic, "fsync_path", wait)
        stop(stopped_in(2), replace(settings, resume=True))
        assert (folder / "last.pt").read_bytes() == before
        answers.set()
        writers[0].join()
    assert (folder / "last.pt").read_bytes() == before
    resume(small_store, folder)
    uninterrupted = train(tiny(small_store, tmp_path / "uninterrupted"))
    assert_same_states(
        without_times(checkpoint(uninterrupted / "last.pt")),
        without_times(checkpoint(folder / "last.pt")),
    )
