"""The plan of a store: its rows, which are fixed before any video is decoded."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from echo_common.errors import DataError
from echo_common.geometry.letterbox import Letterbox
from echo_common.store import schema
from echo_common.store.schema import PHASES, is_short_axis
from echo_prep.dataset.file_names import shown_name
from echo_prep.dataset.frame_source import FrameSource
from echo_prep.dataset.rejects import Reject
from echo_prep.dataset.types import Dataset, Trace, Video
from echo_prep.dataset.video import frame_shapes, misplaced
from echo_prep.geometry.polygons import to_float32

COLUMNS = {
    **{
        name: f"index/{name}"
        for name in ("video", "frame", "phase", "split", "ef", "edv", "esv", "fps")
    },
    "long_axis": schema.LONG_AXIS,
    "contour": schema.CONTOUR,
}
"""Path of the array that contains each column of a plan."""

SCALED_COLUMNS = {"scale": "index/scale", "source_shape": "index/source_shape"}
"""The same of the columns that a plan has if its frames are scaled."""

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

ED, ES, UNKNOWN = (PHASES.index(name) for name in ("ED", "ES", "unknown"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """Every row of a store, in the order of the archive, then of the frame numbers.

    Attributes
    ----------
    video : ndarray, (row,) str
        Video names without suffix.
    frame : ndarray, (row,) int32
        0-based number of the frame in its video.
    phase, split : ndarray, (row,) uint8
        Codes of `echo_common.store.schema.PHASES` and `SPLITS`.
    ef, edv, esv, fps : ndarray, (row,) float32
        NaN if not known.
    long_axis : ndarray, (row, 2, 2) float32
    contour : ndarray, (row, 40, 2) float32
    scale : ndarray, (row,) float32, or None
        Pixels of the store's frame for each of the video's; None if no frame is scaled.
    source_shape : ndarray, (row, 2) int32, or None
        (height, width) of the video's frames; None if no frame is scaled.
    optional : dict of str to ndarray
        Columns that only some archives have, by path: `OPTIONAL`.
    shape : tuple of int
        (height, width) of every frame.
    rejects : tuple of Reject
        Videos and traces that were left out, in a fixed order.
    notes : dict of str to int
        What was corrected in a valid trace, or is unusual in it, with the number of traces.
    traced : int
        Number of traces in the archive.
    fingerprint : dict of str to str
        SHA-256 of the annotations, by file name.
    """

    video: np.ndarray
    frame: np.ndarray
    phase: np.ndarray
    split: np.ndarray
    ef: np.ndarray
    edv: np.ndarray
    esv: np.ndarray
    fps: np.ndarray
    long_axis: np.ndarray
    contour: np.ndarray
    scale: np.ndarray | None = None
    source_shape: np.ndarray | None = None
    optional: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    shape: tuple[int, int]
    rejects: tuple[Reject, ...]
    notes: dict[str, int]
    traced: int
    fingerprint: dict[str, str]

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def short_axis(self) -> np.ndarray:
        """Whether each row's view has no apex and no mitral plane, (row,) bool."""
        return short_axis_rows(self.optional.get("index/view"), len(self))

    def arrays(self) -> dict[str, np.ndarray]:
        """Content of the index stage's arrays, by path."""
        columns = COLUMNS if self.scale is None else {**COLUMNS, **SCALED_COLUMNS}
        return {path: getattr(self, name) for name, path in columns.items()} | self.optional

    def digest(self) -> str:
        """SHA-256 of all rows, on which every stage depends."""
        digest = hashlib.sha256()
        for name in self.video:
            digest.update(str(name).encode() + b"\0")
        for array in (
            self.frame, self.phase, self.split, self.ef, self.edv, self.esv, self.fps,
            self.long_axis, self.contour, np.asarray(self.shape),
        ):  # fmt: skip
            _add(digest, array)
        if self.scale is not None and self.source_shape is not None:
            _add(digest, self.scale)
            _add(digest, self.source_shape)
        for path, values in sorted(self.optional.items()):
            digest.update(path.encode() + b"\0")
            if values.dtype == object:
                digest.update("\0".join(map(str, values)).encode())
            else:
                _add(digest, values)
        return digest.hexdigest()


