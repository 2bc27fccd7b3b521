"""The schema `echo-store/1`: names, codes and paths that preparation and training share.

`cache/README.md` describes the same for readers in other languages. A change
here changes that page and the number of the schema.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any, NamedTuple

SCHEMA = "echo-store/1"

ANNOTATED = "annotated"
"""The method that takes the archive's own masks."""

METHODS = ("chords", "exact", ANNOTATED, "convexhull", "centroid", "simplesort")
"""How traced points become one polygon; the first is the default if a store has several."""

IDENTITIES = ("anatomical", "angle", "uniform", "optimal")
"""How landmarks are chosen; the first is the default if a store has several."""

FALLOFFS = ("gaussian", "euclidean")
"""How a heatmap fades from its landmark."""

GAUSSIANS = ("cut", "whole")
"""Where a Gaussian heatmap ends: at the pixel expansion, or at four standard deviations. Stores
without this parameter have the first."""

PHASES = ("ED", "ES", "unknown")
"""Codes of `index/phase`: end-diastole, end-systole, not determined by the tracings."""

SPLITS = ("TRAIN", "VAL", "TEST")
"""Codes of `index/split`, and the names in FileList.csv."""

STATUSES = ("ok", "missing", "refused", "unreadable", "beyond-end", "wrong-size")
"""Codes of `index/status`; a row whose status is not 0 is zero-filled and skipped."""

HEATMAP_SCALE = 1 / 255
"""A stored heatmap times this is in [0, 1]."""

FRAMES = "frames"
STATUS = "index/status"
VIDEO, FRAME, VIEW = "index/video", "index/frame", "index/view"
SCALE, SOURCE_SHAPE = "index/scale", "index/source_shape"
SOURCE_SPACING = "index/source_spacing"
LONG_AXIS = "tracing/long_axis"
CONTOUR = "tracing/contour"

MANIFEST = "manifest.json"
"""In a Zarr store, the manifest in each array's folder; without it the array does not count."""

MANIFESTS = "manifests"
"""In an HDF5 store, the group of the manifests, each at its array's path."""

ROOT = "manifests/root"
"""In an HDF5 store, the dataset that holds the root's attributes as JSON."""

CHUNK_FRAMES = 128
"""Rows per chunk: enough to read at the speed of memory, few enough to share among workers."""

LANDMARK_COUNTS = range(3, 43)
"""Numbers of landmarks that a set may have."""

HDF5_SUFFIXES = (".h5", ".hdf5")
"""A store whose name ends in one of these is an HDF5 file; any other is a Zarr folder."""


def is_hdf5(store: Path) -> bool:
    """Whether a store is an HDF5 file by its name."""
    return store.suffix.lower() in HDF5_SUFFIXES


def chunk_name(number: int, dimensions: int) -> str:
    """Name of a chunk of rows in an array of a number of dimensions, such as ``c.3.0.0``."""
    return ".".join(["c", str(number), *["0"] * (dimensions - 1)])


def chunk_number(name: str) -> int:
    """Number of a chunk from its name; the reverse of `chunk_name`."""
    return int(name.split(".")[1])


_CHUNK = re.compile(r"c\.(0|[1-9][0-9]{0,9})(\.0){0,4}", re.ASCII)
_COLUMN = re.compile(r"(index|tracing)/[a-z][a-z0-9_]{0,60}", re.ASCII)


def is_chunk_name(name: str) -> bool:
    """Whether `chunk_name` can give a name."""
    return _CHUNK.fullmatch(name) is not None


