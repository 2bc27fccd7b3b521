"""Which stages a build has to provide, and which parts of each are missing from the store."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from echo_common.store import schema
from echo_prep.build.stages import (
    Stage,
    frames_stage,
    heatmap_stage,
    mask_stage,
    points_stage,
    restore_stage,
)
from echo_prep.dataset.echonet_dynamic import video_folder
from echo_prep.dataset.file_names import SUFFIX, VideoFolder
from echo_prep.dataset.video import file_size
from echo_prep.settings import BuildSettings
from echo_prep.store.integrity import Fault, StoreState, array_faults
from echo_prep.store.verify import read_damage_list


@dataclasses.dataclass(frozen=True, kw_only=True)
class MissingParts:
    """The parts of one stage that a store lacks.

    Attributes
    ----------
    stage : Stage
    chunks : frozenset of int
        Numbers of the chunks to make, in all arrays of the stage.
    whole_stage : bool
        Whether the store has nothing of the stage that can be kept.
    metadata : frozenset of str
        Arrays whose metadata has to be written again.
    surplus : dict of str to tuple of str
        By array, chunks that do not belong to it.
    """

    stage: Stage
    chunks: frozenset[int]
    whole_stage: bool = False
    metadata: frozenset[str] = frozenset()
    surplus: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.chunks or self.whole_stage or self.metadata or self.surplus)


def requested_stages(settings: BuildSettings, index: Stage, state: StoreState) -> list[Stage]:
    """Stages that the settings request and, unless pruned, those that the store has already.

    The stages that the store has are part of every build, so that none becomes
    stale while others are updated.
    """
    stages = {stage.name: stage for stage in (index, frames_stage(index))}
    for parameters in () if settings.prune else state.stage_parameters():
        if parameters.get("method") in settings.method:
            # All stages of a method in a store are made from the same coordinates.
            parameters = {**parameters, "truncate": settings.truncate}
        restored = restore_stage(index, parameters)
        if restored is not None:
            stages[restored.name] = restored
    for method in settings.method:
        requested = [mask_stage(index, method, settings.truncate)]
        for identity in () if settings.masks_only else settings.identity:
            for count in settings.landmarks:
                landmarks = schema.LandmarkSet(method=method, identity=identity, count=count)
                requested.append(points_stage(index, landmarks, settings.truncate))
                requested += [
                    heatmap_stage(index, landmarks, falloff, settings.heatmaps, settings.truncate)
                    for falloff in settings.falloff
                ]
        stages.update({stage.name: stage for stage in requested})
    return sorted(stages.values(), key=lambda stage: stage.order)


def find_missing(
    settings: BuildSettings, stages: list[Stage], state: StoreState
) -> list[MissingParts]:
    """Find what the store lacks of each stage; false if it lacks nothing."""
    damaged = read_damage_list(settings.target())
    return [_missing_parts(settings, stage, state, damaged) for stage in stages]


def _missing_parts(
    settings: BuildSettings, stage: Stage, state: StoreState, damaged: dict[str, set[str]]
) -> MissingParts:
    manifests = [state.manifests.get(array.path) for array in stage.arrays]
    if state.container is None or not all(map(stage.has_manifest, stage.arrays, manifests)):
        return MissingParts(
            stage=stage, chunks=frozenset(range(stage.chunk_count)), whole_stage=True
        )
    faults: list[Fault] = []
    chunks: set[int] = set()
    for array, manifest in zip(stage.arrays, manifests, strict=True):
        assert manifest is not None
        faults += array_faults(
            state.container, array.path, manifest, settings.check, damaged.get(array.path, ())
        )
        chunks |= changed_videos(manifest.chunks, video_folder(settings.data, settings.archive))
    surplus: dict[str, tuple[str, ...]] = {}
    for fault in faults:
        if fault.chunk is None:
            continue
        if fault.state == "surplus":
            surplus[fault.where] = (*surplus.get(fault.where, ()), fault.chunk)
        else:
            chunks.add(schema.chunk_number(fault.chunk))
    return MissingParts(
        stage=stage,
        chunks=frozenset(chunks),
        metadata=frozenset(fault.where for fault in faults if fault.chunk is None),
        surplus=surplus,
    )


def changed_videos(chunks: dict[str, dict[str, Any]], videos: VideoFolder) -> set[int]:
    """Numbers of the chunks with a video whose size has changed.

    A video that is gone does not count: its rows are kept.

    Parameters
    ----------
    chunks : dict of str to dict
        Manifest entries by name of the chunk; sizes of videos are in the notes.
    videos : VideoFolder
    """
    noted = {
        schema.chunk_number(name): chunk["notes"]["sizes"]
        for name, chunk in chunks.items()
        if "sizes" in chunk.get("notes", {})
    }
    if not noted:
        return set()
    sizes_now = _file_sizes(videos.path)
    changed = set()
    for number, sizes in noted.items():
        for name, size in sizes:
            file = name + SUFFIX
            now = sizes_now[file] if file in sizes_now else file_size(videos, name)
            if now is not None and now != size:
                changed.add(number)
    return changed


def _file_sizes(folder: Path) -> dict[str, int]:
    """Sizes of a folder's regular files, in one pass: ten thousand look-ups take a second."""
    try:
        with os.scandir(folder) as entries:
            return {
                entry.name: entry.stat().st_size
                for entry in entries
                if entry.is_file(follow_symlinks=False)
            }
    except OSError:
        return {}
