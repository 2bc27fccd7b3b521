"""The EchoNet-Pediatric layout: two views, contours point by point, and ten folds.

Each view has a folder, ``A4C`` and ``PSAX``, with CSV files named as in
EchoNet-Dynamic. VolumeTracings.csv has a point of a contour in each row, in
order around it, and "No Systolic" or "No Diastolic" in place of a frame that is
not traced. Split in FileList.csv is a fold from 0 to 9.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from echo_common.errors import DataNotFoundError, SettingsError
from echo_common.geometry.contours import SMALLEST_AREA, shoelace_area
from echo_common.store.schema import SPLITS, is_short_axis
from echo_prep.dataset.csv_table import number_columns, read_columns, read_table
from echo_prep.dataset.file_names import VideoFolder, VideoFolders, unsafe_name, video_name
from echo_prep.dataset.rejects import Reject
from echo_prep.dataset.trace_order import TREMBLE, largest_loop
from echo_prep.dataset.tracings import frame_fault, frame_numbers, group_rows, video_names
from echo_prep.dataset.types import Dataset, Trace, Video, in_frame_order
from echo_prep.geometry.outlines import trace_outline
from echo_prep.layouts.echonet_dynamic import FILE_LIST, TRACINGS, VIDEOS
from echo_prep.layouts.layout import Layout, file_digest, find_entry

if TYPE_CHECKING:
    import pandas as pd

VIEWS = ("A4C", "PSAX")

FOLDS = 10

NOT_TRACED = ("no systolic", "no diastolic")

_FARTHEST = 8192.0
"""Largest plausible coordinate in pixels, in a frame of any size."""

_NOTE = "not traced by the archive (No Systolic, No Diastolic)"


class EchoNetPediatric(Layout):
    """The layout of EchoNet-Pediatric."""

    name = "echonet-pediatric"
    options: ClassVar[Mapping[str, Any]] = {"view": None, "val_fold": 8, "test_fold": 9}

    def recognises(self, root: Path) -> bool:
        """Whether the folder, or that of a view in it, has points in its tracings."""
        return any(
            {"X", "Y"} <= set(read_columns(find_entry(folder, TRACINGS)))
            for folder in _folders(root).values()
        )

    def annotations(self, root: Path) -> list[Path]:
        """The CSV files of each view."""
        return [
            find_entry(folder, name)
            for folder in _folders(root).values()
            for name in (FILE_LIST, TRACINGS)
        ]

    def inputs(self, root: Path) -> list[Path]:
        """The CSV files and the folders of videos."""
        folders = [find_entry(folder, VIDEOS) for folder in _folders(root).values()]
        return [*self.annotations(root), *folders]

    def fingerprint(self, root: Path) -> dict[str, str]:
        """SHA-256 of each CSV file, by its path in the archive."""
        return {str(path.relative_to(root)): file_digest(path) for path in self.annotations(root)}

    def source(
        self, root: Path, options: Mapping[str, Any], archive: Path | None = None
    ) -> VideoFolders:
        """The folders of videos."""
        return VideoFolders(
            root,
            [
                VideoFolder(find_entry(folder, VIDEOS), archive)
                for folder in _folders(root).values()
            ],
        )

    def read(self, root: Path, options: Mapping[str, Any]) -> Dataset:
        """Read the CSV files of the views; see `Layout.read`."""
        folders = _folders(root)
        if not folders:
            raise DataNotFoundError(f"{root} has no {FILE_LIST}, nor a folder A4C or PSAX with one")
        chosen = options["view"] or list(folders)
        if missing := [view for view in chosen if view not in folders]:
            has = ", ".join(filter(None, folders)) or "no folders of views"
            raise SettingsError(f"{root} has no view {', '.join(missing)}; it has {has}")
        if options["val_fold"] == options["test_fold"]:
            raise SettingsError("--val-fold and --test-fold are the same; give different folds")
        videos: dict[str, Video] = {}
        traces: dict[str, tuple[Trace, ...]] = {}
        rejects: list[Reject] = []
        traced = left = 0
        for view in chosen:
            where = f"{view}/" if folders[view] != root else ""
            listed = _read_videos(folders[view], view, where, options, rejects)
            for name in listed.keys() & videos.keys():
                message = "another view has a video of this name; rename one of them"
                file = f"{where}{FILE_LIST}"
                rejects.append(Reject(name, None, file, "listed-twice", message))
                del listed[name], videos[name]
            found, count, untraced = _read_traces(folders[view], view, where, listed, rejects)
            videos |= listed
            traces |= found
            traced, left = traced + count, left + untraced
        return Dataset(
            root=root,
            videos=tuple(video for name, video in videos.items() if name in traces),
            traces={name: found for name, found in traces.items() if name in videos},
            rejects=tuple(rejects),
            traced=traced,
            notes={_NOTE: left} if left else {},
            fingerprint=self.fingerprint(root),
        )


def _folders(root: Path) -> dict[str, Path]:
    """Folders with a FileList.csv by their view; of a single view, the archive's own folder."""
    if find_entry(root, FILE_LIST).exists():
        return {root.name if root.name in VIEWS else "": root}
    return {view: root / view for view in VIEWS if find_entry(root / view, FILE_LIST).exists()}


