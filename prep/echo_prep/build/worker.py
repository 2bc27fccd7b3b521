"""Making a chunk of rows: everything that is missing of it, in one pass, in any process.

A chunk is written into the work folder of the build, then recorded with its
digest. Only chunks that match their record count, so a build that was killed
resumes from the records.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from echo_common.geometry.letterbox import Letterbox
from echo_common.geometry.raster import rasterise_all
from echo_common.store import schema
from echo_common.store.schema import CHUNK_FRAMES
from echo_prep.build.plan import Plan, source_frame
from echo_prep.build.stages import Stage
from echo_prep.dataset.frame_source import FrameSource
from echo_prep.dataset.video import prepare_process, read_frames
from echo_prep.geometry.heatmaps import border_band, draw_heatmaps
from echo_prep.geometry.landmarks import choose_landmarks
from echo_prep.geometry.polygons import polygons, whole_pixels
from echo_prep.geometry.settings import HeatmapSettings
from echo_prep.store.work_folder import Notes, WorkFolder

PROBE_ROWS = 64
"""Rows that are made, and discarded, to measure the time and the size of a row."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChunkTask:
    """What a worker needs to make a chunk; small, since it is sent to another process.

    Attributes
    ----------
    start : int
        First row of the chunk.
    stages : tuple of Stage
        The stages that lack this chunk.
    index : dict of str to ndarray
        Rows of the plan in this chunk: content of the index stage's arrays, by path.
    shape : tuple of int
        (height, width) of every frame.
    """

    number: int
    start: int
    stages: tuple[Stage, ...]
    work: Path
    videos: FrameSource
    index: dict[str, np.ndarray]
    shape: tuple[int, int]

    @property
    def reads_videos(self) -> bool:
        """Whether videos have to be opened for this chunk."""
        return any(stage.kind == "frames" for stage in self.stages)

    @property
    def video(self) -> np.ndarray:
        """Video of each row."""
        return self.index[schema.VIDEO]

    @property
    def frame(self) -> np.ndarray:
        """Frame number of each row."""
        return self.index[schema.FRAME]


def make_tasks(
    plan: Plan, stages: Mapping[int, list[Stage]], work: WorkFolder, videos: FrameSource
) -> list[ChunkTask]:
    """Divide the rows of a plan into one task for each chunk, with the stages to make of it."""
    tasks = []
    for number, missing in sorted(stages.items()):
        rows = slice(number * CHUNK_FRAMES, (number + 1) * CHUNK_FRAMES)
        tasks.append(
            ChunkTask(
                number=number,
                start=rows.start,
                stages=tuple(missing),
                work=work.root,
                videos=videos.subset(set(plan.columns[schema.VIDEO][rows])),
                index={path: content[rows] for path, content in plan.columns.items()},
                shape=plan.shape,
            )
        )
    return tasks


def make_chunk(task: ChunkTask) -> int:
    """Make, write and record a chunk of every stage of the task.

    It may run twice, and in any process: what it writes depends on the task
    alone.

    Returns
    -------
    number : int
        The number of the chunk, since tasks may end in any order.
    """
    prepare_process()
    work = WorkFolder(task.work)
    marker = work.mark_started(task.number)
    maker = _ChunkMaker(task)
    for stage in task.stages:
        try:
            contents, notes = maker.make(stage)
        except cv2.error as error:
            if error.code != cv2.Error.StsNoMem:
                raise
            raise MemoryError("OpenCV") from error
        for array in stage.arrays:
            # The notes are kept once, with the stage's first array.
            kept = notes if array is stage.arrays[0] else {}
            work.write_chunk(array, stage.key, task.number, contents[array.path], kept)
    marker.unlink(missing_ok=True)
    return task.number


def probe(task: ChunkTask) -> tuple[float, float]:
    """Seconds and bytes per row."""
    probed = slice(0, PROBE_ROWS)
    with tempfile.TemporaryDirectory(prefix="echo-prep-probe-") as temporary:
        folder = WorkFolder(Path(temporary))
        for stage in task.stages:
            for array in stage.arrays:
                folder.declare(array, stage.key)
        small = dataclasses.replace(
            task,
            work=folder.root,
            index={path: content[probed] for path, content in task.index.items()},
        )
        started = time.perf_counter()
        make_chunk(small)
        seconds = time.perf_counter() - started
        size = sum(
            chunk["bytes"]
            for stage in task.stages
            for array in stage.arrays
            for chunk in folder.chunk_entries(array.path, stage.key, [task.number]).values()
        )
    return seconds / len(small.frame), size / len(small.frame)


