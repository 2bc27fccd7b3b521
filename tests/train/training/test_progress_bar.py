"""What a person sees of a run: a bar on a terminal, lines in a log."""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from echo_train.runs.run_folder import EpochRow
from echo_train.training import loss_log
from echo_train.training.progress_bar import Live
from echo_train.training.train import train
from support.training import stopped_before, tiny


class Screen(io.StringIO):
    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], Screen]:
    def make(terminal: bool) -> Screen:
        one = Screen(terminal)
        monkeypatch.setattr("sys.stderr", one)
        return one

    return make


def row(epoch: int) -> EpochRow:
    figures: dict[str, float] = {field.name: 0.875 for field in dataclasses.fields(EpochRow)}
    figures |= {"train_loss": 0.25, "train_dice": 0.5, "val_loss": 0.375, "val_dice": 0.625}
    return EpochRow(**{**figures, "epoch": epoch, "images_per_second": 50.0})  # type: ignore[arg-type]


def test_a_terminal_has_loss_dice_rate_and_time_left(screen: Callable[[bool], Screen]) -> None:
    shown = screen(True)
    with Live(200, 0, 2) as live:
        live.images(60, 0.4321)
        live.epoch(row(1))
        live.images(60)
        live._bar.refresh()
        last = shown.getvalue().split("\r")[-1]
    assert "epoch 1/2" in last and "120/200" in last
    assert "loss=0.2500" in last and "Dice=0.6250" in last
    assert re.search(r"\[\d\d:\d\d<\d\d:\d\d, .*img/s", last)


def test_a_log_has_a_line_an_epoch_and_no_bar(screen: Callable[[bool], Screen]) -> None:
    shown = screen(False)
    with Live(200, 0, 2) as live:
        live.images(100, 0.4321)
        live.epoch(row(1))
    assert shown.getvalue() == (
        "epoch 1/2: loss 0.2500, Dice 0.5000; validation loss 0.3750, Dice 0.6250; 50 images/s\n"
    )


def test_a_quiet_run_says_nothing(screen: Callable[[bool], Screen]) -> None:
    shown = screen(True)
    with Live(200, 0, 2, quiet=True) as live:
        live.images(100, 0.1)
        live.epoch(row(1))
    assert shown.getvalue() == ""


def test_the_loss_of_a_long_epoch_is_shown_on_the_way(
    small_store: Path,
    tmp_path: Path,
    screen: Callable[[bool], Screen],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loss_log, "LOOK_EVERY", 2)
    told: list[float | None] = []
    real = Live.images

    def images(self: Live, count: int, loss: float | None = None) -> None:
        told.append(loss)
        real(self, count, loss)

    monkeypatch.setattr(Live, "images", images)
    with stopped_before(2), pytest.raises(KeyboardInterrupt):
        train(tiny(small_store, tmp_path / "run", batch_size=2))
    assert [loss is None for loss in told] == [True, False] * 3
