"""Quirks of real archives: odd rows in the CSV files, and broken videos.

Each quirk is applied to a video of its own. quirks.csv lists what a reader
should make of it: how many of the video's traces are sound, how many are
rejected, and why. Some quirks only look wrong and cost no trace.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from echo_common import atomic
from echo_common.video.avi import read_index
from echo_prep.dataset.file_names import SUFFIX
from echo_prep.synth.csv_files import as_csv
from echo_prep.synth.looks import Look
from echo_prep.synth.videos import Record, make_video, write_video

QUIRKS_LIST = "quirks.csv"

COLUMNS = ("FileName", "Quirk", "Kept", "Rejected", "Reason")

_FIRST_NUMBER = 1 << 24
"""Number of the first video with a quirk; sound videos have smaller numbers."""

Apply = Callable[[Path, Record], Sequence[Record]]
"""Changes a video's file, and returns the records to write to the CSV files."""


@dataclasses.dataclass(frozen=True)
class Quirk:
    """One kind of quirk.

    Attributes
    ----------
    name : str
    apply : callable
        See `Apply`.
    kept : int
        Number of traces that remain sound.
    rejected : int
        Number of lines in the list of rejects; a fault of the whole video gives one line.
    reason : str
        The reason in these lines; empty if there are none.
    """

    name: str
    apply: Apply
    kept: int
    rejected: int = 0
    reason: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AppliedQuirk:
    """A quirk and the video that it was applied to."""

    quirk: Quirk
    video: str
    records: tuple[Record, ...]


def make_quirks(folder: Path, seed: int, frames: int | None, look: Look) -> list[AppliedQuirk]:
    """Make one video for each quirk.

    Parameters
    ----------
    folder : Path
        The data set's folder of videos.
    seed : int
    frames : int or None
        Length of the videos; drawn at random if None.
    look : Look
    """
    applied = []
    for number, quirk in enumerate(QUIRKS):
        record = make_video(folder, seed, _FIRST_NUMBER + number, frames, look)
        records = tuple(quirk.apply(folder / (record.name + SUFFIX), record))
        applied.append(AppliedQuirk(quirk=quirk, video=records[0].name, records=records))
    return applied


def write_list(root: Path, applied: Sequence[AppliedQuirk]) -> None:
    """Write quirks.csv: which video has which quirk, and what it should cost."""
    lines: list[Sequence[object]] = [COLUMNS]
    for item in applied:
        quirk = item.quirk
        lines.append([item.video, quirk.name, quirk.kept, quirk.rejected, quirk.reason])
    atomic.write_text(root / QUIRKS_LIST, as_csv(lines))


# --- Changes of the CSV files ---------------------------------------------------------------------


def _replace(**changes: Any) -> Apply:
    return lambda path, record: [dataclasses.replace(record, **changes)]


def _replace_frame(trace: int, frame: Callable[[Record], int | str]) -> Apply:
    """Give one trace of the video another frame number."""

    def apply(path: Path, record: Record) -> list[Record]:
        return [_with_trace(record, trace, frame(record), record.traces[trace][1])]

    return apply


def _replace_rows(trace: int, change: Callable[[np.ndarray], np.ndarray]) -> Apply:
    """Change the rows of one trace of the video; `change` is given a copy of them."""

    def apply(path: Path, record: Record) -> list[Record]:
        frame, rows = record.traces[trace]
        return [_with_trace(record, trace, frame, change(rows.copy()))]

    return apply


def _with_trace(record: Record, trace: int, frame: int | str, rows: np.ndarray) -> Record:
    traces = list(record.traces)
    traces[trace] = (frame, rows)
    return dataclasses.replace(record, traces=tuple(traces))


def _larger_later(path: Path, record: Record) -> list[Record]:
    (first, large), (second, small) = record.traces
    return [dataclasses.replace(record, traces=((first, small), (second, large)))]


def _lower_case_split(path: Path, record: Record) -> list[Record]:
    return [dataclasses.replace(record, split=record.split.lower())]


def _same_line_twice(path: Path, record: Record) -> list[Record]:
    return [record, dataclasses.replace(record, traces=())]


def _listed_twice(path: Path, record: Record) -> list[Record]:
    return [record, dataclasses.replace(record, ef=record.ef / 2, traces=())]


def _beyond_border(rows: np.ndarray) -> np.ndarray:
    rows[-3:, 2] = [112.3, 114.1, 113.2]
    return rows


def _blank_coordinate(rows: np.ndarray) -> np.ndarray:
    rows[7, 0] = np.nan
    return rows


def _no_area(rows: np.ndarray) -> np.ndarray:
    return np.tile(rows[0, [0, 0, 1, 1]], (21, 1))


# --- Changes of the file --------------------------------------------------------------------------


def _replace_content(change: Callable[[bytes], bytes]) -> Apply:
    """Change the bytes of the file."""

    def apply(path: Path, record: Record) -> list[Record]:
        path.write_bytes(change(path.read_bytes()))
        return [record]

    return apply


