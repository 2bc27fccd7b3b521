"""Running the tasks of a build on many workers, and finishing the build when one is killed.

If a worker is killed, joblib aborts its whole call and does not say which task
the worker ran. So each task leaves a marker file while it runs. After an abort
the tasks without a marker continue together, then those with a marker run one
at a time. A task whose worker is killed again is named in the error.
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
from echo_prep.workers import local_backend

_HEAD_START = 0.5
"""Seconds that worker processes take to start, roughly."""

_POLL = 5.0
"""Seconds between two looks at a dask cluster's workers."""

_PATIENCE = 60.0
"""Seconds without any worker after which a dask cluster is given up."""

Run = Callable[[Sequence[ChunkTask], int], Iterator[int]]
"""Runs tasks on a number of workers, and yields the number of each task as it ends."""

Backend = tuple[Run, tuple[type[BaseException], ...]]
"""How to run tasks, and the exceptions that show that a worker was killed."""


def run_tasks(
    tasks: Sequence[ChunkTask], work: WorkFolder, settings: BuildSettings
) -> Iterator[int]:
    """Run all tasks, and yield the number of each one as it ends.

    Raises
    ------
    StoreError
        If the worker of a task was killed twice; all other tasks end first.
    SettingsError
        If the backend's package is not installed, the cluster cannot be
        reached, or a cluster is named for a backend that has none.
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
            work.take_started()
            try:
                for number in run(list(waiting.values()), workers):
                    del waiting[number]
                    yield number
            except killed:
                for number in [n for n, task in waiting.items() if _is_finished(task, work)]:
                    del waiting[number]
                    yield number
                # Without a marker, any of the tasks may be the cause, so all run alone.
                suspects = [number for number in work.take_started() if number in waiting]
                alone.update({number: waiting.pop(number) for number in suspects or list(waiting)})
        for number, task in alone.items():
            try:
                yield from run([task], 1)
            except killed:
                if _is_finished(task, work):
                    yield number
                else:
                    lost.append(task)
    if lost:
        raise StoreError(
            f"the worker was killed twice, the second time while it ran alone, at "
            f"{'; '.join(_describe(task) for task in lost)}; all other chunks are finished and "
            "kept. The usual cause is too little memory: run the same command again with more"
        )


def _head_start(waiting: dict[int, ChunkTask]) -> Iterator[int]:
    """Make chunks in this process while workers would still be starting.

    Masks are often finished in that time. Chunks with videos to read are left
    to workers: a damaged file, or the memory that it claims, may end the
    process that opens it.
    """
    until = time.monotonic() + _HEAD_START
    for number in [number for number, task in waiting.items() if not task.reads_videos]:
        if time.monotonic() >= until:
            return
        yield make_chunk(waiting.pop(number))


def _is_finished(task: ChunkTask, work: WorkFolder) -> bool:
    return not any(
        work.missing_chunks(stage.arrays, stage.key, [task.number]) for stage in task.stages
    )


def _describe(task: ChunkTask) -> str:
    last = task.start + len(task.frame) - 1
    return (
        f"chunk {task.number} (rows {task.start} to {last}, videos {task.video[0]} to "
        f"{task.video[-1]}) of {', '.join(stage.name for stage in task.stages)}"
    )


@contextlib.contextmanager
def _backend(settings: BuildSettings, workers: int) -> Iterator[Backend]:
    if settings.backend == "dask":
        with _dask(settings, workers) as cluster:
            yield cluster
    elif settings.backend == "ray":
        with _ray(settings, workers) as cluster:
            yield cluster
    else:
        backend = "threading" if settings.backend == "threading" else local_backend(workers)
        if backend == "loky":
            yield _run_loky, (TerminatedWorkerError,)
        else:
            yield lambda tasks, count: _run(tasks, count, backend=backend), ()


def _run(tasks: Sequence[ChunkTask], workers: int, **config: Any) -> Iterator[int]:
    with parallel_config(n_jobs=workers, **config):
        # One task per batch, so that a worker that is killed loses no other task.
        parallel = Parallel(return_as="generator_unordered", batch_size=1)
        yield from parallel(delayed(make_chunk)(task) for task in tasks)


def _run_loky(tasks: Sequence[ChunkTask], workers: int) -> Iterator[int]:
    # With one job joblib would run the task in this process, which must not be killed.
    yield from _run(tasks, max(workers, 2), backend="loky", inner_max_num_threads=1)


class _WorkersLostError(Exception):
    """A cluster has no worker any more, and starts none."""


@contextlib.contextmanager
def _dask(settings: BuildSettings, workers: int) -> Iterator[Backend]:
    distributed = _import_cluster("distributed", "dask")
    with contextlib.ExitStack() as stack:

        def connect() -> Any:
            try:
                cluster: Any = settings.scheduler or stack.enter_context(
                    distributed.LocalCluster(
                        n_workers=workers, threads_per_worker=1, dashboard_address=":0"
                    )
                )
                return stack.enter_context(distributed.Client(cluster))
            except (OSError, ValueError) as error:
                raise _no_scheduler(settings, error) from error

        client = connect()
        killed = distributed.scheduler.KilledWorker

        def run(tasks: Sequence[ChunkTask], workers: int) -> Iterator[int]:
            nonlocal client
            if settings.scheduler is None and not client.scheduler_info()["workers"]:
                client = connect()
            # Not through joblib 1.6, whose dask backend waits forever for a task that failed.
            waiting: Any = client.map(make_chunk, tasks, pure=False)
            lost, seen = None, time.monotonic()
            while waiting:
                with contextlib.suppress(TimeoutError):
                    done, waiting = distributed.wait(
                        waiting, timeout=_POLL, return_when="FIRST_COMPLETED"
                    )
                    for future in done:
                        error = future.exception()
                        if error is None:
                            yield future.result()
                        elif isinstance(error, killed):
                            # The other tasks continue.
                            lost = error
                        else:
                            raise error
                # A task that kills its workers may take those that restart workers with them.
                if client.scheduler_info()["workers"]:
                    seen = time.monotonic()
                elif time.monotonic() - seen > _PATIENCE:
                    client.cancel(list(waiting))
                    lost = _WorkersLostError()
                    break
            if isinstance(lost, _WorkersLostError) and settings.scheduler is not None:
                raise StoreError(
                    f"the dask cluster at {settings.scheduler} has no worker; finished chunks are "
                    "kept: start workers, and run the same command again"
                )
            if lost is not None:
                raise lost

        yield run, (killed, _WorkersLostError)


@contextlib.contextmanager
def _ray(settings: BuildSettings, workers: int) -> Iterator[Backend]:
    ray = _import_cluster("ray", "ray")
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if settings.scheduler is None:
        options |= {"num_cpus": workers, "include_dashboard": False}
    try:
        ray.init(address=settings.scheduler or "local", **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise _no_scheduler(settings, error) from error
    killed = (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError)

    def run(tasks: Sequence[ChunkTask], workers: int) -> Iterator[int]:
        # Not through joblib, which runs a single job in this process. ray itself does not retry
        # a task that kills its worker: `run_tasks` decides what to do.
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


def _import_cluster(package: str, backend: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise SettingsError(
            f"--backend {backend} needs packages that are not installed ({error}); install them "
            f"with: pip install 'echo-lv-segmentation[{backend}]'"
        ) from error


def _no_scheduler(settings: BuildSettings, error: Exception) -> SettingsError:
    return SettingsError(
        f"no {settings.backend} cluster at {settings.scheduler or 'this machine'} ({error}); check "
        "--scheduler, leave it out to start one on this machine, or use --backend threading"
    )
