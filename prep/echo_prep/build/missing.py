"""What a build has to make: the stages that are asked for, and what the store lacks of each."""

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
    stage_again,
)
from echo_prep.dataset.echonet_dynamic import video_folder
from echo_prep.dataset.file_names import SUFFIX, VideoFolder
from echo_prep.dataset.video import file_size
from echo_prep.settings import BuildSettings
from echo_prep.store.integrity import Fault, Survey, array_faults
from echo_prep.store.verify import read_mark

_KINDS = ("index", "frames", "mask", "points", "heatmap")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Need:
    """What a store lacks of one stage.

    Attributes
    ----------
    stage : Stage
    numbers : frozenset of int
        Chunks that have to be made.
    fresh : bool
        Whether the store has nothing of the stage that counts.
    metadata : frozenset of str
        Arrays whose declaration has to be written anew.
    surplus : dict of str to tuple of str
        By array, chunks that do not belong to it.
    """

    stage: Stage
    numbers: frozenset[int]
    fresh: bool = False
    metadata: frozenset[str] = frozenset()
    surplus: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.numbers or self.fresh or self.metadata or self.surplus)


def wanted_stages(settings: BuildSettings, index: Stage, held: Survey) -> list[Stage]:
    """What is asked for and, unless pruned, what the store has: it never goes stale in part."""
    stages = {stage.name: stage for stage in (index, frames_stage(index))}
    for parameters in () if settings.prune else held.parameters():
        if parameters.get("method") in settings.method:
            # A method's masks, points and heatmaps in a store are all from the same coordinates.
            parameters = {**parameters, "truncate": settings.truncate}
        again = stage_again(index, parameters)
        if again is not None:
            stages[again.name] = again
    for method in settings.method:
        asked = [mask_stage(index, method, settings.truncate)]
        for identity in () if settings.masks_only else settings.identity:
            for count in settings.landmarks:
                one_set = schema.LandmarkSet(method=method, identity=identity, count=count)
                asked.append(points_stage(index, one_set, settings.truncate))
                asked += [
                    heatmap_stage(index, one_set, falloff, settings.heatmaps(), settings.truncate)
                    for falloff in settings.falloff
                ]
        stages.update({stage.name: stage for stage in asked})
    return sorted(stages.values(), key=lambda stage: (_KINDS.index(stage.kind), stage.name))


def find_needs(settings: BuildSettings, stages: list[Stage], held: Survey) -> list[Need]:
    """See what the store lacks of each stage; in the stages' order."""
    suspects = read_mark(settings.target())
    return [_need(settings, stage, held, suspects) for stage in stages]


def _need(
    settings: BuildSettings, stage: Stage, held: Survey, suspects: dict[str, set[str]]
) -> Need:
    manifests = [held.manifests.get(array.path) for array in stage.arrays]
    if held.container is None or not all(
        manifest is not None
        and manifest.key == stage.key
        and len(manifest.chunks) == stage.chunk_count
        for manifest in manifests
    ):
        return Need(stage=stage, numbers=frozenset(range(stage.chunk_count)), fresh=True)
    faults: list[Fault] = []
    numbers: set[int] = set()
    for array, manifest in zip(stage.arrays, manifests, strict=True):
        assert manifest is not None
        faults += array_faults(
            held.container, array.path, manifest, settings.check, suspects.get(array.path, ())
        )
        numbers |= changed_videos(manifest.chunks, video_folder(settings.data, settings.archive))
    wrong = [fault for fault in faults if fault.chunk and fault.state != "surplus"]
    numbers |= {schema.chunk_number(str(fault.chunk)) for fault in wrong}
    surplus: dict[str, tuple[str, ...]] = {}
    for fault in faults:
        if fault.state == "surplus":
            surplus[fault.where] = (*surplus.get(fault.where, ()), str(fault.chunk))
    return Need(
        stage=stage,
        numbers=frozenset(numbers),
        metadata=frozenset(fault.where for fault in faults if fault.chunk is None),
        surplus=surplus,
    )


def changed_videos(chunks: dict[str, dict[str, Any]], videos: VideoFolder) -> set[int]:
    """Chunks whose videos have another size now. One that is gone is no reason to lose its rows.

    Parameters
    ----------
    chunks : dict of str to dict
        Manifest entries by the chunk's name, some of them with the noted sizes.
    videos : VideoFolder
    """
    noted = {
        schema.chunk_number(name): chunk["notes"]["sizes"]
        for name, chunk in chunks.items()
        if "sizes" in chunk.get("notes", {})
    }
    if not noted:
        return set()
    now = _plain_sizes(videos.path)
    changed = set()
    for number, sizes in noted.items():
        for name, size in sizes:
            found = now[name + SUFFIX] if name + SUFFIX in now else file_size(videos, name)
            if found is not None and found != size:
                changed.add(number)
    return changed


def _plain_sizes(folder: Path) -> dict[str, int]:
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
