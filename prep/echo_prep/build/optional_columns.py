"""Columns of a store that only some archives have: patient, view, pixel spacing and others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from echo_common.geometry.letterbox import Letterbox
from echo_prep.dataset.types import Video, is_short_axis

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
