"""Simulates a failure at the n-th step of writing: the process is killed, or the disk is full.

A step is a write to a file (half of which is carried out), an fsync or a
rename, whether by this project, by zarr or by HDF5.
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
"""Functions of `os` that count as steps of writing, in addition to writes to files."""

REMOVALS = ("unlink", "rmdir")
"""Functions of `os` that remove files and folders."""

PRELOAD = (
    "echo_prep.build.build",
    "echo_prep.store.publish_hdf5",
    "echo_train.training.train",
    "pandas",
    "zarr",
    "numcodecs",
)
"""Modules that the server imports once for all processes that will be killed."""


def kill() -> None:
    """End this process at once, as a power failure does."""
    os.kill(os.getpid(), signal.SIGKILL)


def be_full() -> None:
    """Raise the error of a full disk."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Disk:
    """Counts the steps of writing, and fails at one of them."""

    def __init__(self, failing_step: int, fail: Callable[[], None]) -> None:
        self.steps = 0
        self._failing_step = failing_step
        self._fail = fail

    def step(self, partial: Callable[[], Any] = lambda: None) -> None:
        """Count a step; `partial` is the part of a failing step that is still carried out."""
        self.steps += 1
        if self.steps == self._failing_step:
            partial()
            self._fail()


class HalfWriter:
    """A file that receives only half of the write at which the disk fails."""

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
    step: int, fail: Callable[[], None], calls: tuple[str, ...] = STEPS
) -> Iterator[Disk]:
    """Within the block, fail at a step of writing, counted from 1; 0 only counts the steps.

    If `calls` differs from `STEPS`, only these functions of `os` count as steps.
    """
    disk = Disk(step, fail)

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
    """Within the block, count the writes to files opened with `os.fdopen` or `Path.open`."""

    def fdopen(handle: int, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        file = real_fdopen(handle, mode, *arguments, **named)
        return HalfWriter(file, disk) if mode == "wb" else file

    # zarr, the lock and HDF5 open their files with Path.open.
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
    step: int,
    work: Callable[..., Any],
    *arguments: Any,
    calls: tuple[str, ...] = STEPS,
    **options: Any,
) -> bool:
    """Call a function in a new process, which is killed at a step of its writing.

    The process is forked from a server that has imported `PRELOAD` but has not
    opened a store, since open stores do not survive a fork.

    Parameters
    ----------
    step : int
    work : callable
        Importable by name; called with the arguments and options.
    calls : tuple of str
        See `failing_disk`.

    Returns
    -------
    killed : bool
        False if the call returned before it reached the step.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOAD))
    process = context.Process(target=_work_until, args=(step, work, arguments, options, calls))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    return process.exitcode != 0


def _work_until(
    step: int,
    work: Callable[..., Any],
    arguments: tuple[Any, ...],
    options: dict[str, Any],
    calls: tuple[str, ...],
) -> None:
    with failing_disk(step, kill, calls):
        work(*arguments, **options)
