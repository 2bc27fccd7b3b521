"""Columns of a store's rows: those of each archive, and those of some, such as the patient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from echo_common.geometry.letterbox import Letterbox
from echo_common.store import schema
from echo_common.store.schema import ArraySpec, is_short_axis
from echo_prep.dataset.types import Video

SOURCE_SPACING = "index/source_spacing"
"""The column that decides how frames are scaled."""

NO_FOLD = 255
"""Of a video without a fold, in an archive with folds."""

OPTIONAL: dict[str, tuple[str, str, dict[str, Any]]] = {
    "index/patient": ("frame", "str", {"description": "the archive's name of the patient"}),
    "index/view": ("frame", "str", {"description": "the archive's name of the view"}),
    "index/quality": ("frame", "str", {"description": "image quality, in the archive's words"}),
    "index/fold": ("frame", "uint8", {"description": "the archive's fold; 255 for none"}),
    "index/spacing": ("frame", "float32", {"units": "mm", "description": "side of a pixel"}),
    SOURCE_SPACING: (
        "frame yx",
        "float32",
        {"units": "mm", "description": "height and width of a pixel of the archive's frame"},
    ),
}
"""Columns that only some archives have: dimensions, type and attributes by path."""


def optional_columns(
    videos: Sequence[Video], spacing: np.ndarray, boxes: Sequence[Letterbox]
) -> dict[str, np.ndarray]:
    """Columns of what at least one video has, by path.

    Parameters
    ----------
    videos : sequence of Video
        Of each row.
    spacing : ndarray, (row, yx) float32
        Height and width of a pixel of the archive's frame in mm; NaN if not known.
    boxes : sequence of Letterbox
        How the frame of each row is scaled.
    """
    columns: dict[str, np.ndarray] = {}
    for name in ("patient", "view", "quality"):
        words = np.array([getattr(video, name) for video in videos], dtype=object)
        if any(words):
            columns[f"index/{name}"] = words
    folds = [video.fold for video in videos]
    if any(fold is not None for fold in folds):
        columns["index/fold"] = np.array(
            [NO_FOLD if fold is None else fold for fold in folds], dtype=np.uint8
        )
    if np.isfinite(spacing).any():
        shrunk = np.array([np.divide(box.size, box.inner) for box in boxes])
        # Each side has a whole number of pixels; of the two, their mean keeps areas.
        columns["index/spacing"] = np.sqrt((spacing * shrunk).prod(axis=1)).astype(np.float32)
        columns[SOURCE_SPACING] = spacing
    return columns


def aspect(spacing: np.ndarray) -> np.ndarray:
    """Height of pixels by their width, from (row, yx) in mm; 1 if it is not known; (row,)."""
    ratio = spacing[:, 0].astype(np.float64) / spacing[:, 1]
    return np.where(np.isfinite(ratio), ratio, 1.0)


def short_axis_rows(views: np.ndarray | None, rows: int) -> np.ndarray:
    """Whether each row's view has no apex and no mitral plane, (row,) bool."""
    if views is None:
        return np.zeros(rows, dtype=bool)
    return np.array([is_short_axis(str(view)) for view in views], dtype=bool)


def index_arrays(parameters: dict[str, Any]) -> tuple[ArraySpec, ...]:
    """Arrays of the rows, `index/*` and `tracing/*`, from the parameters of the index stage."""
    rows, points = parameters["rows"], parameters["points"]
    pixels = {"dtype": "float32", "units": "pixel"}
    description = "apex, middle of the mitral plane"
    axis = array_spec(
        schema.LONG_AXIS, (rows, 2, 2), "frame end xy", **pixels, description=description
    )
    description = "ordered contour, NaN-padded"
    shape = (rows, points, 2)
    contour = array_spec(schema.CONTOUR, shape, "frame point xy", **pixels, description=description)
    columns: dict[str, tuple[str, dict[str, Any]]] = {
        "video": ("str", {"description": "video name without suffix"}),
        "frame": ("int32", {"description": "0-based index into the decoded video"}),
        "phase": ("uint8", flags(schema.PHASES)),
        "split": ("uint8", flags(schema.SPLITS)),
        "ef": ("float32", {"units": "percent", "description": "ejection fraction"}),
        "edv": ("float32", {"units": "ml", "description": "end-diastolic volume"}),
        "esv": ("float32", {"units": "ml", "description": "end-systolic volume"}),
        "fps": ("float32", {"units": "1/s", "description": "frames a second"}),
    }
    if parameters.get("scaled"):
        columns["scale"] = ("float32", {"description": "pixels here for each of the video's"})
    index = [
        array_spec(f"index/{name}", (rows,), "frame", dtype, **attributes)
        for name, (dtype, attributes) in columns.items()
    ]
    if parameters.get("scaled"):
        index.append(
            array_spec(
                "index/source_shape",
                (rows, 2),
                "frame yx",
                "int32",
                units="pixel",
                description="height and width of the video's frames",
            )
        )
    for path in parameters.get("optional", ()):
        dimensions, dtype, attributes = OPTIONAL[path]
        size = (rows, 2) if "yx" in dimensions else (rows,)
        index.append(array_spec(path, size, dimensions, dtype, **attributes))
    return (*index, axis, contour)


def array_spec(
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


def flags(names: tuple[str, ...]) -> dict[str, Any]:
    """Attributes of codes and their meanings, as in the CF conventions of netCDF."""
    return {
        "flag_values": list(range(len(names))),
        "flag_meanings": " ".join(name.replace(" ", "_") for name in names),
    }
