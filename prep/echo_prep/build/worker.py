"""Making one chunk of rows: all that is missing of it, in one worker, in one pass.

A chunk is written into the build's work folder, and then recorded with its
digest. A chunk that is not what a record says does not count, so a build that
is killed anywhere goes on from the records.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from echo_common.geometry.raster import rasterise_all
from echo_common.store import schema
from echo_prep.build.stages import Stage, landmark_set
from echo_prep.dataset.file_names import VideoFolder
from echo_prep.dataset.video import file_size, prepare_process, read_frames
from echo_prep.geometry.heatmaps import HeatmapSettings, border_band, draw_heatmaps
from echo_prep.geometry.landmarks import choose_landmarks
from echo_prep.geometry.polygons import polygons, whole_pixels
from echo_prep.store.work_folder import WorkFolder


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChunkTask:
    """What a worker needs to make its chunk; small, as it is sent to another process.

    Attributes
    ----------
    number : int
        Which chunk of rows.
    start : int
        Its first row.
    stages : tuple of Stage
        The stages that lack this chunk.
    work : Path
        The build's work folder.
    videos : VideoFolder
    index : dict of str to ndarray
        The plan's rows of this chunk: content of the index stage's arrays, by path.
    shape : tuple of int
        (height, width) of every frame.
    """

    number: int
    start: int
    stages: tuple[Stage, ...]
    work: Path
    videos: VideoFolder
    index: dict[str, np.ndarray]
    shape: tuple[int, int]

    @property
    def reads_videos(self) -> bool:
        """Whether its videos have to be opened."""
        return any(stage.kind == "frames" for stage in self.stages)

    @property
    def video(self) -> np.ndarray:
        """Video of each row."""
        return self.index["index/video"]

    @property
    def frame(self) -> np.ndarray:
        """Frame number of each row."""
        return self.index["index/frame"]


def make_chunk(task: ChunkTask) -> int:
    """Make, write and record a chunk of every stage of the task.

    Safe to run twice, and in any process: what it writes depends on the task
    alone.

    Returns
    -------
    number : int
        The task's own, which says who is done where tasks end out of order.
    """
    prepare_process()
    work = WorkFolder(task.work)
    started = work.start(task.number)
    maker = _Maker(task)
    for stage in task.stages:
        contents, notes = maker.make(stage)
        for array in stage.arrays:
            # What was found on the way stands once, with the stage's first array.
            found = notes if array is stage.arrays[0] else {}
            work.put(array, stage.key, task.number, contents[array.path], found)
    started.unlink(missing_ok=True)
    return task.number


class _Maker:
    """Computes the arrays of one chunk; masks and points that two stages need are made once."""

    def __init__(self, task: ChunkTask) -> None:
        self.task = task
        self._masks: dict[tuple[str, bool], np.ndarray] = {}
        self._points: dict[tuple[schema.LandmarkSet, bool], np.ndarray] = {}

    def make(self, stage: Stage) -> tuple[dict[str, np.ndarray], dict[str, list[Any]]]:
        """Content of the stage's arrays for this chunk by path, and what was noted."""
        if stage.kind == "index":
            return self.task.index, {}
        if stage.kind == "frames":
            return self._frames()
        makers: dict[str, Callable[[dict[str, Any]], np.ndarray]] = {
            "mask": self.masks,
            "points": self.points,
            "heatmap": self._heatmaps,
        }
        return {stage.arrays[0].path: makers[stage.kind](stage.parameters)}, {}

    def masks(self, parameters: dict[str, Any]) -> np.ndarray:
        """Masks of a method, (row, y, x) uint8."""
        method, truncate = parameters["method"], parameters["truncate"]
        if (method, truncate) not in self._masks:
            borders = polygons(*self._traces(truncate), method)
            self._masks[method, truncate] = rasterise_all(borders, self.task.shape, method)
        return self._masks[method, truncate]

    def points(self, parameters: dict[str, Any]) -> np.ndarray:
        """Points of a landmark set, (row, landmark, xy) float32."""
        one, truncate = landmark_set(parameters), parameters["truncate"]
        if (one, truncate) not in self._points:
            points = choose_landmarks(*self._traces(truncate), one.method, one.identity, one.count)
            self._points[one, truncate] = points.astype(np.float32)
        return self._points[one, truncate]

    def _traces(self, truncate: bool) -> tuple[np.ndarray, np.ndarray]:
        change = whole_pixels if truncate else np.asarray
        return change(self.task.index[schema.LONG_AXIS]), change(self.task.index[schema.CONTOUR])

    def _heatmaps(self, parameters: dict[str, Any]) -> np.ndarray:
        names = {field.name for field in dataclasses.fields(HeatmapSettings)}
        settings = HeatmapSettings(
            **{name: value for name, value in parameters.items() if name in names}
        )
        masks, points = self.masks(parameters), self.points(parameters)
        bands = np.stack([border_band(mask, settings) for mask in masks])
        return draw_heatmaps(points, bands, parameters["falloff"], settings)

    def _frames(self) -> tuple[dict[str, np.ndarray], dict[str, list[Any]]]:
        task = self.task
        frames = np.zeros((len(task.frame), *task.shape), dtype=np.uint8)
        status = np.zeros(len(task.frame), dtype=np.uint8)
        failures: list[list[Any]] = []
        sizes: list[tuple[str, int | None]] = []
        for name in dict.fromkeys(task.video):
            rows = np.flatnonzero(task.video == name)
            sizes.append((name, file_size(task.videos, name)))
            numbers = [int(number) for number in task.frame[rows]]
            for row, read in zip(
                rows, read_frames(task.videos, name, numbers, task.shape), strict=True
            ):
                status[row] = read.status
                if read.pixels is not None:
                    frames[row] = read.pixels
                else:
                    failures.append([task.start + int(row), read.status, read.message])
        notes: dict[str, list[Any]] = {"failures": failures, "sizes": sizes}
        return {schema.FRAMES: frames, schema.STATUS: status}, notes
