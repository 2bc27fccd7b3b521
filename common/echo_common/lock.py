"""Locks: one process at a time in a store, a run or an output folder; none outlives its process."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import stat
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from echo_common.errors import EchoError, OutputError, StoreLockedError

_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})
"""Errors of file systems without locks, such as NFS, Lustre and SMB with some mount options."""

_HOLDER = re.compile(r"process \d+( (o(n( (\S+\n?)?)?)?)?)?")
"""Content of a lock file; cut short if the process was killed while writing it."""


@contextlib.contextmanager
def exclusive(path: Path, locked: Callable[[str], EchoError]) -> Iterator[None]:
    """Lock a file while the block runs.

    The operating system releases the lock when the process ends, even if it is
    killed; the file remains without meaning. On a file system without locks, a
    second file exists next to it while the lock is held; the second file of a
    dead process of the same machine is replaced.

    Parameters
    ----------
    path : Path
        The lock file; its folder must exist.
    locked : callable
        Returns the error to raise if another process holds the lock, given
        the name of that process.

    Raises
    ------
    OutputError
        If there is a file that this module did not write.
    """
    _check_own(path)
    lock = _acquire(path, locked)
    try:
        # Only with the lock, so that a refused process does not erase the holder's name.
        path.write_text(f"process {os.getpid()} on {socket.gethostname()}\n", encoding="utf-8")
        yield
    finally:
        with contextlib.suppress(OSError):
            os.truncate(path, 0)
        lock.release()


def build_lock(store: Path) -> contextlib.AbstractContextManager[None]:
    """Lock a store for building.

    Raises
    ------
    StoreLockedError
        If another process builds the store; the message names the process.
    """
    return exclusive(
        lock_path(store),
        lambda holder: StoreLockedError(
            f"{store} is being built by {holder}; wait until it has finished, then run the same "
            "command again"
        ),
    )


def lock_path(store: Path) -> Path:
    """Path of a store's lock: next to the store, so that a new store can be locked too."""
    return store.with_name(store.name + ".lock")


def _acquire(path: Path, locked: Callable[[str], EchoError]) -> BaseFileLock:
    marker = path.with_name(path.name + ".soft")
    last: OSError | None = None
    for lock in (FileLock(path, timeout=0), SoftFileLock(marker, timeout=0)):
        try:
            with warnings.catch_warnings():
                # It says that it changes to a file of its own; so does this function.
                warnings.simplefilter("ignore", UserWarning)
                lock.acquire()
            return lock
        except Timeout as error:
            raise locked(_holder(path)) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            last = error
    assert last is not None
    raise last


def _holder(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip() or "another process"
    except (OSError, ValueError):
        return "another process"


def _check_own(path: Path) -> None:
    try:
        content = None
        if stat.S_ISREG(path.lstat().st_mode):
            with path.open("rb") as file:
                content = file.read(1024).decode(errors="replace")
    except FileNotFoundError:
        return
    if content is None or not ("process ".startswith(content) or _HOLDER.fullmatch(content)):
        raise OutputError(
            f"{path} is there and is not a lock of this software; move it away, since the "
            "command needs this name"
        )
