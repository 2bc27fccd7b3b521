"""Running a build's tasks on many workers, and finishing without one that is killed.

One worker that is killed takes joblib's whole call with it and does not say
what it was doing; a cluster names the tasks that it gave up. So each task
leaves a mark while it runs; after an abort the others go on together, and
those with a mark run again, each alone. A task that is killed even then is
named.
"""

from __future__ import annotations

import contextlib
import importlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError

from echo_common.errors import SettingsError, StoreError
from echo_prep.build.worker import ChunkTask, make_chunk
from echo_prep.settings import BuildSettings
from echo_prep.store.work_folder import WorkFolder

_HEAD_START = 0.5
"""Seconds that worker processes take to start, about."""

Run = Callable[[Sequence[ChunkTask], int], Iterator[int]]
"""Runs tasks on so many workers, and yields the number of each as it ends."""


def run_tasks(
    tasks: Sequence[ChunkTask], work: WorkFolder, settings: BuildSettings
) -> Iterator[int]:
    """Run all tasks, and yield the number of each one as it ends.

    Raises
    ------
    StoreError
        After all others have ended, if a task's worker was killed twice; the
        message names the task.
    SettingsError
        If the backend's package is not installed, or the cluster not there, or
        the backend has no cluster and one is named.
    """
    if settings.scheduler is not None and settings.backend not in ("dask", "ray"):
        raise SettingsError(
            f"--scheduler is for --backend dask or ray, and this is --backend {settings.backend}"
        )
    waiting = {task.number: task for task in tasks}
    if settings.backend == "loky":
        yield from _head_start(waiting)
    if not waiting:
        return
    workers = min(settings.workers(), len(waiting))
    alone: dict[int, ChunkTask] = {}
    lost: list[ChunkTask] = []
    with _backend(settings, workers) as (run, killed):
        while waiting:
            work.started()
            try:
                for number in run(list(waiting.values()), workers):
                    del waiting[number]
                    yield number
            except killed:
                for number in [number for number, task in waiting.items() if _done(task, work)]:
                    del waiting[number]
                    yield number
                # Without a mark nobody knows who it was, so everyone goes on alone.
                suspects = [number for number in work.started() if number in waiting]
                alone.update({number: waiting.pop(number) for number in suspects or list(waiting)})
        for number, task in alone.items():
            try:
                yield from run([task], 1)
            except killed:
                if _done(task, work):
                    yield number
                else:
                    lost.append(task)
    if lost:
        raise StoreError(
            f"the worker was killed twice, the second time with nothing beside it, at "
            f"{'; '.join(_describe(task) for task in lost)}; all other chunks are done and kept. "
            "Most often memory was short: run the same command again with more of it"
        )


def _head_start(waiting: dict[int, ChunkTask]) -> Iterator[int]:
    """Make chunks here for as long as workers would only be starting; for masks, that is all.

    A chunk whose videos are read is left to a worker: a damaged file, or the
    memory that it asks for, may end the process that opens it.
    """
    until = time.monotonic() + _HEAD_START
    for number in [number for number, task in waiting.items() if not task.reads_videos]:
        if time.monotonic() >= until:
            return
        yield make_chunk(waiting.pop(number))


def _done(task: ChunkTask, work: WorkFolder) -> bool:
    return not any(work.lacking(stage.arrays, stage.key, [task.number]) for stage in task.stages)


def _describe(task: ChunkTask) -> str:
    last = task.start + len(task.frame) - 1
    return (
        f"chunk {task.number} (rows {task.start} to {last}, videos {task.video[0]} to "
        f"{task.video[-1]}) of {', '.join(stage.name for stage in task.stages)}"
    )


