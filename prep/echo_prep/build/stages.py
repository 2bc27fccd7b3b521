"""The stages of a store: what each is made from, and the key that says whether it is current.

A stage's key is the digest of its inputs' keys, its parameters and its code
version. Raise the version in `_CODE` whenever a stage's result changes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

import numpy as np

from echo_common.store import schema
from echo_common.store.manifest import Manifest
from echo_common.store.schema import CHUNK_FRAMES, ArraySpec
from echo_prep.build.plan import Plan
from echo_prep.geometry.heatmaps import HeatmapSettings

INDEX = "index"

_CODE = {"index": 1, "frames": 1, "mask": 1, "points": 1, "heatmap": 1}

_FRAME_AXES = ("frame", "y", "x")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """A part of the store that is made, and counts, as a whole.

    Attributes
    ----------
    name : str
        Such as ``frames`` or ``masks/chords``.
    kind : str
        ``index``, ``frames``, ``mask``, ``points`` or ``heatmap``.
    parameters : dict
        All that decides the result beside the inputs.
    inputs : dict of str to str
        Key of each stage that it is made from, by stage.
    arrays : tuple of ArraySpec
    """

    name: str
    kind: str
    parameters: dict[str, Any]
    inputs: dict[str, str]
    arrays: tuple[ArraySpec, ...]

    @property
    def key(self) -> str:
        """Digest of inputs, parameters and code version."""
        content = {
            "stage": self.name,
            "code": _CODE[self.kind],
            "chunk": CHUNK_FRAMES,
            "parameters": self.parameters,
            "inputs": self.inputs,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def chunk_count(self) -> int:
        """Number of chunks of each of its arrays."""
        return -(-self.arrays[0].shape[0] // CHUNK_FRAMES)

    def manifest(
        self, chunks: dict[str, dict[str, Any]], versions: dict[str, str], metadata: str = ""
    ) -> Manifest:
        """Manifest of one of its arrays; `publish` fills in a digest that is not known yet."""
        return Manifest(
            stage=self.name,
            key=self.key,
            parameters=self.parameters,
            inputs=self.inputs,
            chunks=chunks,
            versions=versions,
            metadata=metadata,
        )


def index_stage(plan: Plan) -> Stage:
    """Make the stage of the rows: `index/*` and `tracing/*`."""
    parameters = {
        "rows": len(plan),
        "shape": list(plan.shape),
        "points": plan.contour.shape[1],
        "plan": plan.digest(),
    }
    return index_stage_again(parameters)


def index_stage_again(parameters: dict[str, Any]) -> Stage:
    """Make the stage of the rows that a store already has, from its manifest's parameters."""
    rows, points = parameters["rows"], parameters["points"]

    def column(name: str, dtype: str, **attributes: Any) -> ArraySpec:
        return ArraySpec(
            path=f"index/{name}",
            shape=(rows,),
            dtype=dtype,
            dimensions=("frame",),
            attributes=attributes,
        )

    arrays = (
        column("video", "str", description="video name without suffix"),
        column("frame", "int32", description="0-based index into the decoded video"),
        column("phase", "uint8", **_flags(schema.PHASES)),
        column("split", "uint8", **_flags(schema.SPLITS)),
        column("ef", "float32", units="percent", description="ejection fraction"),
        column("edv", "float32", units="ml", description="end-diastolic volume"),
        column("esv", "float32", units="ml", description="end-systolic volume"),
        column("fps", "float32", units="1/s", description="frames a second"),
        ArraySpec(
            path=schema.LONG_AXIS,
            shape=(rows, 2, 2),
            dtype="float32",
            dimensions=("frame", "end", "xy"),
            attributes={"units": "pixel", "description": "apex, middle of the mitral plane"},
        ),
        ArraySpec(
            path=schema.CONTOUR,
            shape=(rows, points, 2),
            dtype="float32",
            dimensions=("frame", "point", "xy"),
            attributes={"units": "pixel", "description": "ordered contour, NaN-padded"},
        ),
    )
    return Stage(name=INDEX, kind="index", parameters=parameters, inputs={}, arrays=arrays)


def frames_stage(index: Stage) -> Stage:
    """Make the stage of the gray frames, and of each row's status."""
    rows, (height, width) = index.parameters["rows"], index.parameters["shape"]
    status = ArraySpec(
        path=schema.STATUS,
        shape=(rows,),
        dtype="uint8",
        dimensions=("frame",),
        attributes=_flags(schema.STATUSES),
    )
    frames = ArraySpec(
        path=schema.FRAMES,
        shape=(rows, height, width),
        dtype="uint8",
        dimensions=_FRAME_AXES,
        attributes={"description": "gray values"},
    )
    inputs = {INDEX: index.key}
    return Stage(
        name="frames", kind="frames", parameters={}, inputs=inputs, arrays=(status, frames)
    )


