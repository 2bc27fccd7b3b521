"""The stages of a store: the arrays of each, its inputs, and the key that shows if it is stale.

A stage's key is the digest of the keys of its inputs, its parameters and its
code version. Raise the version in `_CODE` when the result of a stage changes,
or that in `_CHANGED` if it changes for one method or identity only.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from typing import Any

from echo_common.cli.settings import from_table
from echo_common.errors import SettingsError
from echo_common.store import schema
from echo_common.store.manifest import Manifest
from echo_common.store.schema import CHUNK_FRAMES, ArraySpec, chunk_name
from echo_prep.build.plan import Plan
from echo_prep.geometry.settings import HeatmapSettings

INDEX = "index"

_CODE = {"index": 1, "frames": 1, "mask": 1, "points": 1, "heatmap": 1}
"""Code version of each kind of stage, in the order in which a build makes them."""

_CHANGED = {("mask", "simplesort"): 2, ("points", "angle"): 2}
"""Code versions of the masks of a method, and of the points of an identity, that changed alone."""


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
    """

    name: str
    kind: str
    parameters: dict[str, Any]
    inputs: dict[str, str]
    arrays: tuple[ArraySpec, ...]

    @property
    def key(self) -> str:
        """Digest of inputs, parameters and code version."""
        choice = self.parameters.get("identity", self.parameters.get("method", ""))
        content = {
            "stage": self.name,
            "code": _CHANGED.get((self.kind, choice), _CODE[self.kind]),
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

    def has_manifest(self, array: ArraySpec, manifest: Manifest | None) -> bool:
        """Whether a manifest of a store is that of one of its arrays, with all of its chunks."""
        if manifest is None or manifest.key != self.key:
            return False
        names = {chunk_name(number, len(array.shape)) for number in range(len(manifest.chunks))}
        rows = [failure[0] for failure in manifest.notes.get("failures", ())]
        return (
            len(manifest.chunks) == self.chunk_count
            and manifest.chunks.keys() == names
            and all(row < array.shape[0] for row in rows)
        )


def index_stage(plan: Plan) -> Stage:
    """Stage of the rows: `index/*` and `tracing/*`."""
    parameters: dict[str, Any] = {
        "rows": len(plan),
        "shape": list(plan.shape),
        "points": plan.columns[schema.CONTOUR].shape[1],
        "plan": plan.digest(),
    }
    if schema.SCALE in plan.columns:
        parameters["scaled"] = True
    if optional := sorted(plan.columns.keys() & schema.OPTIONAL.keys()):
        parameters["optional"] = optional
    if "annotations" in plan.fingerprint:
        # Masks of the archive, which may change where their outlines do not.
        parameters["annotations"] = plan.fingerprint["annotations"]
    return restore_index_stage(parameters)


def is_index_parameters(parameters: dict[str, Any]) -> bool:
    """Whether parameters from a store's manifest can be those of an index stage."""
    shape = parameters.get("shape")
    if not isinstance(shape, list) or len(shape) != 2:
        return False
    optional = parameters.get("optional", [])
    if not isinstance(optional, list) or not all(
        isinstance(column, str) and column in schema.OPTIONAL for column in optional
    ):
        return False
    sizes = (parameters.get("rows"), parameters.get("points"), *shape)
    return all(type(size) is int and size > 0 for size in sizes)


def restore_index_stage(parameters: dict[str, Any]) -> Stage:
    """Stage of the rows of an existing store, from the parameters in its manifests."""
    arrays = _index_arrays(parameters)
    return Stage(name=INDEX, kind="index", parameters=parameters, inputs={}, arrays=arrays)


def frames_stage(index: Stage) -> Stage:
    """Stage of the gray frames and the status of each row."""
    rows, shape = index.parameters["rows"], index.parameters["shape"]
    status = _array_spec(schema.STATUS, (rows,), "frame", **schema.flags(schema.STATUSES))
    frames = _array_spec(schema.FRAMES, (rows, *shape), "frame y x", description="gray values")
    return _stage("frames", {}, (index,), status, frames)


def mask_stage(index: Stage, method: str, truncate: bool) -> Stage:
    """Stage of the masks of a method, from coordinates truncated to whole pixels or as traced."""
    shape = (index.parameters["rows"], *index.parameters["shape"])
    codes = schema.flags(("background", "left ventricle"))
    masks = _array_spec(schema.mask_path(method), shape, "frame y x", **codes)
    return _stage("mask", {"method": method, "truncate": truncate}, (index,), masks)


def points_stage(index: Stage, landmarks: schema.LandmarkSet, truncate: bool) -> Stage:
    """Stage of the points of a landmark set, from truncated coordinates or as traced."""
    shape = (index.parameters["rows"], landmarks.count, 2)
    points = _array_spec(landmarks.points, shape, "frame landmark xy", "float32", units="pixel")
    parameters = {**dataclasses.asdict(landmarks), "truncate": truncate}
    return _stage("points", parameters, (index,), points)


def heatmap_stage(
    index: Stage,
    landmarks: schema.LandmarkSet,
    falloff: str,
    settings: HeatmapSettings,
    truncate: bool,
) -> Stage:
    """Stage of the heatmaps of a landmark set and a falloff."""
    inputs = (
        mask_stage(index, landmarks.method, truncate),
        points_stage(index, landmarks, truncate),
    )
    parameters = {
        **dataclasses.asdict(landmarks),
        "falloff": falloff,
        **dataclasses.asdict(settings),
        "truncate": truncate,
    }
    if falloff == "euclidean":
        # The Euclidean falloff has no sigma, so another value makes nothing stale.
        del parameters["sigma"]
    if falloff == "euclidean" or settings.gaussian == schema.GAUSSIANS[0]:
        # Stores that were built before there was a choice lack the parameter.
        del parameters["gaussian"]
    heatmaps = _array_spec(
        landmarks.heatmap(falloff),
        (index.parameters["rows"], landmarks.count, *index.parameters["shape"]),
        "frame landmark y x",
        scale=schema.HEATMAP_SCALE,
    )
    return _stage("heatmap", parameters, inputs, heatmaps)


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
        None for the parameters of the index and of the frames, and for those
        that no build can have written.
    """
    method, truncate = stored.get("method"), stored.get("truncate", False)
    if method not in schema.METHODS or type(truncate) is not bool:
        return None
    if "identity" not in stored:
        return mask_stage(index, method, truncate)
    landmarks = schema.LandmarkSet(
        method=method, identity=stored["identity"], count=stored.get("count", 0)
    )
    if schema.landmark_set_of(landmarks.points) != landmarks:
        return None
    if "falloff" not in stored:
        return points_stage(index, landmarks, truncate)
    names = [field.name for field in dataclasses.fields(HeatmapSettings)]
    try:
        shape = from_table(
            HeatmapSettings, {name: stored[name] for name in names if name in stored}, "the store"
        )
    except SettingsError:
        return None
    if stored["falloff"] not in schema.FALLOFFS:
        return None
    return heatmap_stage(index, landmarks, stored["falloff"], shape, truncate)


def _stage(
    kind: str, parameters: dict[str, Any], inputs: tuple[Stage, ...], *arrays: ArraySpec
) -> Stage:
    # Named after its array; of the frames and their status, after the frames.
    return Stage(
        name=arrays[-1].path,
        kind=kind,
        parameters=parameters,
        inputs={stage.name: stage.key for stage in inputs},
        arrays=arrays,
    )


def _index_arrays(parameters: dict[str, Any]) -> tuple[ArraySpec, ...]:
    """Arrays of the rows, `index/*` and `tracing/*`, from the parameters of the index stage."""
    columns = schema.COLUMNS | (schema.SCALED if parameters.get("scaled") else {})
    columns |= {path: schema.OPTIONAL[path] for path in parameters.get("optional", ())}
    sizes = {"frame": parameters["rows"], "point": parameters["points"]}
    return tuple(
        _array_spec(
            path,
            tuple(sizes.get(axis, 2) for axis in column.dimensions.split()),
            column.dimensions,
            column.dtype,
            **column.attributes,
        )
        for path, column in columns.items()
    )


def _array_spec(
    path: str, shape: tuple[int, ...], dimensions: str, dtype: str = "uint8", **attributes: Any
) -> ArraySpec:
    """Describe an array; ``dimensions`` are separated by spaces."""
    return ArraySpec(
        path=path,
        shape=shape,
        dtype=dtype,
        dimensions=tuple(dimensions.split()),
        attributes=attributes,
    )
