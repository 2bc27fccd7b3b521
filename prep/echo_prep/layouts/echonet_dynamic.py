"""The EchoNet-Dynamic layout: read and check a folder's videos and traces.

`FileList.csv` names each video once, without its suffix; `VolumeTracings.csv`
has a row for every traced line, with the suffix. An invalid video or trace is
left out with its reason and does not affect any other. Only a fault of the
whole data set (no folder, a missing column) is an error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from echo_common.errors import DataNotFoundError
from echo_common.store.schema import SPLITS
from echo_prep.dataset.csv_table import number_columns, read_table
from echo_prep.dataset.file_names import VideoFolder, unsafe_name, video_name
from echo_prep.dataset.rejects import Reject
from echo_prep.dataset.trace_order import in_order
from echo_prep.dataset.tracings import TRACE_COLUMNS, TRACE_NUMBERS, join_rows, read_traces
from echo_prep.dataset.types import Dataset, Trace, Video
from echo_prep.layouts.layout import Layout, file_digest, find_entry

if TYPE_CHECKING:
    import pandas as pd

FILE_LIST = "FileList.csv"
TRACINGS = "VolumeTracings.csv"
VIDEOS = "Videos"

LARGEST_SIDE = 4096
"""Pixels; a listed height or width above this is a typing error and is ignored."""

_NUMBERS = ("EF", "EDV", "ESV", "FPS", "FrameHeight", "FrameWidth")


class EchoNetDynamic(Layout):
    """The layout of EchoNet-Dynamic."""

    name = "echonet-dynamic"

    def recognises(self, root: Path) -> bool:
        """Whether the folder has one of the two CSV files, or the videos."""
        return any(find_entry(root, name).exists() for name in (FILE_LIST, TRACINGS, VIDEOS))

    def annotations(self, root: Path) -> list[Path]:
        """The two CSV files."""
        return [find_entry(root, name) for name in (FILE_LIST, TRACINGS)]

    def inputs(self, root: Path) -> list[Path]:
        """The two CSV files and the folder of videos; a store may be next to them."""
        return [*self.annotations(root), find_entry(root, VIDEOS)]

    def read(self, root: Path, options: Mapping[str, Any]) -> Dataset:
        """Read and check the two CSV files; see `read_dataset`."""
        return read_dataset(root)

    def source(
        self, root: Path, options: Mapping[str, Any], archive: Path | None = None
    ) -> VideoFolder:
        """The folder of videos."""
        return VideoFolder(find_entry(root, VIDEOS), archive)

    def fingerprint(self, root: Path) -> dict[str, str]:
        """SHA-256 of the two CSV files, by their usual names."""
        return {name: file_digest(find_entry(root, name)) for name in (FILE_LIST, TRACINGS)}

    def accepts(self, long_axes: np.ndarray, contours: np.ndarray) -> bool:
        """Whether traces of a store are in order; version 0.1.0 did not check it."""
        return bool(in_order(join_rows(long_axes, contours)).all())


def read_dataset(root: Path) -> Dataset:
    """Read and check the two CSV files of a data set, without opening a video.

    Parameters
    ----------
    root : Path
        Folder with FileList.csv, VolumeTracings.csv and Videos/.

    Raises
    ------
    DataNotFoundError
        If the folder or a CSV file does not exist.
    DataError
        If a CSV file cannot be read, or lacks a column.
    """
    if not root.is_dir():
        raise DataNotFoundError(
            f"no data set at {root}: give the folder that holds {FILE_LIST}, {TRACINGS} and "
            f"{VIDEOS}/ with --data or ECHO_DATA (echo-prep synth makes an example)"
        )
    file_list = read_table(
        find_entry(root, FILE_LIST), required=("FileName", "Split"), optional=_NUMBERS
    )
    listed, rejects = _read_videos(file_list)
    tracings = read_table(find_entry(root, TRACINGS), required=TRACE_COLUMNS, numbers=TRACE_NUMBERS)
    found = read_traces(tracings)
    traces = found.traces
    rejects += found.rejects
    rejects += _unlisted(traces, {**listed, **{reject.video: None for reject in rejects}})
    videos = tuple(video for name, video in listed.items() if name in traces)
    return Dataset(
        root=root,
        videos=videos,
        traces={video.name: traces[video.name] for video in videos},
        rejects=tuple(rejects),
        traced=found.count,
        notes=found.notes,
        fingerprint=EchoNetDynamic().fingerprint(root),
    )


def _read_videos(table: pd.DataFrame) -> tuple[dict[str, Video], list[Reject]]:
    numbers = number_columns(table, _NUMBERS)
    videos: dict[str, Video] = {}
    lines: dict[str, tuple[str, ...]] = {}
    conflicting: set[str] = set()
    rejects: list[Reject] = []
    cells = table.itertuples(index=False, name=None)
    for position, (line, row) in enumerate(zip(table.index, cells, strict=True)):
        text = dict(zip(table.columns, row, strict=True))
        where = f"{FILE_LIST} row {line}"
        name = video_name(text["FileName"])
        split = text["Split"].strip().upper()
        fault = None
        if reason := unsafe_name(name):
            fault = "refused", reason
        elif lines.get(name, row) != row and name not in conflicting:
            # Identical rows are harmless; of two different rows, at most one is right.
            conflicting.add(name)
            fault = "listed-twice", "another row contradicts it; keep only the correct one"
        elif name in lines:
            continue
        elif split not in SPLITS:
            fault = "split", f"Split is {text['Split']!r}, not one of {', '.join(SPLITS)}"
        lines.setdefault(name, row)
        if fault is not None:
            rejects.append(Reject(name, None, where, *fault))
            continue
        value = {column: float(numbers[column][position]) for column in _NUMBERS}
        videos[name] = Video(
            name=name,
            split=SPLITS.index(split),
            ef=value["EF"],
            edv=value["EDV"],
            esv=value["ESV"],
            fps=value["FPS"],
            shape=_listed_shape(value["FrameHeight"], value["FrameWidth"]),
        )
    return {name: video for name, video in videos.items() if name not in conflicting}, rejects


def _listed_shape(height: float, width: float) -> tuple[int, int] | None:
    integers = np.isfinite(height + width) and height.is_integer() and width.is_integer()
    plausible = integers and min(height, width) > 0 and max(height, width) <= LARGEST_SIDE
    return (int(height), int(width)) if plausible else None


def _unlisted(traces: dict[str, tuple[Trace, ...]], known: dict[str, object]) -> Sequence[Reject]:
    message = f"the video is traced but not listed in {FILE_LIST}"
    return [
        Reject(name, None, found[0].where, "not-listed", message)
        for name, found in traces.items()
        if name not in known
    ]
