"""Building a store: exactly the stages that are missing, stale or damaged.

`echo-prep build` calls `build`. The order is: read the CSV files, fix the
rows, see what the store already has, let workers make the missing chunks in
the work folder, move whole arrays into the store, and last of all write the
root's list of stages, by which readers know that the store is finished.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from echo_common import atomic
from echo_common.cli import progress
from echo_common.cli.command import describe_os_error
from echo_common.errors import DataError, DataNotFoundError, EchoError, StoreError
from echo_common.lock import build_lock
from echo_common.store import schema
from echo_common.store.manifest import Manifest
from echo_common.store.schema import CHUNK_FRAMES, ArraySpec
from echo_prep.build.missing import Need, changed_videos, find_needs, wanted_stages
from echo_prep.build.parallel import run_tasks
from echo_prep.build.plan import Plan
from echo_prep.build.reuse import Current, find_current, find_plan
from echo_prep.build.stages import Stage, index_content, index_stage
from echo_prep.build.worker import ChunkTask
from echo_prep.dataset.echonet_dynamic import video_folder
from echo_prep.dataset.file_names import shown_name
from echo_prep.dataset.rejects import Reject, frame_rejects, rejects_path, write_rejects
from echo_prep.settings import BuildSettings
from echo_prep.store.delivery import Delivery
from echo_prep.store.info import store_bytes
from echo_prep.store.integrity import Survey, survey
from echo_prep.store.publish import publish
from echo_prep.store.verify import clear_mark, mark_path
from echo_prep.store.work_folder import WorkFolder, work_path

_PACKAGES = ("echo-lv-segmentation", "numpy", "opencv-python-headless", "zarr")


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildReport:
    """What a build did.

    Attributes
    ----------
    store : Path
    made, kept : tuple of str
        Names of the stages that were made, and that were current already.
    dropped : tuple of str
        Arrays that the store had, and that `prune` took away.
    rows : int
        Rows of the store that can be used.
    videos : int
        Videos that these rows are from.
    traced : int
        Traces in the data set, sound or not.
    rejects : tuple of Reject
    bytes : int
        Size of the store on disk.
    seconds : float
    """

    store: Path
    made: tuple[str, ...]
    kept: tuple[str, ...]
    dropped: tuple[str, ...]
    rows: int
    videos: int
    traced: int
    rejects: tuple[Reject, ...]
    bytes: int
    seconds: float


def build(settings: BuildSettings, show: progress.Progress[int] = progress.silent) -> BuildReport:
    """Build a store, or add to one, or finish one that was stopped.

    Parameters
    ----------
    settings : BuildSettings
    show : callable
        Reports progress; see `echo_common.cli.progress`.

    Raises
    ------
    DataNotFoundError, DataError
        If there is no data set, or nothing in it can be used.
    StoreLockedError
        If another process builds the same store.
    StoreError
        If the store cannot be written; what is done is kept.
    """
    started = time.perf_counter()
    store = settings.target()
    current = find_current(settings)
    made: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    try:
        if current is None or not rejects_path(store).exists():
            store.parent.mkdir(parents=True, exist_ok=True)
            with build_lock(store):
                current, made, dropped = _build_locked(settings, show)
    except OSError as error:
        if isinstance(error, EchoError) or error.errno is None:
            raise
        raise StoreError(f"{describe_os_error(error)} (what is done is kept)") from error
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(
            "what is done is kept; run the same command again to go on from there"
        ) from stop
    if settings.strict:
        _refuse_rejects(current.rejects)
    return BuildReport(
        store=store,
        made=made,
        kept=tuple(name for name in current.stages if name not in made),
        dropped=dropped,
        rows=current.rows,
        videos=current.videos,
        traced=current.traced,
        rejects=current.rejects,
        bytes=store_bytes(store),
        seconds=time.perf_counter() - started,
    )


def _build_locked(
    settings: BuildSettings, show: progress.Progress[int]
) -> tuple[Current, tuple[str, ...], tuple[str, ...]]:
    """Make what is missing; returns what the store then holds, and what was made and dropped."""
    store = settings.target()
    held = survey(store)
    plan = find_plan(settings, held)
    if settings.strict:
        _refuse_rejects(plan.rejects)
    for path in (store, rejects_path(store), mark_path(store)):
        atomic.remove_leftovers(path)
    work = WorkFolder(work_path(store))
    stages = wanted_stages(settings, index_stage(plan), held)
    needs = find_needs(settings, stages, held)
    missing = [need for need in needs if need.changes]
    made = [need for need in missing if need.numbers]
    if any(need.stage.kind == "frames" for need in made):
        check_videos(settings)
    for need in made:
        for array in need.stage.arrays:
            work.begin(array, need.stage.key)
        if need.stage.kind == "frames":
            _forget_changed(settings, work, need)
    tasks = list(make_tasks(settings, plan, work, made))
    if tasks:
        for _ in show(run_tasks(tasks, work, settings), len(tasks), "building"):
            pass
    deliveries = _deliveries(work, needs, held)
    _check_frames(settings, plan, deliveries)
    kept = {array.path for stage in stages for array in stage.arrays}
    dropped = [array for array in held.arrays if array not in kept]
    attributes = {
        "fingerprint": plan.fingerprint,
        "traced": plan.traced,
        "rejects": [dataclasses.asdict(reject) for reject in plan.rejects],
    }
    work.root.mkdir(exist_ok=True)
    publish(store, work, held.container, deliveries, dropped, attributes)
    clear_mark(store)
    status = next(one.manifest for one in deliveries if one.spec.path == schema.STATUS)
    rejects = plan.rejects + frame_rejects(plan.video, plan.frame, status)
    write_rejects(store, rejects)
    # Last of all: as long as it is there, the next build looks at everything anew.
    work.remove()
    failed = {row for row, _, _ in status.notes.get("failures", ())}
    sound = [row for row in range(len(plan)) if row not in failed]
    current = Current(
        stages=tuple(stage.name for stage in stages),
        rows=len(sound),
        videos=len({plan.video[row] for row in sound}),
        traced=plan.traced,
        rejects=rejects,
    )
    return current, tuple(need.stage.name for need in missing), tuple(dropped)


def check_videos(settings: BuildSettings) -> None:
    """See that there is a folder of videos, before anything is written."""
    videos = video_folder(settings.data)
    if not videos.path.is_dir():
        raise DataNotFoundError(
            f"no folder {videos.path}: the frames have to be read from the videos in it"
        )


def _forget_changed(settings: BuildSettings, work: WorkFolder, need: Need) -> None:
    """Of a build that was stopped, keep the frames of videos that are still the same."""
    noted, numbers = need.stage.arrays[0], sorted(need.numbers)
    lacking = set(work.lacking([noted], need.stage.key, numbers))
    kept = work.chunks(noted.path, need.stage.key, (one for one in numbers if one not in lacking))
    for number in changed_videos(kept, video_folder(settings.data, settings.archive)):
        work.forget(noted, number)


def make_tasks(
    settings: BuildSettings, plan: Plan, work: WorkFolder, needs: Sequence[Need]
) -> Iterator[ChunkTask]:
    """What workers have to do: a task for each chunk of rows that lacks anything."""
    lacking: dict[int, list[Stage]] = {}
    for need in needs:
        stage = need.stage
        for number in work.lacking(stage.arrays, stage.key, sorted(need.numbers)):
            lacking.setdefault(number, []).append(stage)
    content = index_content(plan)
    videos = video_folder(settings.data, settings.archive)
    for number, missing in sorted(lacking.items()):
        rows = slice(number * CHUNK_FRAMES, (number + 1) * CHUNK_FRAMES)
        yield ChunkTask(
            number=number,
            start=rows.start,
            stages=tuple(missing),
            work=work.root,
            videos=videos,
            index={path: values[rows] for path, values in content.items()},
            shape=plan.shape,
        )


def _deliveries(work: WorkFolder, needs: Sequence[Need], held: Survey) -> list[Delivery]:
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return [
        _delivery(work, need, array, held.manifests.get(array.path), versions)
        for need in needs
        # A stage's first array says which videos it was made from, so it is put in last: a build
        # that is killed before that still finds the videos changed.
        for array in reversed(need.stage.arrays)
    ]


def _delivery(
    work: WorkFolder,
    need: Need,
    array: ArraySpec,
    before: Manifest | None,
    versions: dict[str, str],
) -> Delivery:
    made = work.chunks(array.path, need.stage.key, sorted(need.numbers))
    if need.fresh or before is None:
        manifest = need.stage.manifest(made, versions)
    else:
        # What was mended to the same bytes leaves no trace of when it was.
        same = all(before.chunks[name] == chunk for name, chunk in made.items())
        chunks = {name: made.get(name, chunk) for name, chunk in before.chunks.items()}
        manifest = need.stage.manifest(
            chunks, before.versions if same else versions, before.metadata
        )
    return Delivery(
        spec=array,
        key=need.stage.key,
        manifest=manifest,
        made=need.numbers,
        fresh=need.fresh,
        metadata=array.path in need.metadata,
        surplus=need.surplus.get(array.path, ()),
    )


def _check_frames(settings: BuildSettings, plan: Plan, deliveries: Sequence[Delivery]) -> None:
    """Stop before a store is published that --strict, or reason, forbids."""
    status = next(one for one in deliveries if one.spec.path == schema.STATUS)
    if not status.made:
        return
    unread = frame_rejects(plan.video, plan.frame, status.manifest)
    if settings.strict:
        _refuse_rejects(unread)
    if len(unread) == len(plan):
        raise DataError(
            f"none of the {len(plan)} traced frames could be read; the first: "
            f"{unread[0].video} frame {unread[0].frame}: {unread[0].message}"
        )


def _refuse_rejects(rejects: Sequence[Reject]) -> None:
    if rejects:
        first = rejects[0]
        frame = "" if first.frame is None else f" frame {first.frame}"
        raise DataError(
            f"{len(rejects)} videos or traces are not sound, and --strict was given; the first: "
            f"{shown_name(first.video)}{frame} ({first.where}): {first.message}"
        )
