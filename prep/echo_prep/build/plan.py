"""The plan of a store: its rows, which are fixed before any video is decoded."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from echo_common.errors import DataError
from echo_common.geometry.letterbox import Letterbox
from echo_common.store import schema
from echo_prep.dataset.file_names import shown_name
from echo_prep.dataset.frame_source import FrameSource
from echo_prep.dataset.rejects import Reject
from echo_prep.dataset.types import Dataset, Trace, Video
from echo_prep.dataset.video import frame_shapes, misplaced
from echo_prep.geometry.polygons import to_float32

NO_FOLD = 255
"""Of a video without a fold, in an archive with folds."""

ED, ES, UNKNOWN = (schema.PHASES.index(name) for name in ("ED", "ES", "unknown"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """Every row of a store, in the order of the archive, then of the frame numbers.

    Attributes
    ----------
    columns : dict of str to ndarray, (row, …)
        Those of `COLUMNS`, and of `SCALED` and `OPTIONAL` if the store has them, by path. Numbers
        that are not known are NaN.
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

    columns: dict[str, np.ndarray]
    shape: tuple[int, int]
    rejects: tuple[Reject, ...]
    notes: dict[str, int]
    traced: int
    fingerprint: dict[str, str]

    def __len__(self) -> int:
        return len(self.columns[schema.FRAME])

    def digest(self) -> str:
        """SHA-256 of all rows, on which every stage depends."""
        digest = hashlib.sha256()
        for name in self.columns[schema.VIDEO]:
            digest.update(str(name).encode() + b"\0")
        for path in list(schema.COLUMNS)[1:]:
            _add(digest, self.columns[path])
        _add(digest, np.asarray(self.shape))
        for path in (path for path in schema.SCALED if path in self.columns):
            _add(digest, self.columns[path])
        for path in sorted(self.columns.keys() & schema.OPTIONAL.keys()):
            digest.update(path.encode() + b"\0")
            values = self.columns[path]
            if values.dtype == object:
                digest.update("\0".join(map(str, values)).encode())
            else:
                _add(digest, values)
        return digest.hexdigest()


def make_plan(dataset: Dataset, source: FrameSource, size: int | None = None) -> Plan:
    """Make the rows of a store from a data set.

    Parameters
    ----------
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
            rejects.append(Reject(video.name, trace.frame, trace.where, *fault))
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
    aspects = _aspect(spacing)
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

    columns = {
        schema.VIDEO: np.array([video.name for video, _, _ in rows], dtype=object),
        schema.FRAME: np.array([trace.frame for _, trace, _ in rows], dtype=np.int32),
        "index/phase": np.array([phase for _, _, phase in rows], dtype=np.uint8),
        "index/split": np.array([video.split for video, _, _ in rows], dtype=np.uint8),
        schema.LONG_AXIS: to_float32(points(lambda trace: trace.long_axis)),
        schema.CONTOUR: to_float32(points(lambda trace: trace.contour)),
    }
    for name in ("ef", "edv", "esv", "fps"):
        numbers = [getattr(video, name) for video, _, _ in rows]
        columns[f"index/{name}"] = np.array(numbers, dtype=np.float32)
    if scaled:
        columns |= {schema.SCALE: _scale(sources, aspects, shape), schema.SOURCE_SHAPE: sources}
    return Plan(
        columns=columns | _optional_columns([video for video, _, _ in rows], spacing, boxes),
        shape=shape,
        rejects=tuple(sorted(rejects, key=_file_and_row)),
        notes=dataset.notes,
        traced=dataset.traced,
        fingerprint=dataset.fingerprint,
    )


def _optional_columns(
    videos: Sequence[Video], spacing: np.ndarray, boxes: Sequence[Letterbox]
) -> dict[str, np.ndarray]:
    """Columns of what at least one video has, from (row, yx) of the archive's pixels in mm."""
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
        columns[schema.SOURCE_SPACING] = spacing
    return columns


def _aspect(spacing: np.ndarray) -> np.ndarray:
    """Height of pixels by their width, from (row, yx) in mm; 1 if it is not known; (row,)."""
    ratio = spacing[:, 0].astype(np.float64) / spacing[:, 1]
    return np.where(np.isfinite(ratio), ratio, 1.0)


def source_frame(
    columns: Mapping[str, np.ndarray], row: int, shape: tuple[int, int]
) -> tuple[tuple[int, int], float]:
    """(height, width) of the frames of a row's video before they are scaled, and their aspect.

    `shape` is that of the store. The aspect is the height of a pixel by its width.
    """
    if schema.SOURCE_SHAPE in columns:
        height, width = columns[schema.SOURCE_SHAPE][row].tolist()
        shape = height, width
    ratio = (
        _aspect(columns[schema.SOURCE_SPACING][[row]])[0]
        if schema.SOURCE_SPACING in columns
        else 1.0
    )
    return shape, float(ratio)


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