def mask_stage(index: Stage, method: str, truncate: bool) -> Stage:
    """Make the stage of one method's masks, from coordinates cut to whole pixels or as traced."""
    rows, (height, width) = index.parameters["rows"], index.parameters["shape"]
    masks = ArraySpec(
        path=schema.mask_path(method),
        shape=(rows, height, width),
        dtype="uint8",
        dimensions=_FRAME_AXES,
        attributes=_flags(("background", "left ventricle")),
    )
    return Stage(
        name=masks.path,
        kind="mask",
        parameters={"method": method, "truncate": truncate},
        inputs={INDEX: index.key},
        arrays=(masks,),
    )


def points_stage(index: Stage, landmarks: schema.LandmarkSet, truncate: bool) -> Stage:
    """Make the stage of one landmark set's points, from coordinates cut or as traced."""
    points = ArraySpec(
        path=landmarks.points,
        shape=(index.parameters["rows"], landmarks.count, 2),
        dtype="float32",
        dimensions=("frame", "landmark", "xy"),
        attributes={"units": "pixel"},
    )
    return Stage(
        name=points.path,
        kind="points",
        parameters={**dataclasses.asdict(landmarks), "truncate": truncate},
        inputs={INDEX: index.key},
        arrays=(points,),
    )


def heatmap_stage(
    index: Stage,
    landmarks: schema.LandmarkSet,
    falloff: str,
    settings: HeatmapSettings,
    truncate: bool,
) -> Stage:
    """Make the stage of one landmark set's heatmaps of one falloff."""
    sources = (
        mask_stage(index, landmarks.method, truncate),
        points_stage(index, landmarks, truncate),
    )
    rows, (height, width) = index.parameters["rows"], index.parameters["shape"]
    heatmaps = ArraySpec(
        path=landmarks.heatmap(falloff),
        shape=(rows, landmarks.count, height, width),
        dtype="uint8",
        dimensions=("frame", "landmark", "y", "x"),
        attributes={"scale": schema.HEATMAP_SCALE},
    )
    shape = dataclasses.asdict(settings)
    if falloff == "euclidean":
        # The Euclidean falloff has no sigma: another value of it makes nothing stale.
        del shape["sigma"]
    return Stage(
        name=heatmaps.path,
        kind="heatmap",
        parameters={
            **dataclasses.asdict(landmarks),
            "falloff": falloff,
            **shape,
            "truncate": truncate,
        },
        inputs={source.name: source.key for source in sources},
        arrays=(heatmaps,),
    )


def stage_again(index: Stage, kept: dict[str, Any]) -> Stage | None:
    """Make the stage that a store already has, from its manifest's parameters.

    Parameters
    ----------
    index : Stage
        The index as it is now planned.
    kept : dict
        Parameters of a mask, points or heatmap stage.

    Returns
    -------
    stage : Stage or None
        None where the parameters are those of the index or of the frames.
    """
    truncate = kept.get("truncate", False)
    if "falloff" in kept:
        shape = {
            field.name: kept[field.name]
            for field in dataclasses.fields(HeatmapSettings)
            if field.name in kept
        }
        return heatmap_stage(
            index, landmark_set(kept), kept["falloff"], HeatmapSettings(**shape), truncate
        )
    if "identity" in kept:
        return points_stage(index, landmark_set(kept), truncate)
    return mask_stage(index, kept["method"], truncate) if "method" in kept else None


def landmark_set(parameters: dict[str, Any]) -> schema.LandmarkSet:
    """Read the landmark set that a points or heatmap stage's parameters name."""
    return schema.LandmarkSet(
        method=parameters["method"], identity=parameters["identity"], count=parameters["count"]
    )


def index_columns() -> dict[str, str]:
    """Path of the array in which each of a plan's columns is kept, by name."""
    names = ("video", "frame", "phase", "split", "ef", "edv", "esv", "fps")
    columns = {name: f"index/{name}" for name in names}
    return {**columns, "long_axis": schema.LONG_AXIS, "contour": schema.CONTOUR}


def index_content(plan: Plan) -> dict[str, np.ndarray]:
    """Content of the index stage's arrays, by path."""
    return {path: getattr(plan, name) for name, path in index_columns().items()}


def _flags(names: tuple[str, ...]) -> dict[str, Any]:
    # Codes with their meanings, as the CF conventions of netCDF write them; xarray users know it.
    return {
        "flag_values": list(range(len(names))),
        "flag_meanings": " ".join(name.replace(" ", "_") for name in names),
    }
