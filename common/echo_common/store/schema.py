"""The store's schema `echo-store/1`: names, codes and paths that both sides agree on.

`cache/README.md` describes the same for readers in other languages; a change
here is a change there, and of the schema's number.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

SCHEMA = "echo-store/1"

METHODS = ("chords", "convexhull", "centroid", "simplesort")
"""How traced points become one polygon; the first is taken where a store holds several."""

IDENTITIES = ("anatomical", "angle", "uniform", "optimal")
"""How landmarks are chosen; the first is taken where a store holds several."""

FALLOFFS = ("gaussian", "euclidean")
"""How a heatmap fades from its landmark."""

PHASES = ("ED", "ES", "unknown")
"""Codes of `index/phase`: end-diastole, end-systole, not told by the tracings."""

SPLITS = ("TRAIN", "VAL", "TEST")
"""Codes of `index/split`, and the names in FileList.csv."""

STATUSES = ("ok", "missing", "refused", "unreadable", "beyond-end", "wrong-size")
"""Codes of `index/status`; a row whose status is not 0 is zero-filled and skipped."""

HEATMAP_SCALE = 1 / 255
"""A stored heatmap times this is in [0, 1]."""

FRAMES = "frames"
STATUS = "index/status"
LONG_AXIS = "tracing/long_axis"
CONTOUR = "tracing/contour"

MANIFEST = "manifest.json"
"""In a Zarr store, the file beside each array's metadata that makes the array count."""

MANIFESTS = "manifests"
"""In an HDF5 store, the group of the manifests, each at its array's path."""

ROOT = "manifests/root"
"""In an HDF5 store, the dataset that holds the root's attributes as JSON."""

HDF5_SUFFIXES = (".h5", ".hdf5")
"""A store whose name ends in one of these is an HDF5 file; any other is a Zarr folder."""


def is_hdf5(store: Path) -> bool:
    """Whether a store's name says that it is an HDF5 file."""
    return store.suffix.lower() in HDF5_SUFFIXES


def chunk_name(number: int, dimensions: int) -> str:
    """Name of the chunk of rows `number` in an array of so many dimensions: ``c.3.0.0``."""
    return ".".join(["c", str(number), *["0"] * (dimensions - 1)])


def chunk_number(name: str) -> int:
    """Which rows a chunk of this name holds; the reverse of `chunk_name`."""
    return int(name.split(".")[1])


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArraySpec:
    """One array of a store, as it is declared in its metadata.

    Attributes
    ----------
    path : str
        Path inside the store.
    shape : tuple of int
    dtype : str
        NumPy's name of the type, or ``str``.
    dimensions : tuple of str
        Name of each axis.
    attributes : dict
        For people and for other readers: units, codes, scale.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    dimensions: tuple[str, ...]
    attributes: dict[str, Any] = dataclasses.field(default_factory=dict)


def mask_path(method: str) -> str:
    """Path of the mask array of a method."""
    return f"masks/{method}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class LandmarkSet:
    """Which landmarks: on which contour, chosen how, and how many.

    Attributes
    ----------
    method : str
        One of `METHODS`.
    identity : str
        One of `IDENTITIES`.
    count : int
        Number of landmarks, at least 3.
    """

    method: str
    identity: str
    count: int

    @property
    def group(self) -> str:
        """Path of the set's group."""
        return f"landmarks/{self.method}/{self.identity}-{self.count}"

    @property
    def points(self) -> str:
        """Path of the set's points, float32 (frame, landmark, xy)."""
        return f"{self.group}/points"

    def heatmap(self, falloff: str) -> str:
        """Path of the set's heatmaps, uint8 (frame, landmark, y, x)."""
        return f"{self.group}/{falloff}"


CHUNK_FRAMES = 128
"""Rows a chunk: large enough to read at memory speed, small enough to share work by."""
