"""Training: the effect of each setting on the weights, and the errors that stop a run."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from matplotlib.image import imread
from torch import nn

from echo_common.cli.settings import replace
from echo_common.errors import SettingsError
from echo_train.reporting.plots import curves_png
from echo_train.runs import background_writer
from echo_train.runs.run_folder import EpochRow
from echo_train.runtime import device as devices
from echo_train.training.settings import TrainSettings
from echo_train.training.train import train
from support.training import checkpoint, losses_of, open_loader, stopped_before, tiny

CPU = torch.device("cpu")


def test_training_learns(small_store: Path, tmp_path: Path) -> None:
    losses = losses_of(train(tiny(small_store, tmp_path / "run", epochs=8)))
    assert losses[-1] < 0.8 * losses[0]


def test_patience_ends_a_run_without_improvement(small_store: Path, tmp_path: Path) -> None:
    # At a learning rate of 0 only the running statistics change; every Dice is 0 and the first
    # epoch stays the best.
    settings = tiny(small_store, tmp_path / "run", epochs=9, learning_rate=0.0, patience=3)
    folder = train(settings)
    state = checkpoint(folder / "last.pt")
    assert state["best"]["epoch"] == 1
    assert len(state["history"]) == 4


def test_the_cpu_does_not_compile() -> None:
    network = nn.Linear(1, 1)
    assert devices.compile_on_cuda(network, CPU, enabled=True) is network


def test_a_compiled_network_takes_the_same_steps(
    small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on CUDA, with a backend that needs no compiler; the last batch is smaller."""
    shapes = []

    def compile_on_cpu(function: Any, device: torch.device, enabled: bool) -> Any:
        faster = torch.compile(function, dynamic=False, backend="aot_eager")
        if isinstance(function, nn.Module):
            faster.register_forward_pre_hook(lambda _, images: shapes.append(images[0].shape[0]))
        return faster

    changes = {"batch_size": 5, "learning_rate": 1e-3, "ema": 0.5}
    plain = train(tiny(small_store, tmp_path / "plain", **changes))
    monkeypatch.setattr(devices, "compile_on_cuda", compile_on_cpu)
    fast = train(tiny(small_store, tmp_path / "fast", **changes))
    # The first batch is the attempt, before the run folder is opened.
    assert shapes == [5] + [5, 5] * 2
    assert losses_of(fast) == pytest.approx(losses_of(plain), rel=1e-4)
    assert checkpoint(fast / "last.pt")["network"].keys() == (
        checkpoint(plain / "last.pt")["network"].keys()
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "spatial-ce"}, "--loss spatial-ce is no loss for --target mask"),
        ({"target": "landmarks", "loss": "bce"}, "--loss bce is no loss for --target landmarks"),
        ({"ema": 1.0}, "--ema 1 would keep the initial weights"),
        ({"folds": 1, "fold": 1}, "at least two folds"),
        ({"folds": 3, "fold": 4}, "--fold 4 of --folds 3"),
        ({"fold": 1}, "--fold 1 of --folds 0"),
        ({"device": "abacus"}, "device 'abacus' is not available"),
    ],
)
def test_contradictory_settings_are_refused(
    small_store: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        train(tiny(small_store, tmp_path / "run", **changes))
    assert not (tmp_path / "run").exists()


def test_the_message_tells_how_to_install_tensorboard(
    small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(SettingsError, match=r"pip install 'echo-lv-segmentation\[tensorboard\]'"):
        train(tiny(small_store, tmp_path / "run", tensorboard=True))


def test_a_new_run_is_named_by_what_is_not_a_default(
    small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = replace(
        TrainSettings(),
        store=small_store,
        epochs=1,
        width=2,
        learning_rate=0.01,
        loss="dice",
        device="cpu",
    )
    expected = "mask-epochs-1-learning-rate-0.01-width-2-loss-dice"
    assert train(settings) == Path("runs", expected)
    assert train(settings) == Path("runs", f"{expected}-2")


@pytest.mark.parametrize("steps", [1, 7, 13])
def test_steps_take_the_place_of_epochs(small_store: Path, tmp_path: Path, steps: int) -> None:
    frames = open_loader(tiny(small_store))[1].frames
    each = -(-len(frames.indices("TRAIN")) // 4)
    folder = train(tiny(small_store, tmp_path / "run", steps=steps, epochs=99))
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == -(-steps // each)
    assert (
        checkpoint(folder / "last.pt")["optimiser"]["state"][0]["step"] == len(rows) * each >= steps
    )


def test_the_curves_are_drawn_while_a_run_goes_on(
    small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    histories: list[list[int]] = []

    def draw(history: Sequence[EpochRow]) -> bytes:
        histories.append([row.epoch for row in history])
        return curves_png(history)

    monkeypatch.setattr("echo_train.training.resume.curves_png", draw)
    folder = tmp_path / "run"
    with (
        mock.patch.object(background_writer, "INTERVAL", 0),
        stopped_before(4),
        pytest.raises(KeyboardInterrupt),
    ):
        train(tiny(small_store, folder, epochs=5))
    assert imread(folder / "curves.png").ndim == 3 and not (folder / "summary.json").exists()
    # One point is no curve.
    assert histories == [[1, 2], [1, 2, 3]]
    # Within the interval between two writes they are drawn once, at the end.
    for epochs in (1, 3):
        histories.clear()
        train(tiny(small_store, tmp_path / str(epochs), epochs=epochs))
        assert histories == [list(range(1, epochs + 1))]


def test_a_short_training_is_told_of(small_store: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    train(tiny(small_store, tmp_path / "run", epochs=1), lines.append, quiet=False)
    assert any("steps in all are few" in line and "--steps 500" in line for line in lines)
