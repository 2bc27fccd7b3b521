"""Building a store: exactly the stages that are missing, stale or damaged.

`echo-prep build` calls `build`. The order is: read the CSV files, fix the
rows, see what the store already has, let workers make the missing chunks in
the work folder, move whole arrays into the store, and last of all write the
root's list of stages, by which readers know that the store is finished.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from echo_common import atomic, progress, schema
from echo_common.command import describe_os_error
from echo_common.errors import DataError, DataNotFoundError, StoreDamagedError, StoreError
from echo_common.store import Manifest, read_manifest
from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError

from echo_prep.chunks import ChunkTask, make_chunk
from echo_prep.config import BuildSettings
from echo_prep.dataset import VIDEOS, read_dataset
from echo_prep.frames import file_size
from echo_prep.lock import build_lock
from echo_prep.plan import Plan, make_plan
from echo_prep.rejects import Reject, write_rejects
from echo_prep.stages import (
    CHUNK_FRAMES,
    Stage,
    frames_stage,
    heatmap_stage,
    index_content,
    index_stage,
    mask_stage,
    points_stage,
    stage_again,
)
from echo_prep.work import WorkFolder, array_is_whole, make_groups, work_path

_PACKAGES = ("echo-lv-segmentation", "numpy", "opencv-python-headless", "scikit-image", "zarr")

_KINDS = ("index", "frames", "mask", "points", "heatmap")


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildReport:
    """What a build did.

    Attributes
    ----------
    store : Path
    made, kept : tuple of str
        Names of the stages that were made, and that were current already.
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
        Reports progress; see `echo_common.progress`.

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
    plan = make_plan(read_dataset(settings.data))
    if settings.strict:
        _refuse_rejects(plan.rejects)
    store = settings.store
    _check_target(store)
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        with build_lock(store):
            made, kept = _build_locked(settings, plan, show)
            frames = _stage_manifest(store, schema.STATUS)
            rejects = plan.rejects + _frame_rejects(plan, frames)
            write_rejects(store, rejects)
    except TerminatedWorkerError as error:
        raise StoreError(
            "a worker process was killed, most often for want of memory; what is done is kept: "
            "run the same command again, with fewer --jobs"
        ) from error
    except OSError as error:
        if isinstance(error, StoreError | DataNotFoundError) or error.errno is None:
            raise
        raise StoreError(f"{describe_os_error(error)} (what is done is kept)") from error
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(
            "what is done is kept; run the same command again to go on from there"
        ) from stop
    failed = {row for row, _, _ in frames.notes["failures"]}
    sound = [row for row in range(len(plan)) if row not in failed]
    return BuildReport(
        store=store,
        made=made,
        kept=kept,
        rows=len(sound),
        videos=len({plan.video[row] for row in sound}),
        traced=plan.traced,
        rejects=rejects,
        bytes=sum(file.stat().st_size for file in store.rglob("*") if file.is_file()),
        seconds=time.perf_counter() - started,
    )


