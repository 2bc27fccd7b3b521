"""Ctrl-C and SIGTERM wait where they must, and arrive once where they are repeated."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from echo_train.runtime.signals import (
    ENDING,
    ended_like_ctrl_c,
    interrupt_once,
    uninterrupted,
)


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Restore the handlers of this process."""
    before = {number: signal.getsignal(number) for number in ENDING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_waits_for_the_end_of_the_block(number: signal.Signals) -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), ended_like_ctrl_c():
        with uninterrupted():
            done.append("begun")
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)
            done.append("ended")
        done.append("after it")
    assert done == ["begun", "ended"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_error_of_the_block_is_raised_and_the_handlers_are_restored() -> None:
    before = [signal.getsignal(number) for number in ENDING]
    with pytest.raises(ValueError, match="wrong"), uninterrupted():
        raise ValueError("wrong")
    assert [signal.getsignal(number) for number in ENDING] == before


def test_an_ignored_ctrl_c_stays_ignored_and_sigterm_ends() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with uninterrupted():
        os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), ended_like_ctrl_c():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("first", ENDING)
def test_a_repeated_signal_does_not_interrupt_the_saving(first: signal.Signals) -> None:
    saved = False
    signal.signal(signal.SIGINT, interrupt_once)
    with pytest.raises(KeyboardInterrupt), ended_like_ctrl_c():
        try:
            with uninterrupted():
                os.kill(os.getpid(), first)
        finally:
            for number in ENDING:
                os.kill(os.getpid(), number)
            saved = True
    assert saved


def test_a_thread_runs_the_block_too() -> None:
    done = []

    def work() -> None:
        with ended_like_ctrl_c(), uninterrupted():
            done.append(1)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [1]
