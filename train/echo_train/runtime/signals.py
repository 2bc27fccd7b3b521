"""Ctrl-C and SIGTERM, which end a run with its state.

Training and the workers of several runs use them.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def ended_like_ctrl_c() -> Iterator[None]:
    """Let SIGTERM, which schedulers send, end the block as Ctrl-C does, so that it is saved."""
    if not _receives_signals():
        yield
        return
    # A shell's background jobs ignore Ctrl-C.
    like = signal.getsignal(signal.SIGINT)
    before = signal.signal(signal.SIGTERM, like if callable(like) else signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait until the block has ended.

    A mask of the system's would not do: a thread without it takes the signal, and Python's handler
    then runs in the main thread at once.
    """
    if not _receives_signals():
        yield
        return
    arrived: list[int] = []

    def wait(number: int, frame: FrameType | None) -> None:
        arrived.append(number)

    before = {ending: signal.getsignal(ending) for ending in ENDING}
    try:
        for ending in ENDING:
            signal.signal(ending, wait)
        yield
    finally:
        for ending, handler in before.items():
            signal.signal(ending, handler or signal.SIG_DFL)
    for number in arrived:
        signal.raise_signal(number)


def interrupt_once(number: int, frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt, as a handler of a process whose parent repeats the signal."""
    for ending in ENDING:
        signal.signal(ending, signal.SIG_IGN)
    raise KeyboardInterrupt


def _receives_signals() -> bool:
    return threading.current_thread() is threading.main_thread()