@contextlib.contextmanager
def _backend(
    settings: BuildSettings, workers: int
) -> Iterator[tuple[Run, tuple[type[BaseException], ...]]]:
    """Give a `Run`, and the exceptions by which a killed worker shows."""
    if settings.backend == "dask":
        with _dask(settings, workers) as cluster:
            yield cluster
    elif settings.backend == "ray":
        with _ray(settings, workers) as cluster:
            yield cluster
    elif settings.backend == "threading" or workers == 1:
        # One worker needs no second process.
        backend = "threading" if workers > 1 else "sequential"
        yield lambda tasks, count: _run(tasks, count, backend=backend), ()
    else:
        yield _run_loky, (TerminatedWorkerError,)


def _run(tasks: Sequence[ChunkTask], workers: int, **config: Any) -> Iterator[int]:
    with parallel_config(n_jobs=workers, **config):
        # One task a batch: a mark then stands for what was lost with its worker, and no more.
        parallel = Parallel(return_as="generator_unordered", batch_size=1)
        yield from parallel(delayed(make_chunk)(task) for task in tasks)


def _run_loky(tasks: Sequence[ChunkTask], workers: int) -> Iterator[int]:
    # joblib takes one job to mean this very process, which a killed task would end.
    yield from _run(tasks, max(workers, 2), backend="loky", inner_max_num_threads=1)


@contextlib.contextmanager
def _dask(
    settings: BuildSettings, workers: int
) -> Iterator[tuple[Run, tuple[type[BaseException], ...]]]:
    try:
        distributed: Any = importlib.import_module("distributed")
    except ImportError as error:
        raise _not_installed("dask", error) from error
    with contextlib.ExitStack() as stack:
        try:
            cluster: Any = settings.scheduler or stack.enter_context(
                distributed.LocalCluster(
                    n_workers=workers, threads_per_worker=1, dashboard_address=":0"
                )
            )
            client = stack.enter_context(distributed.Client(cluster))
        except (OSError, ValueError) as error:
            raise _no_scheduler(settings, error) from error
        killed = distributed.scheduler.KilledWorker

        def run(tasks: Sequence[ChunkTask], workers: int) -> Iterator[int]:
            # Not through joblib 1.6, whose dask backend does not hear of a task that failed, and
            # waits for it without end.
            futures = client.map(make_chunk, tasks, pure=False)
            lost = None
            for future in distributed.as_completed(futures):
                error = future.exception()
                if error is None:
                    yield future.result()
                elif isinstance(error, killed):
                    # The others go on meanwhile.
                    lost = error
                else:
                    raise error
            if lost is not None:
                raise lost

        yield run, (killed,)


@contextlib.contextmanager
def _ray(
    settings: BuildSettings, workers: int
) -> Iterator[tuple[Run, tuple[type[BaseException], ...]]]:
    try:
        ray: Any = importlib.import_module("ray")
    except ImportError as error:
        raise _not_installed("ray", error) from error
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if settings.scheduler is None:
        options |= {"num_cpus": workers, "include_dashboard": False}
    try:
        ray.init(address=settings.scheduler or "local", **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise _no_scheduler(settings, error) from error
    killed = (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError)

    def run(tasks: Sequence[ChunkTask], workers: int) -> Iterator[int]:
        # Not through joblib, which takes a single job to mean this very process. A task that
        # kills its worker is not tried again at once: what to do then is `run_tasks`' to say.
        remote = ray.remote(max_retries=0)(make_chunk)
        waiting, lost = [remote.remote(task) for task in tasks], None
        while waiting:
            (done,), waiting = ray.wait(waiting)
            try:
                yield ray.get(done)
            except ray.exceptions.RayTaskError as error:
                raise error.cause from error
            except killed as error:
                lost = error
        if lost is not None:
            raise lost

    try:
        yield run, killed
    finally:
        ray.shutdown()


def _not_installed(backend: str, error: ImportError) -> SettingsError:
    return SettingsError(
        f"--backend {backend} needs packages that are not installed ({error}); install them with: "
        f"pip install 'echo-lv-segmentation[{backend}]'"
    )


def _no_scheduler(settings: BuildSettings, error: Exception) -> SettingsError:
    return SettingsError(
        f"no {settings.backend} cluster at {settings.scheduler} ({error}); check --scheduler, or "
        "leave it out to start one on this machine"
    )
