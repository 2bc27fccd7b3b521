"""Runs that are trained at once, in processes of this machine or on a dask cluster.

A worker trains one run after the other, and reads the frames of a store once.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool

import torch

from echo_common.cli.start import import_extra
from echo_common.errors import EchoError, RunError, SettingsError
from echo_train.data.resident import SharedArrays
from echo_train.experiments.settings import WorkerSettings
from echo_train.runtime.signals import ended_like_ctrl_c, interrupt_once
from echo_train.training.settings import TrainSettings
from echo_train.training.train import train

_SHARED = SharedArrays()
"""Arrays of a store that a worker keeps between its runs."""


def train_at_once(
    runs: Mapping[str, TrainSettings], settings: WorkerSettings
) -> Iterator[tuple[str, EchoError | None]]:
    """Train several runs at once, and yield the name of each run that ended.

    Parameters
    ----------
    runs : mapping of str to TrainSettings
        By name, with their run folders.
    settings : WorkerSettings
        The threads of this machine are divided among its jobs.

    Yields
    ------
    name : str
    error : EchoError or None
        Why it failed.

    Raises
    ------
    RunError
        If a worker ended without a message, as one does that is killed.
    """
    cores = len(os.sched_getaffinity(0))
    jobs = settings.jobs or cores
    threads = max(1, cores // jobs)
    waiting = iter(runs.items())
    with ended_like_ctrl_c(), _executor(settings, jobs) as executor:
        running: dict[Future[None], str] = {}
        try:
            while True:
                # No more than are trained: a pool would start the others after an interruption.
                for name, run in itertools.islice(waiting, jobs - len(running)):
                    running[executor.submit(_train, run, threads)] = name
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    error = future.exception()
                    if error is not None and not isinstance(error, EchoError):
                        raise error
                    yield running.pop(future), error
        except BrokenProcessPool as error:
            raise RunError(
                "a process that trained a run was killed, perhaps because memory ran out; use "
                "fewer --jobs"
            ) from error
        except BaseException:
            # The runs in training save their state and end.
            for child in multiprocessing.active_children():
                if child.pid is not None:
                    os.kill(child.pid, signal.SIGINT)
            raise


def _train(settings: TrainSettings, threads: int) -> None:
    torch.set_num_threads(threads)
    with _interruptible():
        train(settings, shared=_SHARED)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end a run, but not a worker that waits for the next one."""
    if threading.current_thread() is not threading.main_thread():
        # A worker of dask, which ends by itself.
        yield
        return
    # A terminal sends Ctrl-C to the command and to its workers, and the command repeats it.
    signal.signal(signal.SIGINT, interrupt_once)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextlib.contextmanager
def _executor(settings: WorkerSettings, jobs: int) -> Iterator[Executor]:
    if settings.backend == "dask":
        with _dask_executor(settings.scheduler, jobs) as executor:
            yield executor
        return
    # Not by a fork: torch's threads and CUDA do not survive one.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, _start_worker) as executor:
        yield executor


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this worker if the command was killed, rather than train on unseen."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextlib.contextmanager
def _dask_executor(address: str | None, jobs: int) -> Iterator[Executor]:
    distributed = import_extra("--backend dask", "distributed", "dask")
    with contextlib.ExitStack() as stack:
        if address is None:
            address = stack.enter_context(
                distributed.LocalCluster(
                    n_workers=jobs, threads_per_worker=1, dashboard_address=":0"
                )
            )
        try:
            client = stack.enter_context(distributed.Client(address))
        except (OSError, ValueError) as error:
            raise SettingsError(f"there is no dask cluster at {address}: {error}") from error
        yield stack.enter_context(client.get_executor(pure=False))
