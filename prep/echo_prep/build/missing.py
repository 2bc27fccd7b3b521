"""Which stages a build has to provide, and which parts of each are missing from the store."""

from __future__ import annotations

import dataclasses

from echo_common.errors import SettingsError
from echo_common.store import schema
from echo_prep.build.stages import (
    Stage,
    frames_stage,
    heatmap_stage,
    mask_stage,
    points_stage,
    restore_stage,
)
from echo_prep.build.video_changes import VideoRecord
from echo_prep.layouts.layout import Layout
from echo_prep.settings import BuildSettings
from echo_prep.store.integrity import Fault, StoreState, array_faults
from echo_prep.store.verify import read_damage_list


@dataclasses.dataclass(frozen=True, kw_only=True)
class MissingParts:
    """The parts of one stage that a store lacks.

    Attributes
    ----------
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


def requested_stages(
    settings: BuildSettings, layout: Layout, index: Stage, state: StoreState
) -> list[Stage]:
    """Stages that the settings request and, unless pruned, those that the store has already.

    The stages that the store has are part of every build, so that none becomes
    stale while others are updated.
    """
    methods = settings.method or layout.methods
    height, width = index.parameters["shape"]
    heatmaps = settings.heatmaps.scaled((height, width))
    if schema.ANNOTATED in methods and schema.ANNOTATED not in layout.methods:
        raise SettingsError(
            f"--method {schema.ANNOTATED} needs an archive with masks of its own, and "
            f"{settings.data} has the layout {layout.name}"
        )
    stages = {stage.name: stage for stage in (index, frames_stage(index))}
    if schema.ANNOTATED in layout.methods:
        # An archive's own masks are kept, whatever else is made of them.
        annotated = mask_stage(index, schema.ANNOTATED, settings.truncate)
        stages[annotated.name] = annotated
    for parameters in () if settings.prune else state.stage_parameters():
        if parameters.get("method") in methods:
            # All stages of a method in a store are made from the same coordinates.
            parameters = {**parameters, "truncate": settings.truncate}
        restored = restore_stage(index, parameters)
        if restored is not None:
            stages[restored.name] = restored
    for method in methods:
        requested = [mask_stage(index, method, settings.truncate)]
        for identity in () if settings.masks_only else settings.identity:
            for count in settings.landmarks:
                landmarks = schema.LandmarkSet(method=method, identity=identity, count=count)
                requested.append(points_stage(index, landmarks, settings.truncate))
                requested += [
                    heatmap_stage(index, landmarks, falloff, heatmaps, settings.truncate)
                    for falloff in settings.falloff
                ]
        stages.update({stage.name: stage for stage in requested})
    return sorted(stages.values(), key=lambda stage: stage.order)


def find_missing(
    settings: BuildSettings, stages: list[Stage], state: StoreState, record: VideoRecord
) -> list[MissingParts]:
    """Find what the store lacks of each stage; false if it lacks nothing."""
    damaged = read_damage_list(settings.target())
    return [_missing_parts(settings, stage, state, damaged, record) for stage in stages]


def _missing_parts(
    settings: BuildSettings,
    stage: Stage,
    state: StoreState,
    damaged: dict[str, set[str]],
    record: VideoRecord,
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
    if stage.kind == "frames":
        chunks |= record.changed_chunks(settings.target(), state.manifests, settings.check)
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
