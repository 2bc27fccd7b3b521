"""The writer of a run's state never stalls the trainer, and keeps the order of the files."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from echo_train.runs import background_writer
from echo_train.runs.background_writer import BackgroundWriter
from echo_train.runs.run_folder import BEST, CURVES, LAST, METRICS

MINUTES = 60.0


class Output:
    """Records what is written; a write waits for `opened`, or raises `error`."""

    def __init__(self) -> None:
        self.written: list[tuple[str, bytes]] = []
        self.opened = threading.Event()
        self.begun = threading.Event()
        self.error: Exception | None = None

    def write_bytes(self, name: str, content: bytes) -> None:
        self.begun.set()
        assert self.opened.wait(MINUTES)
        if self.error is not None:
            raise self.error
        self.written.append((name, content))


def state(epoch: int, best: bool = False) -> dict[str, Any]:
    """The files of an epoch, in another order than they are written in."""
    files = {METRICS: f"metrics {epoch}".encode, LAST: f"last {epoch}".encode}
    return {**files, BEST: f"best {epoch}".encode} if best else files


def written(epoch: int, best: int | None = None) -> list[tuple[str, bytes]]:
    first = [] if best is None else [(BEST, f"best {best}".encode())]
    return [*first, (LAST, f"last {epoch}".encode()), (METRICS, f"metrics {epoch}".encode())]


def test_a_write_that_blocks_does_not_stall_the_trainer() -> None:
    output = Output()
    with BackgroundWriter(output) as writer:  # type: ignore[arg-type]
        writer.offer(state(1, best=True))
        assert output.begun.wait(MINUTES)
        # The disk does not answer, and three more epochs end.
        for epoch in (2, 3, 4):
            writer.offer(state(epoch, best=epoch == 3))
        assert output.written == []
        output.opened.set()
    assert output.written == written(1, best=1) + written(4, best=3)


def test_only_the_first_and_the_last_state_are_written_within_the_interval() -> None:
    output = Output()
    output.opened.set()
    with BackgroundWriter(output) as writer:  # type: ignore[arg-type]
        writer.offer(state(1))
        assert output.begun.wait(MINUTES)
        for epoch in range(2, 100):
            writer.offer(state(epoch))
    assert output.written == written(1) + written(99)


def test_the_state_is_written_when_the_interval_has_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_writer, "INTERVAL", 0.05)
    output, second = Output(), threading.Event()
    output.opened.set()
    with BackgroundWriter(output) as writer:  # type: ignore[arg-type]
        writer.offer({LAST: b"last 1".upper})

        def content() -> bytes:
            second.set()
            return b"last 2"

        writer.offer({LAST: content})
        # Without another offer, and before the end.
        assert second.wait(MINUTES)


def test_the_last_state_is_written_after_ctrl_c() -> None:
    output = Output()
    output.opened.set()
    with pytest.raises(KeyboardInterrupt), BackgroundWriter(output) as writer:  # type: ignore[arg-type]
        writer.offer(state(1))
        assert output.begun.wait(MINUTES)
        writer.offer({**state(2, best=True), CURVES: b"".upper})
        raise KeyboardInterrupt
    # Without the picture.
    assert output.written[-3:] == written(2, best=2)


def test_an_error_is_raised_at_the_next_offer() -> None:
    output = Output()
    output.error = OSError(28, "No space left on device")
    output.opened.set()
    with pytest.raises(OSError, match="No space left"), BackgroundWriter(output) as writer:  # type: ignore[arg-type]
        writer.offer(state(1))
        writer._thread.join(MINUTES)
        writer.offer(state(2))
        raise AssertionError("the offer was accepted")
    assert output.written == []


def test_an_error_is_raised_at_the_end() -> None:
    output = Output()
    output.error = OSError(28, "No space left on device")
    with pytest.raises(OSError, match="No space left"), BackgroundWriter(output) as writer:  # type: ignore[arg-type]
        writer.offer(state(1))
        output.opened.set()


def test_without_an_interval_an_offer_is_written_before_it_returns(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(background_writer, "INTERVAL", 0)
    output = Output()
    output.opened.set()
    with BackgroundWriter(output) as writer:  # type: ignore[arg-type]
        for epoch in (1, 2):
            writer.offer(state(epoch, best=True))
            assert output.written[-3:] == written(epoch, best=epoch)
        output.error = OSError(28, "No space left on device")
        with pytest.raises(OSError, match="No space left"):
            writer.offer(state(3))
