"""One build of a store at a time; a dead process holds no lock."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from echo_common.errors import StoreLockedError


def lock_path(store: Path) -> Path:
    """Where a store's lock stands: beside the store, so that a new store can be locked too."""
    return store.with_name(store.name + ".lock")


@contextlib.contextmanager
def build_lock(store: Path) -> Iterator[None]:
    """Hold the right to build a store.

    The kernel gives the lock back when the process ends, however it ends; the
    file that is left says nothing by itself.

    Raises
    ------
    StoreLockedError
        If another process builds the store; the message says which.
    """
    # Opened for appending: the holder's name must not be wiped by whoever asks after it.
    with lock_path(store).open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise StoreLockedError(
                f"{store} is being built by {holder}; wait until it is done, then run again"
            ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)
