"""A disk that fails at the n-th step of writing files: by a kill of the process, or by being full.

The steps are those of writing to a file (of which half is done), be it by
ourselves, by zarr or by HDF5, of an fsync, and of a rename.
"""

from __future__ import annotations

import contextlib
import errno
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

STEPS = ("fsync", "replace", "rename")
"""Functions of `os` that are steps of writing, beside what is written to a file."""

REMOVALS = ("unlink", "rmdir")
"""Functions of `os` by which files and folders are taken away."""

PRELOAD = (
    "echo_prep.build.build",
    "echo_prep.store.publish_hdf5",
    "echo_train.training.train",
    "pandas",
    "zarr",
    "numcodecs",
)
"""What a server imports once for all processes that are to be killed; some of it is imported late
by those who use it."""


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

    def __init__(self, file: Any, disk: Disk) -> None:
        self._file = file
        self._disk = disk

    def __enter__(self) -> HalfWriter:
        return self

    def __exit__(self, *error: Any) -> None:
        self._file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, content: Any) -> int:
        def half() -> None:
            self._file.write(content[: len(content) // 2])
            self._file.flush()

        self._disk.step(half)
        return self._file.write(content)


@contextlib.contextmanager
def failing_disk(
    at: int, harm: Callable[[], None], calls: tuple[str, ...] = STEPS
) -> Iterator[Disk]:
    """Within the block, do harm at the `at`-th step of writing, from 1; never where `at` is 0.

    Where `calls` are not `STEPS`, these functions of `os` alone are steps.
    """
    disk = Disk(at, harm)

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            disk.step()
            return real(*arguments, **named)

        return call

    with contextlib.ExitStack() as stack:
        for name in calls:
            stack.enter_context(mock.patch.object(os, name, counted(getattr(os, name))))
        if calls == STEPS:
            stack.enter_context(_failing_files(disk))
        yield disk


@contextlib.contextmanager
def _failing_files(disk: Disk) -> Iterator[None]:
    """Within the block, count each write to a file that is opened in one of two ways."""

    def fdopen(handle: int, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        file = real_fdopen(handle, mode, *arguments, **named)
        return HalfWriter(file, disk) if mode == "wb" else file

    # zarr, the lock and HDF5 open their files by their paths.
    def path_open(path: Path, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        file = real_path_open(path, mode, *arguments, **named)
        return HalfWriter(file, disk) if set(mode) & set("wax+") else file

    real_fdopen, real_path_open = os.fdopen, Path.open
    with (
        mock.patch.object(os, "fdopen", fdopen),
        mock.patch.object(Path, "open", path_open),
    ):
        yield


def killed_at(
    at: int,
    work: Callable[..., Any],
    *arguments: Any,
    calls: tuple[str, ...] = STEPS,
    **options: Any,
) -> bool:
    """Do some work in a process of its own, which is killed at a step of its writing.

    The process is forked off a server that has imported `PRELOAD` and has
    touched no store, which no fork survives.

    Parameters
    ----------
    at : int
    work : callable
        Importable by name; it is given the arguments and options.
    calls : tuple of str
        See `failing_disk`.

    Returns
    -------
    killed : bool
        False where the work was done before the step was reached.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOAD))
    process = context.Process(target=_work_until, args=(at, work, arguments, options, calls))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    return process.exitcode != 0


def _work_until(
    at: int,
    work: Callable[..., Any],
    arguments: tuple[Any, ...],
    options: dict[str, Any],
    calls: tuple[str, ...],
) -> None:
    with failing_disk(at, kill, calls):
        work(*arguments, **options)
