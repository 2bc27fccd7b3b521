"""The stages of a store: the arrays of each, its inputs, and the key that shows if it is stale.

A stage's key is the digest of the keys of its inputs, its parameters and its
code version. Raise the version in `_CODE` when the result of a stage changes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

from echo_common.store import schema
from echo_common.store.manifest import Manifest
from echo_common.store.schema import CHUNK_FRAMES, ArraySpec
from echo_prep.build.plan import Plan
from echo_prep.geometry.settings import HeatmapSettings

INDEX = "index"

_CODE = {"index": 1, "frames": 1, "mask": 1, "points": 1, "heatmap": 1}
"""Code version of each kind of stage, in the order in which a build makes them."""

_FRAME_AXES = ("frame", "y", "x")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """A part of the store that is complete or missing as a whole.

    Attributes
    ----------
    name : str
        Such as ``frames`` or ``masks/chords``.
    kind : str
        ``index``, ``frames``, ``mask``, ``points`` or ``heatmap``.
    parameters : dict
        Everything that determines the result besides the inputs.
    inputs : dict of str to str
        Key of each stage that it is made from, by name of the stage.
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
    def order(self) -> tuple[int, str]:
        """Position of the stage in a build."""
        return list(_CODE).index(self.kind), self.name

    @property
    def chunk_count(self) -> int:
        """Number of chunks of each of its arrays."""
        return -(-self.arrays[0].shape[0] // CHUNK_FRAMES)

    def manifest(
        self, chunks: dict[str, dict[str, Any]], versions: dict[str, str], metadata: str = ""
    ) -> Manifest:
        """Manifest of one of its arrays; `publish` adds the digest of new metadata."""
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
    """Stage of the rows: `index/*` and `tracing/*`."""
    parameters = {
        "rows": len(plan),
        "shape": list(plan.shape),
        "points": plan.contour.shape[1],
        "plan": plan.digest(),
    }
    return restore_index_stage(parameters)


def restore_index_stage(parameters: dict[str, Any]) -> Stage:
    """Stage of the rows of an existing store, from the parameters in its manifests."""
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
    """Stage of the gray frames and the status of each row."""
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
    """Stage of the masks of a method, from coordinates truncated to whole pixels or as traced."""
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
    """Stage of the points of a landmark set, from truncated coordinates or as traced."""
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
    """Stage of the heatmaps of a landmark set and a falloff."""
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
        # The Euclidean falloff has no sigma, so another value makes nothing stale.
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


def restore_stage(index: Stage, stored: dict[str, Any]) -> Stage | None:
    """Stage of an existing store, from the parameters in its manifests.

    Parameters
    ----------
    index : Stage
        The index stage of the build.
    stored : dict
        Parameters of a mask, points or heatmap stage.

    Returns
    -------
    stage : Stage or None
        None for the parameters of the index and of the frames.
    """
    truncate = stored.get("truncate", False)
    if "falloff" in stored:
        shape = {
            field.name: stored[field.name]
            for field in dataclasses.fields(HeatmapSettings)
            if field.name in stored
        }
        return heatmap_stage(
            index, landmark_set(stored), stored["falloff"], HeatmapSettings(**shape), truncate
        )
    if "identity" in stored:
        return points_stage(index, landmark_set(stored), truncate)
    return mask_stage(index, stored["method"], truncate) if "method" in stored else None


def landmark_set(parameters: dict[str, Any]) -> schema.LandmarkSet:
    """Landmark set of a points or heatmap stage, from its parameters."""
    return schema.LandmarkSet(
        method=parameters["method"], identity=parameters["identity"], count=parameters["count"]
    )


def _flags(names: tuple[str, ...]) -> dict[str, Any]:
    # Codes and their meanings, as in the CF conventions of netCDF.
    return {
        "flag_values": list(range(len(names))),
        "flag_meanings": " ".join(name.replace(" ", "_") for name in names),
    }