def is_array_path(path: str) -> bool:
    """Whether a path is that of an array that the schema can have.

    A path from a file is joined to a folder only after this check, so it never
    leads out of the store.
    """
    top, _, rest = path.partition("/")
    if top == "masks":
        return rest in METHODS
    if top == "landmarks":
        return landmark_set_of(path) is not None
    return path == FRAMES or _COLUMN.fullmatch(path) is not None


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArraySpec:
    """Declaration of an array of a store.

    Attributes
    ----------
    path : str
        Path inside the store.
    dtype : str
        NumPy's name of the type, or ``str``.
    dimensions : tuple of str
        Name of each axis.
    attributes : dict
        Units, codes, scale and description, for people and other readers.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    dimensions: tuple[str, ...]
    attributes: dict[str, Any] = dataclasses.field(default_factory=dict)


class Column(NamedTuple):
    """Declaration of a column: type and attributes of its array, and names of its axes."""

    dtype: str
    attributes: dict[str, Any]
    dimensions: str = "frame"


def flags(names: tuple[str, ...]) -> dict[str, Any]:
    """Attributes of codes and their meanings, as in the CF conventions of netCDF."""
    return {
        "flag_values": list(range(len(names))),
        "flag_meanings": " ".join(name.replace(" ", "_") for name in names),
    }


COLUMNS = {
    VIDEO: Column("str", {"description": "video name without suffix"}),
    FRAME: Column("int32", {"description": "0-based index into the decoded video"}),
    "index/phase": Column("uint8", flags(PHASES)),
    "index/split": Column("uint8", flags(SPLITS)),
    "index/ef": Column("float32", {"units": "percent", "description": "ejection fraction"}),
    "index/edv": Column("float32", {"units": "ml", "description": "end-diastolic volume"}),
    "index/esv": Column("float32", {"units": "ml", "description": "end-systolic volume"}),
    "index/fps": Column("float32", {"units": "1/s", "description": "frames a second"}),
    LONG_AXIS: Column(
        "float32",
        {"units": "pixel", "description": "apex, middle of the mitral plane"},
        "frame end xy",
    ),
    CONTOUR: Column(
        "float32",
        {"units": "pixel", "description": "ordered contour, NaN-padded"},
        "frame point xy",
    ),
}
"""Columns of every store, by the path of the array that contains each. Their order is that of the
digest of all rows, on which the key of each stage depends."""

SCALED = {
    SCALE: Column("float32", {"description": "pixels here for each of the video's"}),
    SOURCE_SHAPE: Column(
        "int32",
        {"units": "pixel", "description": "height and width of the video's frames"},
        "frame yx",
    ),
}
"""Columns of a store whose frames are scaled."""

OPTIONAL = {
    "index/patient": Column("str", {"description": "the archive's name of the patient"}),
    VIEW: Column("str", {"description": "the archive's name of the view"}),
    "index/quality": Column("str", {"description": "image quality, in the archive's words"}),
    "index/fold": Column("uint8", {"description": "the archive's fold; 255 for none"}),
    "index/spacing": Column("float32", {"units": "mm", "description": "side of a pixel"}),
    SOURCE_SPACING: Column(
        "float32",
        {"units": "mm", "description": "height and width of a pixel of the archive's frame"},
        "frame yx",
    ),
}
"""Columns that only some archives have."""


def gaussian_reach(sigma: float) -> float:
    """Pixels from a landmark to the end of its whole Gaussian, along each axis.

    Four standard deviations, rounded, as in `skimage.filters.gaussian`; at least the next pixel.
    """
    return float(max(1, int(4 * sigma + 0.5)))


def mask_path(method: str) -> str:
    """Path of the mask array of a method."""
    return f"masks/{method}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class LandmarkSet:
    """A choice of landmarks: of `METHODS`, of `IDENTITIES`, and how many, at least 3."""

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


_LANDMARKS = re.compile(
    rf"landmarks/({'|'.join(METHODS)})/({'|'.join(IDENTITIES)})-([1-9][0-9]?)/"
    rf"(points|{'|'.join(FALLOFFS)})"
)


def landmark_set_of(path: str) -> LandmarkSet | None:
    """Landmark set that an array of points or heatmaps belongs to; None for any other path."""
    found = _LANDMARKS.fullmatch(path)
    if found is None or int(found[3]) not in LANDMARK_COUNTS:
        return None
    return LandmarkSet(method=found[1], identity=found[2], count=int(found[3]))


def is_short_axis(view: str) -> bool:
    """Whether a view of the column `index/view` has no apex and no mitral plane."""
    return view.upper().startswith("PSAX")
