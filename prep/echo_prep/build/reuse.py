"""Seeing in a second that a store is already what a build would make.

The two CSV files are read as bytes alone: where they are those that the store
was made from, the store's own list of rows and of what was left out holds.
"""

from __future__ import annotations

import dataclasses

from echo_common.errors import EchoError
from echo_common.store import schema
from echo_common.store.reader import EchoStore
from echo_prep.build.missing import find_needs, wanted_stages
from echo_prep.build.stages import INDEX, index_stage_again
from echo_prep.dataset.echonet_dynamic import fingerprint
from echo_prep.dataset.rejects import Reject, frame_rejects
from echo_prep.settings import BuildSettings
from echo_prep.store.integrity import Survey, group_faults, survey
from echo_prep.store.mark import mark_path
from echo_prep.store.publish import list_stages
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
