"""What an existing store already answers: that it is up to date, its rows, and what remains to do.

A build with nothing to do ends within a second: it reads the two CSV files
only to compute their digests. If these are the store's, the store's own rows
and list of rejects are valid.
"""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

from echo_common.errors import DataNotFoundError, EchoError
from echo_common.outputs import refuse_inputs
from echo_common.store import schema
from echo_common.store.manifest import stage_table
from echo_common.store.reader import EchoStore
from echo_prep.build.missing import MissingParts, find_missing, requested_stages
from echo_prep.build.plan import Plan, make_plan
from echo_prep.build.report import BuildReport, report_of
from echo_prep.build.stages import (
    INDEX,
    Stage,
    index_stage,
    is_index_parameters,
    restore_index_stage,
)
from echo_prep.build.video_changes import VideoRecord, frames_digest, record_path
from echo_prep.dataset.frame_source import FrameSource
from echo_prep.dataset.rejects import Reject
from echo_prep.layouts.registry import Archive, open_archive
from echo_prep.settings import BuildSettings
from echo_prep.store.integrity import StoreState, group_faults, inspect_store
from echo_prep.store.publish import refuse_strangers
from echo_prep.store.verify import damage_path
from echo_prep.store.work_folder import WorkFolder, work_path


@dataclasses.dataclass(frozen=True, kw_only=True)
class RemainingWork:
    """What a build has to do, compared with the store as it is.

    Attributes
    ----------
    parts : list of MissingParts
        Of every stage that the store will contain, in the order of the build.
    removed : tuple of str
        Arrays to remove from the store.
    """

    state: StoreState
    plan: Plan
    parts: list[MissingParts]
    removed: tuple[str, ...]
    archive: Archive
    videos: FrameSource
    record: VideoRecord

    def names(self, complete: bool) -> tuple[str, ...]:
        """Names of the stages that the store has completely, or of the others."""
        return tuple(parts.stage.name for parts in self.parts if bool(parts) != complete)

    def stages_by_chunk(self, folder: WorkFolder) -> dict[int, list[Stage]]:
        """Stages to make for each chunk of rows, without those that the work folder has."""
        stages: dict[int, list[Stage]] = {}
        for parts in self.parts:
            stage = parts.stage
            for number in folder.missing_chunks(stage.arrays, stage.key, sorted(parts.chunks)):
                stages.setdefault(number, []).append(stage)
        return stages


def find_work(settings: BuildSettings) -> RemainingWork:
    """Compare a store with what the settings request.

    Raises
    ------
    DataNotFoundError, DataError
        If the data set cannot be read, or frames have to be read and it has no
        folder of videos.
    StoreError
        If there is something at the store's path that is not a store.
    """
    archive, state = _inspect_target(settings)
    stored = _stored_plan(settings, archive, state)
    size = settings.size or _stored_size(state) or archive.layout.size
    plan = stored or make_plan(archive.read(), archive.source(), size)
    work = _compare(settings, archive, state, plan)
    if stored is not None and any(parts.stage.kind == "frames" for parts in work.parts if parts):
        # Videos that changed may have changed their size, on which the rows depend.
        plan = make_plan(archive.read(), archive.source(), size)
        if index_stage(plan).key != index_stage(stored).key:
            work = _compare(settings, archive, state, plan)
    if not schema.is_hdf5(settings.target()):
        # Before the work, and in a dry run too.
        refuse_strangers(
            settings.target(),
            [array.path for parts in work.parts if parts for array in parts.stage.arrays],
            [
                *(
                    array.path
                    for parts in work.parts
                    if parts.whole_stage
                    for array in parts.stage.arrays
                ),
                *work.removed,
            ],
        )
    reads_videos = any(parts.stage.kind == "frames" and parts.chunks for parts in work.parts)
    if reads_videos and not work.videos.path.is_dir():
        raise DataNotFoundError(
            f"no folder {work.videos.path}, from which the frames have to be read"
        )
    return work