def make_plan(dataset: Dataset, source: FrameSource, size: int | None = None) -> Plan:
    """Make the rows of a store from a data set.

    Parameters
    ----------
    dataset : Dataset
    source : FrameSource
        Of videos whose size FileList.csv does not list, or lists wrongly.
    size : int, optional
        Height and width to which all frames and traces are scaled, with black
        borders; by default, frames keep the size that most videos have.

    Raises
    ------
    DataError
        If no trace is valid.
    """
    shapes = frame_shapes(dataset, source)
    common = _most_frequent(shapes.values(), dataset.root)
    shape = common if size is None else (size, size)
    rejects = list(dataset.rejects)
    rows: list[tuple[Video, Trace, int]] = []
    for video in dataset.videos:
        seen = common if size is None else shapes.get(video.name, common)
        visible = []
        for trace in dataset.traces[video.name]:
            fault = misplaced(trace.contour, seen)
            if fault is None:
                visible.append(trace)
                continue
            rejects.append(
                Reject(
                    video=video.name,
                    frame=trace.frame,
                    where=trace.where,
                    reason=fault[0],
                    message=fault[1],
                )
            )
        for trace, phase in zip(visible, _phases(visible), strict=True):
            rows.append((video, trace, phase))
    if not rows:
        first = (
            f"; the first: {shown_name(rejects[0].video)}: {rejects[0].message}" if rejects else ""
        )
        raise DataError(
            f"{dataset.root} has no valid trace among {dataset.traced}, so there is nothing to "
            f"build{first}"
        )
    sources = np.array([shapes.get(video.name, common) for video, _, _ in rows], dtype=np.int32)
    spacing = np.array([video.spacing or (np.nan, np.nan) for video, _, _ in rows], np.float32)
    aspects = aspect(spacing)
    if size is None and (aspects != 1).any():
        raise DataError(
            f"the pixels of {dataset.root} are not square: scale its frames with --size, such as "
            "--size 112"
        )
    scaled = size is not None and bool((sources != shape).any() or (aspects != 1).any())
    boxes = [
        Letterbox.of((height, width), shape, float(ratio))
        for (height, width), ratio in zip(sources.tolist(), aspects, strict=True)
    ]

    def points(part: Callable[[Trace], np.ndarray]) -> np.ndarray:
        found = [part(trace) for _, trace, _ in rows]
        if scaled:
            found = [box.shrink_points(one) for box, one in zip(boxes, found, strict=True)]
        return np.stack(found)

    return Plan(
        video=np.array([video.name for video, _, _ in rows], dtype=object),
        frame=np.array([trace.frame for _, trace, _ in rows], dtype=np.int32),
        phase=np.array([phase for _, _, phase in rows], dtype=np.uint8),
        split=np.array([video.split for video, _, _ in rows], dtype=np.uint8),
        ef=np.array([video.ef for video, _, _ in rows], dtype=np.float32),
        edv=np.array([video.edv for video, _, _ in rows], dtype=np.float32),
        esv=np.array([video.esv for video, _, _ in rows], dtype=np.float32),
        fps=np.array([video.fps for video, _, _ in rows], dtype=np.float32),
        long_axis=to_float32(points(lambda trace: trace.long_axis)),
        contour=to_float32(points(lambda trace: trace.contour)),
        scale=_scale(sources, aspects, shape) if scaled else None,
        source_shape=sources if scaled else None,
        optional=optional_columns([video for video, _, _ in rows], spacing, boxes),
        shape=shape,
        rejects=tuple(sorted(rejects, key=_file_and_row)),
        notes=dataset.notes,
        traced=dataset.traced,
        fingerprint=dataset.fingerprint,
    )


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


def _scale(sources: np.ndarray, aspects: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Pixels of the store's frame for each of the video's, in x; (row,) float32."""
    square = sources * np.stack([aspects, np.ones(len(aspects))], axis=1)
    return np.asarray((np.array(shape) / square).min(axis=1).astype(np.float32))


def _phases(traces: list[Trace]) -> list[int]:
    """Phase of each trace as the archive tells it, or else by area.

    EchoNet-Dynamic's public CSV lists ED and ES in either order.
    """
    told = [trace.phase for trace in traces]
    if any(phase is not None for phase in told):
        return [UNKNOWN if phase is None else phase for phase in told]
    codes = [UNKNOWN] * len(traces)
    areas = [trace.area for trace in traces]
    if len(set(areas)) > 1:
        codes[int(np.argmax(areas))] = ED
        codes[int(np.argmin(areas))] = ES
    return codes


def _most_frequent(shapes: Iterable[tuple[int, int]], root: Path) -> tuple[int, int]:
    """The most frequent shape; of several, the first."""
    counts = collections.Counter(shapes)
    if not counts:
        raise DataError(
            f"the size of the frames is not known: FileList.csv in {root} has no FrameHeight and "
            "FrameWidth, and none of its videos can be read"
        )
    return counts.most_common(1)[0][0]


def _add(digest: hashlib._Hash, array: np.ndarray) -> None:
    digest.update(f"{array.dtype.str}{array.shape}".encode() + array.tobytes())


def _file_and_row(reject: Reject) -> tuple[str, int]:
    file, _, row = reject.where.partition(" row ")
    return file, int(row or 0)
