"""The progress of a run: a bar on a terminal, lines in a log."""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from echo_train.runs.run_folder import EpochRow
from echo_train.training import unfinished_epoch
from echo_train.training.progress_bar import ProgressBar
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
        stderr = Screen(terminal)
        monkeypatch.setattr("sys.stderr", stderr)
        return stderr

    return make


def row(epoch: int) -> EpochRow:
    metrics: dict[str, float] = {field.name: 0.875 for field in dataclasses.fields(EpochRow)}
    metrics |= {"train_loss": 0.25, "train_dice": 0.5, "val_loss": 0.375, "val_dice": 0.625}
    return EpochRow(**{**metrics, "epoch": epoch, "images_per_second": 50.0})  # type: ignore[arg-type]


def test_a_terminal_shows_loss_dice_rate_and_remaining_time(
    screen: Callable[[bool], Screen],
) -> None:
    shown = screen(True)
    with ProgressBar(200, 0, 2) as progress:
        progress.advance(60, 0.4321)
        progress.show_epoch(row(1))
        progress.advance(60)
        progress._bar.refresh()
        last = shown.getvalue().split("\r")[-1]
    assert "epoch 1/2" in last and "120/200" in last
    assert "loss=0.2500" in last and "Dice=0.6250" in last
    assert re.search(r"\[\d\d:\d\d<\d\d:\d\d, .*img/s", last)


def test_a_line_is_written_in_one_piece(screen: Callable[[bool], Screen]) -> None:
    """Nothing of another process of the run comes between a line and its end."""
    shown, pieces = screen(False), list[str]()
    shown.write = pieces.append  # type: ignore[assignment,method-assign]
    with ProgressBar(200, 0, 2) as progress:
        progress.show_epoch(row(1))
    (line,) = filter(None, pieces)
    assert line.startswith("epoch 1/2: ") and line.endswith("images/s\n")


def test_a_log_has_one_line_per_epoch_and_no_bar(screen: Callable[[bool], Screen]) -> None:
    shown = screen(False)
    with ProgressBar(200, 0, 2) as progress:
        progress.advance(100, 0.4321)
        progress.show_epoch(row(1))
    assert shown.getvalue() == (
        "epoch 1/2: loss 0.2500, Dice 0.5000; validation loss 0.3750, Dice 0.6250; 50 images/s\n"
    )


def test_a_quiet_run_prints_nothing(screen: Callable[[bool], Screen]) -> None:
    shown = screen(True)
    with ProgressBar(200, 0, 2, quiet=True) as progress:
        progress.advance(100, 0.1)
        progress.show_epoch(row(1))
    assert shown.getvalue() == ""


def test_the_loss_of_a_long_epoch_is_shown_before_it_ends(
    small_store: Path,
    tmp_path: Path,
    screen: Callable[[bool], Screen],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unfinished_epoch, "CHECK_EVERY", 2)
    losses: list[float | None] = []
    real = ProgressBar.advance

    def advance(self: ProgressBar, images: int, loss: float | None = None) -> None:
        losses.append(loss)
        real(self, images, loss)

    monkeypatch.setattr(ProgressBar, "advance", advance)
    with stopped_before(2), pytest.raises(KeyboardInterrupt):
        train(tiny(small_store, tmp_path / "run", batch_size=2))
    assert [loss is None for loss in losses] == [True, False] * 3


def test_a_log_has_a_line_every_ten_seconds(screen: Callable[[bool], Screen]) -> None:
    shown = screen(False)
    times = iter([0.0, 4.0, 10.0, 10.0, 15.0, 21.0, 21.0, 32.0, 40.0, 50.0, 50.0])
    with ProgressBar(2000, 0, 2, clock=lambda: next(times)) as progress:
        progress.advance(100)
        progress.advance(100, 0.4321)
        progress.advance(100)
        progress.advance(120)
        progress.show_epoch(row(1))
        progress.advance(480)
        progress.advance(100)
    lines = shown.getvalue().splitlines()
    # 200 images in 10 s; then 220 in 11 s; then, without the validation before it, 580 in 18 s.
    assert lines[0] == "epoch 1/2, 20 %: loss 0.4321, 20 images/s, 0:01:30 left"
    assert lines[1] == "epoch 1/2, 42 %: loss 0.4321, 20 images/s, 0:01:19 left"
    assert lines[2].startswith("epoch 1/2: loss 0.2500")
    assert lines[3] == "epoch 1/2, 100 %: loss 0.2500, 32 images/s, 0:00:31 left"
    assert len(lines) == 4
