"""Runs small enough for a test: a U-Net of width 2, a few epochs, the CPU."""

from __future__ import annotations

import contextlib
import csv
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch import Tensor

from echo_common.cli.settings import replace
from echo_common.store.reader import EchoStore
from echo_train.data.frame_set import Choice, choose
from echo_train.data.loader import Loader, make_loader
from echo_train.experiments.settings import SweepSettings
from echo_train.runs import background_writer
from echo_train.training.progress_bar import ProgressBar
from echo_train.training.settings import TrainSettings
from echo_train.training.train import train
from echo_train.training.trainer import Trainer

_TINY: dict[str, Any] = {
    "width": 2,
    "epochs": 2,
    "batch_size": 4,
    "learning_rate": 0.01,
    "device": "cpu",
    # On every CPU the same, with bfloat16 in hardware or without.
    "precision": "fp32",
}
TINY = replace(TrainSettings(), **_TINY)


def tiny(store: Path, run: Path | None = None, **changes: Any) -> TrainSettings:
    """Settings of a run that takes about a second on the small store."""
    return replace(TINY, store=store, run=run, **changes)


def small_sweep(store: Path, run: Path | None, **changes: Any) -> SweepSettings:
    """Settings of several runs that are each as those of `tiny`."""
    return replace(SweepSettings(), store=store, run=run, **{**_TINY, **changes})


def read_json(path: Path) -> dict[str, Any]:
    """Read a file such as summary.json."""
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def open_loader(settings: TrainSettings) -> tuple[Choice, Loader]:
    """The training data of a run with these settings, on the CPU."""
    store = EchoStore(settings.selection.store)
    choice = choose(store, settings.selection)
    device, seed = torch.device("cpu"), settings.training.seed
    return choice, make_loader(store, choice, settings.data, device, seed)


@contextlib.contextmanager
def stopped_before(stop: int) -> Iterator[None]:
    """Within the block, interrupt training with Ctrl-C at the start of an epoch."""
    train_epoch = Trainer.train_epoch

    def interrupt(self: Trainer, epoch: int, progress: ProgressBar) -> Any:
        if epoch == stop:
            raise KeyboardInterrupt
        return train_epoch(self, epoch, progress)

    with mock.patch.object(Trainer, "train_epoch", interrupt):
        yield


@contextlib.contextmanager
def stopped_in(step: int, number: signal.Signals = signal.SIGINT) -> Iterator[None]:
    """Within the block, send a signal in the middle of a step of a run, counted from 0."""
    take_step = Trainer._step

    def interrupt(self: Trainer, loss: Tensor, at: int, steps_per_epoch: int) -> None:
        if at == step:
            signal.raise_signal(number)
        take_step(self, loss, at, steps_per_epoch)

    with mock.patch.object(Trainer, "_step", interrupt):
        yield


@contextlib.contextmanager
def stopped_in_validation(epoch: int) -> Iterator[None]:
    """Within the block, send Ctrl-C in the validation of an epoch."""
    validate = Trainer.validate

    def interrupt(self: Trainer, order: np.ndarray) -> Any:
        if len(self.history) == epoch - 1:
            signal.raise_signal(signal.SIGINT)
        return validate(self, order)

    with mock.patch.object(Trainer, "validate", interrupt):
        yield


def train_on_one_thread(settings: TrainSettings, interval: float = 0) -> Path:
    """Train in a new process with as many threads as in the process of the tests.

    With an interval of 0, the state is written after each epoch, and not while the next one trains.
    """
    torch.set_num_threads(1)
    with mock.patch.object(background_writer, "INTERVAL", interval):
        return train(settings)


def train_in_parts(settings: TrainSettings, *stops: int) -> Path:
    """Train, interrupt the run at the start of each given epoch, and resume it."""
    for stop in stops:
        with stopped_before(stop), pytest.raises(KeyboardInterrupt):
            train(settings)
        settings = replace(settings, resume=True)
    return train(settings)


def checkpoint(path: Path) -> dict[str, Any]:
    """Load a checkpoint without executing anything in it."""
    return torch.load(path, map_location="cpu", weights_only=True)


def assert_same_states(left: Any, right: Any, where: str = "state") -> None:
    """Check that two nested states have the same keys and bitwise identical values."""
    assert type(left) is type(right), where
    if isinstance(left, torch.Tensor):
        assert torch.equal(left, right), where
    elif isinstance(left, dict):
        assert left.keys() == right.keys(), where
        for key in left:
            assert_same_states(left[key], right[key], f"{where}.{key}")
    elif isinstance(left, list | tuple):
        assert len(left) == len(right), where
        for index, items in enumerate(zip(left, right, strict=True)):
            assert_same_states(*items, f"{where}[{index}]")
    else:
        assert left == right, where


def make_trainer(settings: TrainSettings) -> Trainer:
    return Trainer(settings, *open_loader(settings), torch.device("cpu"))


def losses_of(folder: Path) -> list[float]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [float(row["train_loss"]) for row in csv.DictReader(file)]


def without_times(state: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint without measured times."""

    def row(line: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in line.items() if name not in TIMES}

    return {
        **state,
        "history": [row(line) for line in state["history"]],
        "best": row(state["best"]),
    }


TIMES = ("seconds", "images_per_second")


def resume(store: Path, folder: Path, **changes: Any) -> Path:
    return train(tiny(store, folder, resume=True, **changes))
