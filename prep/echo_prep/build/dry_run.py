"""What a build would make, and an estimate of its time and size: `echo-prep build --dry-run`."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from pathlib import Path

from echo_prep.build.reuse import find_work
from echo_prep.build.worker import ChunkTask, make_chunk, make_tasks
from echo_prep.dataset.rejects import Reject
from echo_prep.settings import BuildSettings
from echo_prep.store.work_folder import WorkFolder, work_path

PROBE_ROWS = 64
"""Rows that are made, and discarded, to measure the time and the size of a row."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a build would do.

    Attributes
    ----------
    store : Path
    make, keep, drop : tuple of str
        Stages that would be made completely or in part, stages that are up to
        date, and arrays that ``--prune`` would remove.
    rows : int
        Rows of the store.
    rows_to_make : int
        Rows of the chunks that are missing or damaged.
    rejects : tuple of Reject
        Traces and videos that the CSV files show to be invalid; videos are not opened.
    bytes, seconds : float
        Estimates from a short probe with one worker.
    workers : int
    """

    store: Path
    make: tuple[str, ...]
    keep: tuple[str, ...]
    drop: tuple[str, ...]
    rows: int
    rows_to_make: int
    rejects: tuple[Reject, ...]
    bytes: float
    seconds: float
    workers: int


def forecast(settings: BuildSettings) -> Forecast:
    """Determine what a build with these settings would do; nothing is written.

    Raises
    ------
    DataNotFoundError, DataError, SettingsError, StoreError
        As the build would.
    """
    store = settings.target()
    work = find_work(settings)
    folder = WorkFolder(work_path(store))
    tasks = make_tasks(work.plan, work.stages_by_chunk(folder), folder, work.videos)
    seconds, size = _probe(tasks[0]) if tasks else (0.0, 0.0)
    rows = sum(len(task.frame) for task in tasks)
    workers = min(settings.workers(), max(len(tasks), 1))
    return Forecast(
        store=store,
        make=work.names(complete=False),
        keep=work.names(complete=True),
        drop=work.removed,
        rows=len(work.plan),
        rows_to_make=rows,
        rejects=work.plan.rejects,
        bytes=rows * size,
        seconds=rows * seconds / workers,
        workers=workers,
    )


def _probe(task: ChunkTask) -> tuple[float, float]:
    """Seconds and bytes per row."""
    probed = slice(0, PROBE_ROWS)
    with tempfile.TemporaryDirectory(prefix="echo-prep-probe-") as temporary:
        folder = WorkFolder(Path(temporary))
        for stage in task.stages:
            for array in stage.arrays:
                folder.declare(array, stage.key)
        small = dataclasses.replace(
            task,
            work=folder.root,
            index={path: content[probed] for path, content in task.index.items()},
        )
        started = time.perf_counter()
        make_chunk(small)
        seconds = time.perf_counter() - started
        size = sum(
            chunk["bytes"]
            for stage in task.stages
            for array in stage.arrays
            for chunk in folder.chunk_entries(array.path, stage.key, [task.number]).values()
        )
    return seconds / len(small.frame), size / len(small.frame)


def describe_forecast(expected: Forecast) -> list[str]:
    """Describe a forecast in lines of text."""
    if not expected.make and not expected.drop:
        return [f"nothing to do: {expected.store} already holds {', '.join(expected.keep)}"]
    lines = [f"would make {', '.join(expected.make)}"] if expected.make else []
    if expected.keep:
        lines.append(f"already there: {', '.join(expected.keep)}")
    if expected.drop:
        lines.append(f"would drop {', '.join(expected.drop)}")
    lines.append(
        f"{expected.store}: {expected.rows_to_make} of {expected.rows} rows to make, about "
        f"{expected.bytes / 1e6:.0f} MB and {expected.seconds:.0f} s with {expected.workers} "
        "workers; nothing was written"
    )
    return lines
