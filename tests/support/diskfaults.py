"""A disk that fails at the n-th step of writing files: by a kill of the process, or by being full.

The steps are those of an atomic write: writing (of which half is done), the
fsync of the file, the rename, and the fsync of the folder.
"""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO
from unittest import mock


def kill() -> None:
    """End this process as a power cut does."""
    os.kill(os.getpid(), signal.SIGKILL)


def be_full() -> None:
    """Refuse as a full disk does."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Disk:
    """Counts the steps of writing, and does harm at one of them."""

    def __init__(self, at: int, harm: Callable[[], None]) -> None:
        self.steps = 0
        self._at = at
        self._harm = harm

    def step(self, before: Callable[[], Any] = lambda: None) -> None:
        """Count a step; `before` is what is still done of the one that fails."""
        self.steps += 1
        if self.steps == self._at:
            before()
            self._harm()


class HalfWriter:
    """A file of which half of what it is given arrives, where the disk fails."""

    def __init__(self, file: BinaryIO, disk: Disk) -> None:
        self._file = file
        self._disk = disk

    def __enter__(self) -> HalfWriter:
        return self

    def __exit__(self, *error: Any) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, content: bytes) -> int:
        def half() -> None:
            self._file.write(content[: len(content) // 2])
            self._file.flush()

        self._disk.step(half)
        return self._file.write(content)


@contextlib.contextmanager
def failing_disk(at: int, harm: Callable[[], None]) -> Iterator[Disk]:
    """Within the block, do harm at the `at`-th step of writing, from 1; never where `at` is 0."""
    disk = Disk(at, harm)

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            disk.step()
            return real(*arguments, **named)

        return call

    def fdopen(handle: int, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        file = real_fdopen(handle, mode, *arguments, **named)
        return HalfWriter(file, disk) if mode == "wb" else file

    real_fdopen = os.fdopen
    with (
        mock.patch.object(os, "fdopen", fdopen),
        mock.patch.object(os, "fsync", counted(os.fsync)),
        mock.patch.object(os, "replace", counted(os.replace)),
    ):
        yield disk


def killed_at(at: int, work: Callable[..., Any], *arguments: Any, preload: str) -> bool:
    """Do some work in a process of its own, which is killed at a step of its writing.

    Parameters
    ----------
    at : int
    work : callable
        Importable by name.
    preload : str
        The module that a server imports once; each process is forked off it
        before it has touched a store, which no fork survives.

    Returns
    -------
    killed : bool
        False where the work was done before the step was reached.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([preload])
    process = context.Process(target=_work_until, args=(at, work, arguments))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    return process.exitcode != 0


def _work_until(at: int, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    with failing_disk(at, kill):
        work(*arguments)
