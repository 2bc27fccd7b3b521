"""What a build would do, and for how long: `echo-prep build --dry-run`. Nothing is written."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from pathlib import Path

from echo_prep.build.build import check_videos, make_tasks
from echo_prep.build.missing import find_needs, wanted_stages
from echo_prep.build.reuse import find_plan
from echo_prep.build.stages import index_stage
from echo_prep.build.worker import ChunkTask, make_chunk
from echo_prep.dataset.rejects import Reject
from echo_prep.settings import BuildSettings
from echo_prep.store.integrity import survey
from echo_prep.store.work_folder import WorkFolder, work_path

PROBE_ROWS = 64
"""Rows that are made, and thrown away, to measure how long a row takes and how large it is."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a build would do.

    Attributes
    ----------
    store : Path
    make, keep, drop : tuple of str
        Stages that would be made in whole or in part, stages that are
        current, and arrays that ``--prune`` would drop.
    rows : int
        Rows of the store.
    rows_to_do : int
        Rows of the chunks that are missing or damaged.
    rejects : tuple of Reject
        What the CSV files show to be unsound; videos are not opened.
    bytes, seconds : float
        Estimates, from a short probe on one worker.
    workers : int
    """

    store: Path
    make: tuple[str, ...]
    keep: tuple[str, ...]
    drop: tuple[str, ...]
    rows: int
    rows_to_do: int
    rejects: tuple[Reject, ...]
    bytes: float
    seconds: float
    workers: int


def forecast(settings: BuildSettings) -> Forecast:
    """See what a build with these settings would do.

    Raises
    ------
    DataNotFoundError, DataError, SettingsError, StoreError
        As the build would.
    """
    store = settings.target()
    held = survey(store)
    plan = find_plan(settings, held)
    stages = wanted_stages(settings, index_stage(plan), held)
    needs = find_needs(settings, stages, held)
    made = [need for need in needs if need.changes]
    if any(need.stage.kind == "frames" and need.numbers for need in made):
        check_videos(settings)
    tasks = list(make_tasks(settings, plan, WorkFolder(work_path(store)), made))
    seconds, size = _probe(tasks[0]) if tasks else (0.0, 0.0)
    rows = sum(len(task.frame) for task in tasks)
    workers = min(settings.workers(), max(len(tasks), 1))
    kept = {array.path for stage in stages for array in stage.arrays}
    return Forecast(
        store=store,
        make=tuple(need.stage.name for need in made),
        keep=tuple(need.stage.name for need in needs if not need.changes),
        drop=tuple(array for array in held.arrays if array not in kept),
        rows=len(plan),
        rows_to_do=rows,
        rejects=plan.rejects,
        bytes=rows * size,
        seconds=rows * seconds / workers,
        workers=workers,
    )


def _probe(task: ChunkTask) -> tuple[float, float]:
    """Seconds and bytes a row takes."""
    few = slice(0, PROBE_ROWS)
    with tempfile.TemporaryDirectory(prefix="echo-prep-probe-") as folder:
        work = WorkFolder(Path(folder))
        for stage in task.stages:
            for array in stage.arrays:
                work.begin(array, stage.key)
        small = dataclasses.replace(
            task,
            work=work.root,
            index={path: values[few] for path, values in task.index.items()},
        )
        started = time.perf_counter()
        make_chunk(small)
        seconds = time.perf_counter() - started
        size = sum(
            chunk["bytes"]
            for stage in task.stages
            for array in stage.arrays
            for chunk in work.chunks(array.path, stage.key, [task.number]).values()
        )
    return seconds / len(small.frame), size / len(small.frame)


def describe_forecast(cast: Forecast) -> list[str]:
    """Say the same in lines for a person."""
    if not cast.make and not cast.drop:
        return [f"nothing to do: {cast.store} already holds {', '.join(cast.keep)}"]
    lines = [f"would make {', '.join(cast.make)}"] if cast.make else []
    if cast.keep:
        lines.append(f"already there: {', '.join(cast.keep)}")
    if cast.drop:
        lines.append(f"would drop {', '.join(cast.drop)}")
    lines.append(
        f"{cast.store}: {cast.rows_to_do} of {cast.rows} rows to do, about "
        f"{cast.bytes / 1e6:.0f} MB and {cast.seconds:.0f} s with {cast.workers} workers; "
        "nothing was written"
    )
    return lines
