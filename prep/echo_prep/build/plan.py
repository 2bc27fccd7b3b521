"""The plan of a store: its rows, which are fixed before any video is decoded."""

from __future__ import annotations

import collections
import dataclasses
import hashlib

import numpy as np

from echo_common.errors import DataError
from echo_common.store import schema
from echo_common.store.schema import PHASES
from echo_prep.dataset.echonet_dynamic import TRACINGS
from echo_prep.dataset.file_names import shown_name
from echo_prep.dataset.rejects import Reject
from echo_prep.dataset.types import Dataset, Trace, Video

DEFAULT_SHAPE = (112, 112)
"""(height, width) of EchoNet-Dynamic's frames, if FileList.csv does not give it."""

COLUMNS = {
    **{
        name: f"index/{name}"
        for name in ("video", "frame", "phase", "split", "ef", "edv", "esv", "fps")
    },
    "long_axis": schema.LONG_AXIS,
    "contour": schema.CONTOUR,
}
"""Path of the array that contains each column of a plan."""

ED, ES, UNKNOWN = (PHASES.index(name) for name in ("ED", "ES", "unknown"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """Every row of a store, in the order of FileList.csv, then of the frame numbers.

    Attributes
    ----------
    video : ndarray, (row,) str
        Video names without suffix.
    frame : ndarray, (row,) int32
        0-based index into the decoded video.
    phase, split : ndarray, (row,) uint8
        Codes of `echo_common.store.schema.PHASES` and `SPLITS`.
    ef, edv, esv, fps : ndarray, (row,) float32
        NaN if not known.
    long_axis : ndarray, (row, 2, 2) float32
    contour : ndarray, (row, 40, 2) float32
    shape : tuple of int
        (height, width) of every frame.
    rejects : tuple of Reject
        Videos and traces that were left out, in a fixed order.
    notes : dict of str to int
        What was corrected in a valid trace, or is unusual in it, with the number of traces.
    traced : int
        Number of traces in VolumeTracings.csv.
    fingerprint : dict of str to str
        SHA-256 of each CSV file.
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
    shape: tuple[int, int]
    rejects: tuple[Reject, ...]
    notes: dict[str, int]
    traced: int
    fingerprint: dict[str, str]

    def __len__(self) -> int:
        return len(self.frame)

    def arrays(self) -> dict[str, np.ndarray]:
        """Content of the index stage's arrays, by path."""
        return {path: getattr(self, name) for name, path in COLUMNS.items()}

    def digest(self) -> str:
        """SHA-256 of all rows, on which every stage depends."""
        digest = hashlib.sha256()
        for name in self.video:
            digest.update(str(name).encode() + b"\0")
        for array in (
            self.frame, self.phase, self.split, self.ef, self.edv, self.esv, self.fps,
            self.long_axis, self.contour, np.asarray(self.shape),
        ):  # fmt: skip
            digest.update(f"{array.dtype.str}{array.shape}".encode() + array.tobytes())
        return digest.hexdigest()


def make_plan(dataset: Dataset) -> Plan:
    """Make the rows of a store from a data set.

    Raises
    ------
    DataError
        If no trace is valid.
    """
    shape = _common_shape(dataset.videos)
    rejects = list(dataset.rejects)
    rows: list[tuple[Video, Trace, int]] = []
    for video in dataset.videos:
        visible = []
        for trace in dataset.traces[video.name]:
            if _is_visible(trace.contour, shape):
                visible.append(trace)
                continue
            rejects.append(
                Reject(
                    video=video.name,
                    frame=trace.frame,
                    where=f"{TRACINGS} row {trace.line}",
                    reason="outside",
                    message=f"the contour is outside the {shape[1]}x{shape[0]} frame",
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
    return Plan(
        video=np.array([video.name for video, _, _ in rows], dtype=object),
        frame=np.array([trace.frame for _, trace, _ in rows], dtype=np.int32),
        phase=np.array([phase for _, _, phase in rows], dtype=np.uint8),
        split=np.array([video.split for video, _, _ in rows], dtype=np.uint8),
        ef=np.array([video.ef for video, _, _ in rows], dtype=np.float32),
        edv=np.array([video.edv for video, _, _ in rows], dtype=np.float32),
        esv=np.array([video.esv for video, _, _ in rows], dtype=np.float32),
        fps=np.array([video.fps for video, _, _ in rows], dtype=np.float32),
        long_axis=to_float32(np.stack([trace.long_axis for _, trace, _ in rows])),
        contour=to_float32(np.stack([trace.contour for _, trace, _ in rows])),
        shape=shape,
        rejects=tuple(sorted(rejects, key=_file_and_row)),
        notes=dataset.notes,
        traced=dataset.traced,
        fingerprint=dataset.fingerprint,
    )


def to_float32(values: np.ndarray) -> np.ndarray:
    """Round to float32 so that no coordinate moves to another pixel.

    A coordinate just below a half, such as 50.49999999, would become 50.5 and
    be drawn in the next pixel; it becomes the float32 below instead. The same
    holds for a coordinate just below a whole number, which the paper's code
    truncates. Masks made from the store are therefore equal to masks made from
    the CSV file, pixel for pixel.

    Parameters
    ----------
    values : ndarray, float64

    Returns
    -------
    rounded : ndarray, float32
    """
    rounded = values.astype(np.float32)
    moved = (np.rint(rounded) != np.rint(values)) | (np.trunc(rounded) != np.trunc(values))
    back = np.where(values[moved] > rounded[moved], np.inf, -np.inf).astype(np.float32)
    rounded[moved] = np.nextafter(rounded[moved], back)
    return rounded


def _phases(traces: list[Trace]) -> list[int]:
    """Phase of each trace by area, since the public CSV lists ED and ES in either order."""
    codes = [UNKNOWN] * len(traces)
    areas = [trace.area for trace in traces]
    if len(set(areas)) > 1:
        codes[int(np.argmax(areas))] = ED
        codes[int(np.argmin(areas))] = ES
    return codes


def _common_shape(videos: tuple[Video, ...]) -> tuple[int, int]:
    counts = collections.Counter(video.shape for video in videos if video.shape is not None)
    return counts.most_common(1)[0][0] if counts else DEFAULT_SHAPE


def _is_visible(contour: np.ndarray, shape: tuple[int, int]) -> bool:
    height, width = shape
    low, high = contour.min(axis=0), contour.max(axis=0)
    return bool((high >= 0).all() and low[0] <= width - 1 and low[1] <= height - 1)


def _file_and_row(reject: Reject) -> tuple[str, int]:
    file, *_, row = reject.where.split(" ")
    return file, int(row)