def _read_videos(
    folder: Path, view: str, where: str, options: Mapping[str, Any], rejects: list[Reject]
) -> dict[str, Video]:
    table = read_table(
        find_entry(folder, FILE_LIST), required=("FileName", "Split"), optional=("EF", "FPS")
    )
    numbers = number_columns(table, ("EF", "FPS", "Split"))
    videos: dict[str, Video] = {}
    twice: set[str] = set()
    for position, (line, text) in enumerate(zip(table.index, table["FileName"], strict=True)):
        name = video_name(text)
        ef, fps, fold = (float(numbers[column][position]) for column in ("EF", "FPS", "Split"))
        fault = None
        if reason := unsafe_name(name):
            fault = "refused", reason
        elif name in videos:
            twice.add(name)
            fault = "listed-twice", "another row has this name; keep only the correct one"
        elif not (0 <= fold < FOLDS and fold.is_integer()):
            cell = table["Split"].iloc[position][:40]
            fault = "split", f"Split is {cell!r}, not a fold from 0 to {FOLDS - 1}"
        if fault is not None:
            at = f"{where}{FILE_LIST} row {line}"
            rejects.append(Reject(name, None, at, *fault))
            continue
        split = {options["val_fold"]: "VAL", options["test_fold"]: "TEST"}.get(int(fold), "TRAIN")
        videos[name] = Video(
            name=name,
            split=SPLITS.index(split),
            ef=ef,
            fps=fps,
            view=view,
            fold=int(fold),
        )
    return {name: video for name, video in videos.items() if name not in twice}


def _read_traces(
    folder: Path, view: str, where: str, videos: Mapping[str, Video], rejects: list[Reject]
) -> tuple[dict[str, tuple[Trace, ...]], int, int]:
    """Traces by video, the number of traces valid or not, and of frames that are not traced."""
    table: pd.DataFrame = read_table(
        find_entry(folder, TRACINGS), required=("FileName", "X", "Y", "Frame"), numbers=("X", "Y")
    )
    lines = np.asarray(table.index, dtype=np.int64)
    points = table[["X", "Y"]].to_numpy(np.float64)
    names, texts = video_names(table["FileName"].to_numpy()), table["Frame"].to_numpy()
    order, starts, sizes = group_rows(names, texts)
    numbers = frame_numbers(texts[order[starts]])
    traces: dict[str, list[Trace]] = {}
    untraced = 0
    rejected = {reject.video for reject in rejects}
    for start, size, number in zip(starts.tolist(), sizes.tolist(), numbers.tolist(), strict=True):
        rows = order[start : start + size]
        name, text = str(names[rows[0]]), str(texts[rows[0]])
        if text.strip().lower() in NOT_TRACED:
            untraced += 1
            continue
        fault = frame_fault(name, text, number) or _contour_fault(points[rows])
        if fault is None and name not in videos:
            if name in rejected:
                continue
            fault = "not-listed", f"the video is traced but not listed in {FILE_LIST}"
        at = f"{where}{TRACINGS} row {lines[rows[0]]}"
        if fault is not None:
            frame = int(number) if fault[0] not in ("frame-number", "refused") else None
            rejects.append(Reject(name, frame, at, *fault))
            continue
        axis, contour = trace_outline(points[rows], short_axis=is_short_axis(view))
        traces.setdefault(name, []).append(
            Trace(
                frame=int(number),
                where=at,
                long_axis=axis,
                contour=contour,
                area=shoelace_area(points[rows]),
            )
        )
    return in_frame_order(traces), len(starts) - untraced, untraced


def _contour_fault(points: np.ndarray) -> tuple[str, str] | None:
    if not np.isfinite(points).all():
        return "coordinates", "a coordinate is not a number"
    if np.abs(points).max() > _FARTHEST:
        return "coordinates", f"a coordinate is {np.abs(points).max():.3g} px away"
    if len(points) < 3 or (area := shoelace_area(points)) < SMALLEST_AREA:
        size = f"{len(points)} points" if len(points) < 3 else f"{area:.2g} square pixels"
        return "degenerate", f"the contour has {size}"
    if largest_loop(points) > TREMBLE:
        return "crossing", "the contour crosses itself"
    return None
