"""Seeing in a second that a store is already what a build would make.

The two CSV files are read as bytes alone: where they are those that the store
was made from, the store's own list of rows and of what was left out holds.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from echo_common.errors import EchoError
from echo_common.store import schema
from echo_common.store.reader import EchoStore
from echo_prep.build.missing import find_needs, wanted_stages
from echo_prep.build.plan import Plan, make_plan
from echo_prep.build.stages import INDEX, index_columns, index_stage, index_stage_again
from echo_prep.dataset.echonet_dynamic import fingerprint, read_dataset
from echo_prep.dataset.rejects import Reject, frame_rejects
from echo_prep.settings import BuildSettings
from echo_prep.store.delivery import list_stages
from echo_prep.store.integrity import Survey, group_faults, survey
from echo_prep.store.verify import mark_path
from echo_prep.store.work_folder import work_path


@dataclasses.dataclass(frozen=True, kw_only=True)
class Current:
    """What stands in a store that needs nothing.

    Attributes
    ----------
    stages : tuple of str
    rows : int
        Rows that can be used.
    videos : int
        Videos that these are from.
    traced : int
        Traces in the data set, sound or not.
    rejects : tuple of Reject
    """

    stages: tuple[str, ...]
    rows: int
    videos: int
    traced: int
    rejects: tuple[Reject, ...]


def find_current(settings: BuildSettings) -> Current | None:
    """Say what a store holds if a build has nothing to do; None where it may have.

    Raises
    ------
    StoreError
        If something is at the store's path that is no store.
    """
    store = settings.target()
    held = survey(store)
    if not held.attributes or work_path(store).exists() or mark_path(store).exists():
        return None
    try:
        if held.attributes.get("fingerprint") != fingerprint(settings.data):
            return None
    except OSError:
        return None
    stages = _stages(settings, held)
    if stages is None:
        return None
    try:
        return _sum_up(EchoStore(store), stages)
    except (EchoError, KeyError, TypeError):
        # Whatever is wrong with it, the build sees it again, and mends it.
        return None


def _stages(settings: BuildSettings, held: Survey) -> tuple[str, ...] | None:
    """Names of the stages, where each is current and there is nothing else."""
    index = next((one for one in held.manifests.values() if one.stage == INDEX), None)
    if index is None or index_stage_again(index.parameters).key != index.key:
        return None
    stages = wanted_stages(settings, index_stage_again(index.parameters), held)
    arrays = {array.path for stage in stages for array in stage.arrays}
    if arrays != set(held.arrays) or list_stages(held.manifests) != held.attributes["stages"]:
        return None
    if held.container is None or group_faults(held.container, arrays):
        return None
    if any(need.changes for need in find_needs(settings, stages, held)):
        return None
    return tuple(stage.name for stage in stages)


def _sum_up(store: EchoStore, stages: tuple[str, ...]) -> Current:
    video, frame = store.read("index/video"), store.read("index/frame")
    sound = store.read(schema.STATUS) == 0
    rejects = tuple(Reject(**reject) for reject in store.attributes["rejects"])
    return Current(
        stages=stages,
        rows=int(sound.sum()),
        videos=len(set(video[sound])),
        traced=store.attributes["traced"],
        rejects=rejects + frame_rejects(video, frame, store.manifests[schema.STATUS]),
    )


def find_plan(settings: BuildSettings, held: Survey) -> Plan:
    """Fix the rows of a store.

    To read and check both CSV files takes longer than to make another
    method's masks, so where a store was made from these very files its own
    rows are taken.

    Parameters
    ----------
    settings : BuildSettings
    held : Survey
        What stands at the store's path.

    Raises
    ------
    DataNotFoundError, DataError
        As of `echo_prep.dataset.echonet_dynamic.read_dataset` and `echo_prep.build.plan.make_plan`.
    """
    return _stored_plan(settings, held) or make_plan(read_dataset(settings.data))


def _stored_plan(settings: BuildSettings, held: Survey) -> Plan | None:
    index = next((one for one in held.manifests.values() if one.stage == INDEX), None)
    try:
        if index is None or held.attributes.get("fingerprint") != fingerprint(settings.data):
            return None
        plan = _read_plan(EchoStore(settings.target()), tuple(index.parameters["shape"]))
    except (OSError, EchoError, KeyError, TypeError):
        # Whatever is wrong with it, the files say it again.
        return None
    # The key holds a digest of all rows, and the version of the code that fixed them.
    return plan if index_stage(plan).key == index.key else None


def _read_plan(store: EchoStore, shape: tuple[int, int]) -> Plan:
    columns = {name: store.read(path) for name, path in index_columns().items()}
    columns["video"] = np.array([str(name) for name in columns["video"]], dtype=object)
    return Plan(
        **columns,
        shape=shape,
        rejects=tuple(Reject(**reject) for reject in store.attributes["rejects"]),
        traced=store.attributes["traced"],
        fingerprint=store.attributes["fingerprint"],
    )