class _ChunkMaker:
    """Computes the arrays of one chunk; masks and points that several stages use are made once."""

    def __init__(self, task: ChunkTask) -> None:
        self.task = task
        self._made: dict[tuple[object, ...], np.ndarray] = {}

    def make(self, stage: Stage) -> tuple[dict[str, np.ndarray], Notes]:
        """Content of the stage's arrays for this chunk by path, and notes."""
        if stage.kind == "index":
            return self.task.index, {}
        if stage.kind == "frames":
            return self._frames()
        makers: dict[str, Callable[..., np.ndarray]] = {
            "mask": self._masks,
            "points": self._points,
            "heatmap": self._heatmaps,
        }
        return {stage.arrays[0].path: makers[stage.kind](**stage.parameters)}, {}

    def _masks(self, method: str, truncate: bool) -> np.ndarray:
        return self._once(self._make_masks, method, truncate)

    def _points(self, method: str, identity: str, count: int, truncate: bool) -> np.ndarray:
        return self._once(self._make_points, method, identity, count, truncate)

    def _once(self, make: Callable[..., np.ndarray], *choice: object) -> np.ndarray:
        key = (make.__name__, *choice)
        if key not in self._made:
            self._made[key] = make(*choice)
        return self._made[key]

    def _make_masks(self, method: str, truncate: bool) -> np.ndarray:
        """Masks of a method, (row, y, x) uint8."""
        if method == schema.ANNOTATED:
            return self._annotated()
        return rasterise_all(polygons(*self._traces(truncate), method), self.task.shape, method)

    def _annotated(self) -> np.ndarray:
        """The archive's own masks, scaled like the frames, (row, y, x) uint8."""
        task = self.task
        masks = np.zeros((len(task.frame), *task.shape), dtype=np.uint8)
        for name in dict.fromkeys(task.video):
            rows = np.flatnonzero(task.video == name)
            found = task.videos.masks(name, [int(number) for number in task.frame[rows]])
            for row in rows.tolist():
                mask = found[int(task.frame[row])]
                _, aspect = source_frame(task.index, row, task.shape)
                box = Letterbox.of((mask.shape[0], mask.shape[1]), task.shape, aspect)
                masks[row] = box.shrink_mask(mask)
        return masks

    def _make_points(self, method: str, identity: str, count: int, truncate: bool) -> np.ndarray:
        """Points of a landmark set, (row, landmark, xy) float32."""
        points = choose_landmarks(*self._traces(truncate), method, identity, count)
        return points.astype(np.float32)

    def _traces(self, truncate: bool) -> tuple[np.ndarray, np.ndarray]:
        axes, contours = self.task.index[schema.LONG_AXIS], self.task.index[schema.CONTOUR]
        return (whole_pixels(axes), whole_pixels(contours)) if truncate else (axes, contours)

    def _heatmaps(
        self, method: str, identity: str, count: int, truncate: bool, falloff: str, **shape: Any
    ) -> np.ndarray:
        settings = HeatmapSettings(**shape)
        masks = self._masks(method, truncate)
        points = self._points(method, identity, count, truncate)
        bands = np.stack([border_band(mask, settings) for mask in masks])
        return draw_heatmaps(points, bands, falloff, settings)

    def _frames(self) -> tuple[dict[str, np.ndarray], Notes]:
        task = self.task
        frames = np.zeros((len(task.frame), *task.shape), dtype=np.uint8)
        status = np.zeros(len(task.frame), dtype=np.uint8)
        failures: list[list[Any]] = []
        sizes: list[tuple[str, int | None]] = []
        for name in dict.fromkeys(task.video):
            rows = np.flatnonzero(task.video == name)
            sizes.append((name, task.videos.size(name)))
            numbers = [int(number) for number in task.frame[rows]]
            shape, aspect = source_frame(task.index, rows[0], task.shape)
            reads = read_frames(task.videos, name, numbers, shape, task.shape, aspect)
            for row, read in zip(rows, reads, strict=True):
                status[row] = read.status
                if read.pixels is not None:
                    frames[row] = read.pixels
                else:
                    failures.append([task.start + int(row), read.status, read.message])
        notes: Notes = {"failures": failures, "sizes": sizes}
        return {schema.FRAMES: frames, schema.STATUS: status}, notes