def _compare(
    settings: BuildSettings, archive: Archive, state: StoreState, plan: Plan
) -> RemainingWork:
    videos = archive.source()
    record = VideoRecord(record_path(settings.target()), videos)
    stages = requested_stages(settings, archive.layout, index_stage(plan), state)
    arrays = {array.path for stage in stages for array in stage.arrays}
    return RemainingWork(
        state=state,
        plan=plan,
        parts=find_missing(settings, stages, state, record),
        removed=tuple(array for array in state.arrays if array not in arrays),
        archive=archive,
        videos=videos,
        record=record,
    )


def find_up_to_date(settings: BuildSettings) -> BuildReport | None:
    """Report on a store for which a build has nothing to do; None if it may have something to do.

    Raises
    ------
    StoreError
        If there is something at the store's path that is not a store.
    """
    store = settings.target()
    archive, state = _inspect_target(settings)
    if not state.attributes or work_path(store).exists() or damage_path(store).exists():
        return None
    plan = _stored_plan(settings, archive, state)
    if plan is None or stage_table(state.manifests) != state.attributes["stages"]:
        return None
    work = _compare(settings, archive, state, plan)
    if any(work.parts) or work.removed:
        return None
    if state.container is None or group_faults(state.container, state.arrays):
        return None
    # Videos whose frames were compared need not be compared again; on a read-only disk they are.
    with contextlib.suppress(OSError):
        work.record.save(frames_digest(state.manifests))
    status, names = state.manifests[schema.STATUS], work.names(complete=True)
    return report_of(plan, status, work.videos, store=store, kept=names)


def _inspect_target(settings: BuildSettings) -> tuple[Archive, StoreState]:
    """The archive, and the state of the store, which must not be in the data set's files."""
    store = settings.target()
    data = settings.data, settings.dataset, settings.archive
    try:
        state = inspect_store(store)
    except EchoError:
        # A data set is no store either; that it is the input says more.
        refuse_inputs(store, open_archive(*data, None).inputs())
        raise
    stored = state.attributes.get("layout")
    archive = open_archive(*data, stored if isinstance(stored, dict) else None)
    refuse_inputs(store, archive.inputs())
    return archive, state


def _stored_size(state: StoreState) -> int | None:
    """Size to which a store's frames were scaled, which a build keeps; None if they were not."""
    parameters = _index_parameters(state) or {}
    return parameters["shape"][0] if parameters.get("scaled") else None


def _index_parameters(state: StoreState) -> dict[str, Any] | None:
    """Parameters of the store's rows; None if another version of the code made them."""
    for manifest in state.manifests.values():
        if manifest.stage == INDEX and is_index_parameters(manifest.parameters):
            stage = restore_index_stage(manifest.parameters)
            # The number of rows may be anything; it has to be that of the chunks.
            current = stage.key == manifest.key and stage.chunk_count == len(manifest.chunks)
            return manifest.parameters if current else None
    return None


def _stored_plan(settings: BuildSettings, archive: Archive, state: StoreState) -> Plan | None:
    """Rows of a store that was made from these very annotations; None otherwise.

    Reading and checking them takes longer than making the masks of another method.
    """
    try:
        parameters = _index_parameters(state)
        if (
            parameters is None
            or state.attributes.get("layout") != archive.record
            or state.attributes.get("fingerprint") != archive.fingerprint()
            or (settings.size is not None and parameters["shape"] != [settings.size] * 2)
        ):
            return None
        plan = _read_plan(EchoStore(settings.target()), parameters)
    except (OSError, EchoError, LookupError, TypeError, ValueError):
        # Whatever the fault is, the annotations have the same rows.
        return None
    # The digest of all rows is one of the parameters.
    if index_stage(plan).parameters != parameters:
        return None
    traces = plan.columns[schema.LONG_AXIS], plan.columns[schema.CONTOUR]
    return plan if archive.layout.accepts(*traces) else None


def _read_plan(store: EchoStore, parameters: dict[str, Any]) -> Plan:
    stage = restore_index_stage(parameters)
    columns = {array.path: store.read(array.path) for array in stage.arrays}
    for array in stage.arrays:
        if array.dtype == "str":
            columns[array.path] = columns[array.path].astype(object)
    return Plan(
        columns=columns,
        shape=tuple(parameters["shape"]),
        rejects=tuple(Reject(**reject) for reject in store.attributes["rejects"]),
        notes=store.attributes.get("notes", {}),
        traced=store.attributes["traced"],
        fingerprint=store.attributes["fingerprint"],
    )
