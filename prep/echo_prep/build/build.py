"""Building a store: exactly the stages that are missing, stale or damaged.

`echo-prep build` calls `build`. It reads the CSV files, fixes the rows,
inspects the store, lets workers make the missing chunks in the work folder,
moves whole arrays into the store, and finally writes the root's list of
stages, which tells readers that the store is finished.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import time
from collections.abc import Sequence
from typing import Any

from echo_common.cli import progress
from echo_common.errors import DataError
from echo_common.lock import build_lock
from echo_common.outputs import MOVE_AWAY, check_replaceable
from echo_common.store import schema
from echo_prep.build.missing import MissingParts
from echo_prep.build.parallel import run_tasks
from echo_prep.build.plan import Plan
from echo_prep.build.report import BuildReport, Forecast, report_of
from echo_prep.build.reuse import RemainingWork, find_up_to_date, find_work
from echo_prep.build.video_changes import (
    VideoRecord,
    frames_digest,
    is_record,
    noted_sizes,
    record_path,
)
from echo_prep.build.worker import make_tasks, probe
from echo_prep.dataset.file_names import shown_name
from echo_prep.dataset.rejects import (
    Reject,
    frame_rejects,
    is_rejects_file,
    rejects_path,
    write_rejects,
)
from echo_prep.settings import BuildSettings
from echo_prep.store.delivery import Delivery
from echo_prep.store.info import store_bytes
from echo_prep.store.publish import publish
from echo_prep.store.verify import damage_path, is_damage_list
from echo_prep.store.work_folder import WorkFolder, finished_work_kept, work_path

_PACKAGES = ("echo-lv-segmentation", "numpy", "opencv-python-headless", "zarr")


def build(settings: BuildSettings, show: progress.Progress[int] = progress.silent) -> BuildReport:
    """Build a store, add to one, or finish a build that was interrupted.

    Raises
    ------
    DataNotFoundError, DataError
        If there is no data set, or nothing in it can be used.
    StoreLockedError
        If another process builds the same store.
    StoreError
        If the store cannot be written; finished chunks are kept.
    """
    started = time.perf_counter()
    store = settings.target()
    try:
        with finished_work_kept():
            report = find_up_to_date(settings)
            if report is None or not rejects_path(store).exists():
                store.parent.mkdir(parents=True, exist_ok=True)
                with build_lock(store):
                    report = _build_locked(settings, show)
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(
            "finished chunks are kept; run the same command again to resume"
        ) from interrupt
    if settings.strict:
        _refuse_rejects(report.rejects)
    seconds = time.perf_counter() - started
    return dataclasses.replace(report, bytes=store_bytes(store), seconds=seconds)


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
    seconds, size = probe(tasks[0]) if tasks else (0.0, 0.0)
    rows = sum(len(task.frame) for task in tasks)
    workers = min(settings.workers(), max(len(tasks), 1))
    return Forecast(
        store=store,
        make=work.names(complete=False),
        keep=work.names(complete=True),
        drop=work.removed,
        rows=len(work.plan),
        rows_to_make=rows,
        bytes=rows * size,
        seconds=rows * seconds / workers,
        workers=workers,
    )


def _build_locked(settings: BuildSettings, show: progress.Progress[int]) -> BuildReport:
    store = settings.target()
    work = find_work(settings)
    plan = work.plan
    if settings.strict:
        _refuse_rejects(plan.rejects)
    for path, is_own in (
        (rejects_path(store), is_rejects_file),
        (damage_path(store), is_damage_list),
        (record_path(store), is_record),
    ):
        check_replaceable(path, force=False, is_own=is_own, remedy=MOVE_AWAY)
    folder, kept = WorkFolder(work_path(store)), set[str]()
    folder.open()
    pending = VideoRecord(folder.root / "videos.json", work.videos)
    for parts in work.parts:
        if parts.chunks:
            for array in parts.stage.arrays:
                folder.declare(array, parts.stage.key)
            if parts.stage.kind == "frames":
                kept = _keep_unchanged(folder, parts, pending)
    tasks = make_tasks(plan, work.stages_by_chunk(folder), folder, work.videos)
    read = {name for task in tasks if task.reads_videos for name in task.video}
    if read:
        # Before they are read: a change from now on is noticed by the next build.
        pending.note(read)
        pending.save("", folder.root)
    work.record.take(pending, read | kept)
    if tasks:
        for _ in show(run_tasks(tasks, folder, settings), len(tasks), "building"):
            pass
    deliveries = _deliveries(folder, work)
    status = next(delivery for delivery in deliveries if delivery.spec.path == schema.STATUS)
    if status.new_chunks:
        _check_frames(settings, plan, frame_rejects(plan.columns, status.manifest, work.videos))
    attributes: dict[str, Any] = {
        "fingerprint": plan.fingerprint,
        "traced": plan.traced,
        "rejects": [dataclasses.asdict(reject) for reject in plan.rejects],
    }
    if work.archive.record is not None:
        attributes["layout"] = work.archive.record
    if plan.notes:
        attributes["notes"] = plan.notes
    manifests = publish(store, folder, work.state.container, deliveries, work.removed, attributes)
    damage_path(store).unlink(missing_ok=True)
    work.record.save(frames_digest(manifests), folder.root)
    report = report_of(
        plan,
        status.manifest,
        work.videos,
        store=store,
        made=work.names(complete=False),
        kept=work.names(complete=True),
        dropped=work.removed,
    )
    write_rejects(store, report.rejects, folder.root)
    # Last: while the work folder exists, the next build inspects everything again.
    folder.remove()
    return report


def _keep_unchanged(folder: WorkFolder, parts: MissingParts, record: VideoRecord) -> set[str]:
    """Discard chunks of an interrupted build whose videos changed since; returns kept videos."""
    # The notes of the stage's first array have the sizes of the videos.
    array, numbers = parts.stage.arrays[0], sorted(parts.chunks)
    missing = set(folder.missing_chunks([array], parts.stage.key, numbers))
    finished = [number for number in numbers if number not in missing]
    noted = noted_sizes(folder.chunk_entries(array.path, parts.stage.key, finished))
    changed = record.changed_since(noted)
    for number in changed:
        folder.forget_chunk(array, number)
    return {name for number in noted.keys() - changed for name, _ in noted[number]}


def _deliveries(folder: WorkFolder, work: RemainingWork) -> list[Delivery]:
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    deliveries = []
    for parts in work.parts:
        stage = parts.stage
        # A stage's first array names the videos that it was made from, so it is published last:
        # after a kill before that, the next build still finds changed videos.
        for array in reversed(stage.arrays):
            entries = folder.chunk_entries(array.path, stage.key, sorted(parts.chunks))
            old = work.state.manifests.get(array.path)
            if parts.whole_stage or old is None:
                manifest = stage.manifest(entries, versions)
            else:
                # Chunks that were repaired to the same bytes leave the manifest as it was.
                same = all(old.chunks[name] == chunk for name, chunk in entries.items())
                made_by = old.versions if same else versions
                manifest = stage.manifest({**old.chunks, **entries}, made_by, old.metadata)
            deliveries.append(
                Delivery(
                    spec=array,
                    manifest=manifest,
                    new_chunks=parts.chunks,
                    replaces=parts.whole_stage,
                    redeclare=array.path in parts.metadata,
                    surplus=parts.surplus.get(array.path, ()),
                )
            )
    return deliveries


def _check_frames(settings: BuildSettings, plan: Plan, unreadable: Sequence[Reject]) -> None:
    """Refuse to publish a store with unreadable frames if --strict, or none that is readable."""
    if settings.strict:
        _refuse_rejects(unreadable)
    if len(unreadable) == len(plan):
        first = unreadable[0]
        raise DataError(
            f"none of the {len(plan)} traced frames could be read; the first: "
            f"{first.video} frame {first.frame}: {first.message}"
        )


def _refuse_rejects(rejects: Sequence[Reject]) -> None:
    if rejects:
        first = rejects[0]
        frame = "" if first.frame is None else f" frame {first.frame}"
        raise DataError(
            f"{len(rejects)} videos or traces are not valid, and --strict was given; the first: "
            f"{shown_name(first.video)}{frame} ({first.where}): {first.message}"
        )
