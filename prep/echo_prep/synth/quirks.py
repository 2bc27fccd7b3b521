"""What real archives hold beside sound studies: odd rows, and broken files.

Each quirk is done to a video of its own, and listed in quirks.csv with what is
to be expected of a reader: how many of the video's traces are sound, how many
are to be refused, and for what reason. Some quirks only look wrong, and cost
nothing.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from echo_common import atomic
from echo_prep.dataset.avi import read_index
from echo_prep.dataset.file_names import SUFFIX
from echo_prep.synth.csv_files import as_csv
from echo_prep.synth.videos import Record, make_video, write_video

QUIRKS_LIST = "quirks.csv"

COLUMNS = ("FileName", "Quirk", "Kept", "Rejected", "Reason")

_FIRST_NUMBER = 1 << 24
"""Quirks are numbered from here, so that no sound video is ever one of them."""


@dataclasses.dataclass(frozen=True)
class Quirk:
    """One kind of oddity.

    Attributes
    ----------
    name : str
    apply : callable
        Takes the video's file and its record, changes the file, and returns the records that
        the CSV files are to hold.
    kept : int
        How many traces are sound in spite of it.
    rejected : int
        Lines that a list of rejects has for it: a fault of the whole video has one.
    reason : str
        The reason in these lines; empty where there is none.
    """

    name: str
    apply: Callable[[Path, Record], Sequence[Record]]
    kept: int
    rejected: int = 0
    reason: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Oddity:
    """A quirk as it was done to one video."""

    quirk: Quirk
    video: str
    records: tuple[Record, ...]


def make_quirks(folder: Path, seed: int, frames: int | None) -> list[Oddity]:
    """Make one video of each quirk.

    Parameters
    ----------
    folder : Path
        The data set's folder of videos.
    seed : int
    frames : int or None
        Length of the videos; drawn where None.
    """
    oddities = []
    for number, quirk in enumerate(QUIRKS):
        record = make_video(folder, seed, _FIRST_NUMBER + number, frames)
        records = tuple(quirk.apply(folder / (record.name + SUFFIX), record))
        name = records[0].name if records else record.name
        oddities.append(Oddity(quirk=quirk, video=name, records=records))
    return oddities


def write_list(root: Path, oddities: Sequence[Oddity]) -> None:
    """Write quirks.csv: what was done to which video, and what it should cost."""
    lines: list[Sequence[object]] = [COLUMNS]
    for one in oddities:
        quirk = one.quirk
        lines.append([one.video, quirk.name, quirk.kept, quirk.rejected, quirk.reason])
    atomic.write_text(root / QUIRKS_LIST, as_csv(lines))


def _replace(record: Record, **changes: object) -> list[Record]:
    return [dataclasses.replace(record, **changes)]  # type: ignore[arg-type]


def _with_trace(record: Record, number: int, frame: int | str, rows: np.ndarray) -> list[Record]:
    traces = list(record.traces)
    traces[number] = (frame, rows)
    return _replace(record, traces=tuple(traces))


# Rows that only look wrong.


def _larger_later(path: Path, record: Record) -> list[Record]:
    (first, large), (second, small) = record.traces
    return _replace(record, traces=((first, small), (second, large)))


def _at_frame_zero(path: Path, record: Record) -> list[Record]:
    return _with_trace(record, 0, 0, record.traces[0][1])


def _next_frame(path: Path, record: Record) -> list[Record]:
    return _with_trace(record, 1, int(record.traces[0][0]) + 1, record.traces[1][1])


def _beyond_border(path: Path, record: Record) -> list[Record]:
    frame, rows = record.traces[0]
    rows = rows.copy()
    rows[-3:, 2] = [112.3, 114.1, 113.2]
    return _with_trace(record, 0, frame, rows)


def _small_letters(path: Path, record: Record) -> list[Record]:
    return _replace(record, split=record.split.lower())


def _same_line_twice(path: Path, record: Record) -> list[Record]:
    return [record, dataclasses.replace(record, traces=())]


def _not_traced(path: Path, record: Record) -> list[Record]:
    return _replace(record, shape=(768, 1024), traces=())


# Rows that cannot be used.


def _appended(path: Path, record: Record) -> list[Record]:
    frame, rows = record.traces[0]
    return _with_trace(record, 0, frame, np.concatenate([rows, rows + 1.5]))


def _incomplete(path: Path, record: Record) -> list[Record]:
    frame, rows = record.traces[1]
    return _with_trace(record, 1, frame, rows[:13])


def _blank_coordinate(path: Path, record: Record) -> list[Record]:
    frame, rows = record.traces[0]
    rows = rows.copy()
    rows[7, 0] = np.nan
    return _with_trace(record, 0, frame, rows)


def _no_area(path: Path, record: Record) -> list[Record]:
    frame, rows = record.traces[1]
    return _with_trace(record, 1, frame, np.repeat(rows[:1, :2], 2, axis=1).repeat(21, axis=0))


def _outside(path: Path, record: Record) -> list[Record]:
    frame, rows = record.traces[1]
    return _with_trace(record, 1, frame, rows + 300)


def _frame_in_words(path: Path, record: Record) -> list[Record]:
    return _with_trace(record, 1, "No Systolic", record.traces[1][1])


def _past_the_end(path: Path, record: Record) -> list[Record]:
    return _with_trace(record, 1, record.frames + 3, record.traces[1][1])


def _not_listed(path: Path, record: Record) -> list[Record]:
    return _replace(record, listed=False)


def _listed_twice(path: Path, record: Record) -> list[Record]:
    return [record, dataclasses.replace(record, ef=record.ef / 2, traces=())]


def _unknown_split(path: Path, record: Record) -> list[Record]:
    return _replace(record, split="HOLDOUT")


# Files.


def _path_in_name(path: Path, record: Record) -> list[Record]:
    path.replace(path.parent.parent / path.name)
    return _replace(record, name=f"../{record.name}")


def _link_outside(path: Path, record: Record) -> list[Record]:
    path.replace(path.parent.parent / path.name)
    path.symlink_to(Path("..") / path.name)
    return [record]


def _missing(path: Path, record: Record) -> list[Record]:
    path.unlink()
    return [record]


def _empty(path: Path, record: Record) -> list[Record]:
    path.write_bytes(b"")
    return [record]


def _not_a_video(path: Path, record: Record) -> list[Record]:
    path.write_text("<html><body>404 Not Found</body></html>\n", encoding="utf-8")
    return [record]


def _header_lost(path: Path, record: Record) -> list[Record]:
    content = path.read_bytes()
    path.write_bytes(content[:12] + bytes(1024) + content[1036:])
    return [record]


def _header_only(path: Path, record: Record) -> list[Record]:
    path.write_bytes(path.read_bytes()[:100])
    return [record]


def _cut_after_traces(path: Path, record: Record) -> list[Record]:
    offset, size = _frame_places(path)[int(record.traces[1][0])]
    path.write_bytes(path.read_bytes()[: offset + size])
    return [record]


def _cut_between_traces(path: Path, record: Record) -> list[Record]:
    offset, size = _frame_places(path)[int(record.traces[1][0])]
    path.write_bytes(path.read_bytes()[: offset + size // 2])
    return [record]


def _frame_overwritten(path: Path, record: Record) -> list[Record]:
    offset, size = _frame_places(path)[int(record.traces[0][0])]
    content = bytearray(path.read_bytes())
    content[offset : offset + size] = bytes(size)
    path.write_bytes(content)
    return [record]


def _index_lost(path: Path, record: Record) -> list[Record]:
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"idx1")])
    return [record]


def _wrong_size(path: Path, record: Record) -> list[Record]:
    frames = [cv2.resize(frame, (128, 96)) for frame in _read_all(path)]
    write_video(path, frames, record.fps)
    return [record]


def _other_codec(codec: str) -> Callable[[Path, Record], list[Record]]:
    def apply(path: Path, record: Record) -> list[Record]:
        write_video(path, _read_all(path), record.fps, codec)
        return [record]

    return apply


def _frame_places(path: Path) -> tuple[tuple[int, int], ...]:
    handle = os.open(path, os.O_RDONLY)
    try:
        return read_index(handle).frames
    finally:
        os.close(handle)


def _read_all(path: Path) -> list[np.ndarray]:
    content = path.read_bytes()
    return [
        np.asarray(
            cv2.imdecode(
                np.frombuffer(content[offset : offset + size], np.uint8), cv2.IMREAD_GRAYSCALE
            )
        )
        for offset, size in _frame_places(path)
    ]


QUIRKS = (
    Quirk("larger-ventricle-later", _larger_later, 2),
    Quirk("traced-at-frame-0", _at_frame_zero, 2),
    Quirk("traced-one-frame-apart", _next_frame, 2),
    Quirk("coordinate-beyond-border", _beyond_border, 2),
    Quirk("split-in-small-letters", _small_letters, 2),
    Quirk("same-line-twice", _same_line_twice, 2),
    Quirk("listed-but-not-traced", _not_traced, 0),
    Quirk("tracings-appended", _appended, 1, 1, "row-count"),
    Quirk("tracing-incomplete", _incomplete, 1, 1, "row-count"),
    Quirk("blank-coordinate", _blank_coordinate, 1, 1, "coordinates"),
    Quirk("no-area", _no_area, 1, 1, "degenerate"),
    Quirk("traced-outside", _outside, 1, 1, "outside"),
    Quirk("frame-in-words", _frame_in_words, 1, 1, "frame-number"),
    Quirk("frame-past-the-end", _past_the_end, 1, 1, "beyond-end"),
    Quirk("traced-but-not-listed", _not_listed, 0, 1, "not-listed"),
    Quirk("listed-twice", _listed_twice, 0, 1, "listed-twice"),
    Quirk("unknown-split", _unknown_split, 0, 1, "split"),
    Quirk("path-in-name", _path_in_name, 0, 3, "refused"),
    Quirk("link-outside", _link_outside, 0, 2, "refused"),
    Quirk("file-missing", _missing, 0, 2, "missing"),
    Quirk("file-empty", _empty, 0, 2, "unreadable"),
    Quirk("not-a-video", _not_a_video, 0, 2, "unreadable"),
    Quirk("header-lost", _header_lost, 0, 2, "unreadable"),
    Quirk("header-only", _header_only, 0, 2, "unreadable"),
    Quirk("cut-after-traces", _cut_after_traces, 2),
    Quirk("cut-between-traces", _cut_between_traces, 1, 1, "unreadable"),
    Quirk("frame-overwritten", _frame_overwritten, 1, 1, "unreadable"),
    Quirk("index-lost", _index_lost, 2),
    Quirk("wrong-size", _wrong_size, 0, 2, "wrong-size"),
    Quirk("codec-ffv1", _other_codec("FFV1"), 2),
    Quirk("codec-mpeg-4", _other_codec("XVID"), 2),
)