def _encode(codec: str, size: tuple[int, int] | None = None) -> Apply:
    """Encode the video again, with another codec or another (width, height)."""

    def apply(path: Path, record: Record) -> list[Record]:
        content = path.read_bytes()
        frames = [
            np.asarray(
                cv2.imdecode(
                    np.frombuffer(content[offset : offset + length], np.uint8),
                    cv2.IMREAD_GRAYSCALE,
                )
            )
            for offset, length in _frame_chunks(path)
        ]
        if size is not None:
            frames = [cv2.resize(frame, size) for frame in frames]
        write_video(path, frames, record.fps, codec)
        return [record]

    return apply


def _path_in_name(path: Path, record: Record) -> list[Record]:
    path.replace(path.parent.parent / path.name)
    return [dataclasses.replace(record, name=f"../{record.name}")]


def _link_outside(path: Path, record: Record) -> list[Record]:
    path.replace(path.parent.parent / path.name)
    path.symlink_to(Path("..") / path.name)
    return [record]


def _missing(path: Path, record: Record) -> list[Record]:
    path.unlink()
    return [record]


def _cut_after_traces(path: Path, record: Record) -> list[Record]:
    offset, size = _frame_chunks(path)[int(record.traces[1][0])]
    os.truncate(path, offset + size)
    return [record]


def _cut_between_traces(path: Path, record: Record) -> list[Record]:
    offset, size = _frame_chunks(path)[int(record.traces[1][0])]
    os.truncate(path, offset + size // 2)
    return [record]


def _frame_overwritten(path: Path, record: Record) -> list[Record]:
    offset, size = _frame_chunks(path)[int(record.traces[0][0])]
    content = bytearray(path.read_bytes())
    content[offset : offset + size] = bytes(size)
    path.write_bytes(content)
    return [record]


def _frame_chunks(path: Path) -> tuple[tuple[int, int], ...]:
    """Offset and size in bytes of each frame of a video."""
    handle = os.open(path, os.O_RDONLY)
    try:
        return read_index(handle).frames
    finally:
        os.close(handle)


_NOT_FOUND = b"<html><body>404 Not Found</body></html>\n"

QUIRKS = (
    # Rows that only look wrong.
    Quirk("larger-ventricle-later", _larger_later, 2),
    Quirk("traced-at-frame-0", _replace_frame(0, lambda record: 0), 2),
    Quirk(
        "traced-one-frame-apart", _replace_frame(1, lambda record: int(record.traces[0][0]) + 1), 2
    ),
    Quirk("coordinate-beyond-border", _replace_rows(0, _beyond_border), 2),
    Quirk("split-in-small-letters", _lower_case_split, 2),
    Quirk("same-line-twice", _same_line_twice, 2),
    Quirk("listed-but-not-traced", _replace(shape=(768, 1024), traces=()), 0),
    # Rows that cannot be used.
    Quirk(
        "tracings-appended",
        _replace_rows(0, lambda rows: np.concatenate([rows, rows + 1.5])),
        1, 1, "row-count",
    ),
    Quirk("tracing-incomplete", _replace_rows(1, lambda rows: rows[:13]), 1, 1, "row-count"),
    Quirk("blank-coordinate", _replace_rows(0, _blank_coordinate), 1, 1, "coordinates"),
    Quirk("no-area", _replace_rows(1, _no_area), 1, 1, "degenerate"),
    Quirk("traced-outside", _replace_rows(1, lambda rows: rows + 300), 1, 1, "outside"),
    Quirk("frame-in-words", _replace_frame(1, lambda record: "No Systolic"), 1, 1, "frame-number"),
    Quirk(
        "frame-past-the-end",
        _replace_frame(1, lambda record: record.frames + 3),
        1, 1, "beyond-end",
    ),
    Quirk("traced-but-not-listed", _replace(listed=False), 0, 1, "not-listed"),
    Quirk("listed-twice", _listed_twice, 0, 1, "listed-twice"),
    Quirk("unknown-split", _replace(split="HOLDOUT"), 0, 1, "split"),
    # Files.
    Quirk("path-in-name", _path_in_name, 0, 3, "refused"),
    Quirk("link-outside", _link_outside, 0, 2, "refused"),
    Quirk("file-missing", _missing, 0, 2, "missing"),
    Quirk("file-empty", _replace_content(lambda content: b""), 0, 2, "unreadable"),
    Quirk("not-a-video", _replace_content(lambda content: _NOT_FOUND), 0, 2, "unreadable"),
    Quirk(
        "header-lost",
        _replace_content(lambda content: content[:12] + bytes(1024) + content[1036:]),
        0, 2, "unreadable",
    ),
    Quirk("header-only", _replace_content(lambda content: content[:100]), 0, 2, "unreadable"),
    Quirk("cut-after-traces", _cut_after_traces, 2),
    Quirk("cut-between-traces", _cut_between_traces, 1, 1, "unreadable"),
    Quirk("frame-overwritten", _frame_overwritten, 1, 1, "unreadable"),
    Quirk("index-lost", _replace_content(lambda content: content[: content.rindex(b"idx1")]), 2),
    Quirk("wrong-size", _encode("MJPG", (128, 96)), 0, 2, "wrong-size"),
    Quirk("codec-ffv1", _encode("FFV1"), 2),
    Quirk("codec-mpeg-4", _encode("XVID"), 2),
)  # fmt: skip