def _build_locked(
    settings: BuildSettings, plan: Plan, show: progress.Progress[int]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    store, work = settings.store, WorkFolder(work_path(settings.store))
    stages = _all_stages(settings, plan)
    videos = settings.data / VIDEOS
    missing = [stage for stage in stages if not _is_current(store, stage, videos)]
    if missing:
        if any(stage.kind == "frames" for stage in missing) and not videos.is_dir():
            raise DataNotFoundError(
                f"no folder {videos}: the frames have to be read from the videos in it"
            )
        _begin(store, work, missing)
        _make_index(work, plan, missing)
        _make_chunks(settings, plan, work, missing, show)
        _publish(settings, plan, work, missing)
    _finish(store, stages, plan)
    work.remove()
    names = {stage.name for stage in missing}
    return (
        tuple(stage.name for stage in missing),
        tuple(stage.name for stage in stages if stage.name not in names),
    )


def _all_stages(settings: BuildSettings, plan: Plan) -> list[Stage]:
    """What is asked for, and what the store already has: a store never goes stale in part."""
    index = index_stage(plan)
    stages = {stage.name: stage for stage in (index, frames_stage(index))}
    for array in sorted(settings.store.rglob(schema.MANIFEST)):
        manifest = _manifest_or_none(array.parent)
        again = stage_again(index, manifest.parameters) if manifest else None
        if again is not None:
            stages[again.name] = again
    for method in settings.method:
        asked = [mask_stage(index, method)]
        for identity in settings.identity:
            for count in settings.landmarks:
                one_set = schema.LandmarkSet(method=method, identity=identity, count=count)
                asked.append(points_stage(index, one_set))
                asked += [
                    heatmap_stage(index, one_set, falloff, settings.heatmaps())
                    for falloff in settings.falloff
                ]
        stages.update({stage.name: stage for stage in asked})
    return sorted(stages.values(), key=lambda stage: (_KINDS.index(stage.kind), stage.name))


def _is_current(store: Path, stage: Stage, videos: Path) -> bool:
    for array in stage.arrays:
        manifest = _manifest_or_none(store / array.path)
        if manifest is None or manifest.key != stage.key:
            return False
        if not array_is_whole(store / array.path, manifest):
            return False
        if not (store / array.path / "zarr.json").is_file():
            return False
        for name, size in manifest.notes.get("sizes", ()):
            # A video that is gone is no reason to lose its frames; one that changed is.
            now = file_size(videos, name)
            if now is not None and now != size:
                return False
    return True


def _begin(store: Path, work: WorkFolder, stages: Sequence[Stage]) -> None:
    store.mkdir(exist_ok=True)
    if not (store / "zarr.json").exists():
        _write_root(store, {"schema": schema.SCHEMA, "stages": {}})
    for stage in stages:
        work.begin(stage)


def _make_index(work: WorkFolder, plan: Plan, stages: Sequence[Stage]) -> None:
    content = index_content(plan)
    for stage in stages:
        if stage.kind != "index":
            continue
        for number in work.missing(stage):
            start = number * CHUNK_FRAMES
            stop = min(start + CHUNK_FRAMES, len(plan))
            for array in stage.arrays:
                name = work.write_rows(array.path, start, stop, content[array.path][start:stop])
                work.record(stage, array.path, number, name, {})


def _make_chunks(
    settings: BuildSettings,
    plan: Plan,
    work: WorkFolder,
    stages: Sequence[Stage],
    show: progress.Progress[int],
) -> None:
    tasks = list(_tasks(settings, plan, work, stages))
    if not tasks:
        return
    workers = min(settings.workers(), len(tasks))
    parallel = Parallel(
        n_jobs=workers,
        # One worker needs no second process.
        backend=settings.backend if workers > 1 else "sequential",
        return_as="generator_unordered",
    )
    done = parallel(delayed(make_chunk)(task) for task in tasks)
    for _ in show(done, len(tasks), "building"):
        pass


def _tasks(
    settings: BuildSettings, plan: Plan, work: WorkFolder, stages: Sequence[Stage]
) -> Iterator[ChunkTask]:
    lacking: dict[int, list[Stage]] = {}
    for stage in stages:
        if stage.kind != "index":
            for number in work.missing(stage):
                lacking.setdefault(number, []).append(stage)
    for number, missing in sorted(lacking.items()):
        rows = slice(number * CHUNK_FRAMES, (number + 1) * CHUNK_FRAMES)
        yield ChunkTask(
            number=number,
            start=rows.start,
            stages=tuple(missing),
            work=work.root,
            videos=settings.data / VIDEOS,
            video=plan.video[rows],
            frame=plan.frame[rows],
            long_axis=plan.long_axis[rows],
            contour=plan.contour[rows],
            shape=plan.shape,
        )


def _publish(
    settings: BuildSettings, plan: Plan, work: WorkFolder, stages: Sequence[Stage]
) -> None:
    versions = {name: importlib.metadata.version(name) for name in _PACKAGES}
    manifests = {
        array.path: work.manifest(stage, array.path, versions)
        for stage in stages
        for array in stage.arrays
    }
    if schema.STATUS in manifests:
        unread = _frame_rejects(plan, manifests[schema.STATUS])
        if settings.strict:
            _refuse_rejects(unread)
        if len(unread) == len(plan):
            raise DataError(
                f"none of the {len(plan)} traced frames could be read; the first: "
                f"{unread[0].video} frame {unread[0].frame}: {unread[0].message}"
            )
    for path, manifest in manifests.items():
        work.publish(settings.store, path, manifest)


def _finish(store: Path, stages: Sequence[Stage], plan: Plan) -> None:
    """Write the root's list of stages, where it is not what it should be."""
    listed: dict[str, Any] = {}
    for stage in stages:
        manifest = _stage_manifest(store, stage.arrays[0].path)
        listed[stage.name] = {
            "key": stage.key,
            "parameters": stage.parameters,
            "inputs": stage.inputs,
            "arrays": [array.path for array in stage.arrays],
            "versions": manifest.versions,
        }
        for array in stage.arrays:
            make_groups(store, array.path)
    attributes = {"schema": schema.SCHEMA, "fingerprint": plan.fingerprint, "stages": listed}
    _write_root(store, attributes)


def _write_root(store: Path, attributes: dict[str, Any]) -> None:
    metadata = {"attributes": attributes, "node_type": "group", "zarr_format": 3}
    text = json.dumps(metadata, indent=1, sort_keys=True) + "\n"
    path = store / "zarr.json"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        atomic.write_text(path, text)


def _frame_rejects(plan: Plan, manifest: Manifest) -> tuple[Reject, ...]:
    return tuple(
        Reject(
            video=str(plan.video[row]),
            frame=int(plan.frame[row]),
            where=f"{VIDEOS}/{plan.video[row]}.avi",
            reason=schema.STATUSES[status],
            message=message,
        )
        for row, status, message in manifest.notes.get("failures", ())
    )


def _refuse_rejects(rejects: Sequence[Reject]) -> None:
    if rejects:
        first = rejects[0]
        frame = "" if first.frame is None else f" frame {first.frame}"
        raise DataError(
            f"{len(rejects)} videos or traces are not sound, and --strict was given; the first: "
            f"{first.video}{frame} ({first.where}): {first.message}"
        )


def _check_target(store: Path) -> None:
    if not store.exists():
        return
    if not store.is_dir() or (any(store.iterdir()) and not (store / "zarr.json").is_file()):
        raise StoreError(
            f"{store} is there and is not a store; give another --store, or move it away"
        )
    found = _root_schema(store)
    if found not in (None, schema.SCHEMA):
        raise StoreError(
            f"{store} has the schema {found!r}, not {schema.SCHEMA!r}; give another --store"
        )


def _root_schema(store: Path) -> str | None:
    try:
        attributes = json.loads((store / "zarr.json").read_text(encoding="utf-8"))["attributes"]
        return str(attributes.get("schema", "none"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # An unreadable root is written again from the manifests.
        return None


def _manifest_or_none(array: Path) -> Manifest | None:
    try:
        return read_manifest(array)
    except StoreDamagedError:
        return None


def _stage_manifest(store: Path, array: str) -> Manifest:
    manifest = read_manifest(store / array)
    if manifest is None:
        raise StoreDamagedError(f"{store}: {array} vanished while the store was being built")
    return manifest
