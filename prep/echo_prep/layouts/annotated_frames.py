"""Frames with masks or polygons: where their files are, and how they are read.

A layout that derives from `echo_prep.layouts.annotated_layout` lists them;
workers read frames and masks from an `AnnotatedSource`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from echo_common.errors import DataError
from echo_common.geometry.contours import SMALLEST_AREA, shoelace_area
from echo_common.geometry.raster import rasterise_all
from echo_common.store.schema import is_short_axis
from echo_common.video.content import VideoError
from echo_common.video.frame import Frame
from echo_common.video.video_file import Video as VideoFile
from echo_prep.dataset.file_names import shown_name
from echo_prep.dataset.frame_source import Decoded, FrameSource, RefusedError
from echo_prep.dataset.image_files import VIDEOS, ImageFile, open_image, suffix_of, to_gray, to_mask
from echo_prep.dataset.types import Trace, Video
from echo_prep.geometry.outlines import mask_outline, trace_outline

UNDECIDED = -1
"""Split of a video in an archive without splits; it is drawn by patient."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnnotatedFrame:
    """A frame with its mask or polygons. Paths are relative to the archive's folder.

    Attributes
    ----------
    video : Video
        Equal in all frames of a video; its `split` may be `UNDECIDED`.
    image : str
        File with the frame: an image, a NIfTI file or a video.
    frame : int
        Number of the frame in its video.
    index : int
        Number of the frame in its file, if that is not the whole video.
    mask : str
        File with the mask; empty if there are polygons.
    mask_index : int
        Number of the mask in its file.
    polygons : tuple of ndarray, (point, 2) float64
        Closed lines of (x, y) in pixels, if there is no mask.
    labels : tuple of int
        Label of each polygon.
    where : str
        File of the annotation, for messages; by default the mask.
    phase : int or None
        Code of `echo_common.store.schema.PHASES`, if the archive tells it.
    """

    video: Video
    image: str
    frame: int = 0
    index: int | None = None
    mask: str = ""
    mask_index: int = 0
    polygons: tuple[np.ndarray, ...] = ()
    labels: tuple[int, ...] = ()
    where: str = ""
    phase: int | None = None


class AnnotatedSource(FrameSource):
    """The frames and masks of an archive of `AnnotatedFrame`.

    Parameters
    ----------
    path : Path
        The archive's folder.
    label : int or None
        Value of the ventricle in the masks.
    links : Path or None
        A folder outside that links in the archive may lead to.
    frames : callable
        Gives the archive's frames; called once, and only if it is needed.
    """

    def __init__(self, path: Path, label: int | None, links: Path | None, frames: Any) -> None:
        self.path, self._label, self._links, self._frames = path, label, links, frames

    @functools.cached_property
    def _table(self) -> dict[str, list[AnnotatedFrame]]:
        table: dict[str, list[AnnotatedFrame]] = {}
        for frame in self._frames()[0]:
            table.setdefault(frame.video.name, []).append(frame)
        return table

    def subset(self, names: Collection[str]) -> AnnotatedSource:
        """The same source with at least these videos, without listing the archive again."""
        source = AnnotatedSource(self.path, self._label, self._links, None)
        source._table = {name: self._table[name] for name in names if name in self._table}
        return source

    def files(self, name: str) -> list[Path]:
        """The images of a video; see `FrameSource.files`."""
        images = dict.fromkeys(frame.image for frame in self._listed(name))
        return [self._locate(image) for image in images]

    def decode(self, name: str, numbers: Collection[int], shape: tuple[int, int]) -> Decoded:
        """Read frames of a video; see `FrameSource.decode`."""
        listed = self._listed(name)
        wanted: dict[str, dict[int, int]] = {}
        for frame in listed:
            if frame.frame in numbers:
                index = frame.frame if frame.index is None else frame.index
                wanted.setdefault(frame.image, {})[index] = frame.frame
        found: dict[int, Frame] = {}
        for image, indices in wanted.items():
            try:
                pixels = self._read(image, indices, shape)
            except FileNotFoundError:
                if len(wanted) == 1:
                    raise
                pixels = _faulty(indices, f"there is no {image}")
            except (VideoError, RefusedError, OSError) as error:
                if len(wanted) == 1:
                    raise
                # The other frames may be in sound files.
                pixels = _faulty(indices, str(error))
            found |= {indices[index]: frame for index, frame in pixels.items()}
        return Decoded(frames=found, count=max(frame.frame for frame in listed) + 1)

    def shape(self, name: str) -> tuple[int, int]:
        """(height, width) of a video's frames."""
        path = self.files(name)[0]
        if suffix_of(path.name, VIDEOS):
            with VideoFile(path, follow_link=False) as video:
                return video.shape
        return _opened(path).shape

    def where(self, name: str) -> str:
        """Path of a video's first image inside the archive."""
        listed = self._table.get(name)
        return listed[0].image if listed else name

    def masks(self, name: str, numbers: Collection[int]) -> dict[int, np.ndarray]:
        """Read the masks of frames; see `FrameSource.masks`."""
        return {
            frame.frame: self._mask(frame)[0]
            for frame in self._listed(name)
            if frame.frame in numbers
        }

    def trace(self, frame: AnnotatedFrame) -> tuple[Trace, Video]:
        """Make the trace of a frame; returns also its video, with the size of its frames.

        Raises
        ------
        DataError, OSError
            If the mask cannot be read, or has no ventricle.
        """
        mask, spacing = self._mask(frame)
        spacing = frame.video.spacing or spacing
        lines = self._lines(frame)
        outline = max(lines, key=shoelace_area) if lines else mask_outline(mask)
        area = shoelace_area(outline) if len(outline) >= 3 else 0.0
        if area < SMALLEST_AREA:
            raise EmptyMaskError(f"the ventricle's area is {area:.2g} square pixels")
        # Arc lengths need square pixels.
        square = np.array([1.0, spacing[0] / spacing[1] if spacing else 1.0])
        axis, contour = trace_outline(
            outline * square, smooth=not lines, short_axis=is_short_axis(frame.video.view)
        )
        trace = Trace(
            frame=frame.frame,
            where=frame.where or frame.mask,
            long_axis=axis / square,
            contour=contour / square,
            area=area,
            phase=frame.phase,
        )
        shape = (mask.shape[0], mask.shape[1])
        return trace, dataclasses.replace(frame.video, shape=shape, spacing=spacing)

    def _listed(self, name: str) -> list[AnnotatedFrame]:
        listed = self._table.get(name)
        if not listed:
            raise FileNotFoundError(name)
        return listed

    def _locate(self, relative: str) -> Path:
        """Path of a file, which is inside the archive or where its links may lead."""
        try:
            path = (self.path / relative).resolve(strict=True)
        except FileNotFoundError as error:
            raise FileNotFoundError(f"there is no {shown_name(relative)}") from error
        except RuntimeError as error:
            raise RefusedError(f"{shown_name(relative)} is a link to itself") from error
        allowed = [folder.resolve() for folder in (self.path, self._links) if folder is not None]
        if not any(path.is_relative_to(folder) for folder in allowed):
            raise RefusedError(
                f"{shown_name(relative)} leads outside {self.path}; to allow this, give "
                "the folder that it leads to with --archive"
            )
        if not path.is_file():
            raise RefusedError(f"{shown_name(relative)} is not a regular file")
        return path

    def _read(self, image: str, numbers: Iterable[int], shape: tuple[int, int]) -> dict[int, Frame]:
        path = self._locate(image)
        if suffix_of(path.name, VIDEOS):
            with VideoFile(path, follow_link=False) as video:
                return {frame.number: frame for frame in video.frames(set(numbers), shape)}
        opened = _opened(path)
        frames = {}
        for number in numbers:
            if opened.shape != shape:
                frames[number] = Frame.of_other_shape(number, None, opened.shape, shape)
                continue
            try:
                pixels = to_gray(opened.read(number), path.name)
                frames[number] = Frame(number=number, seconds=None, pixels=pixels)
            except DataError as error:
                frames[number] = Frame(number=number, seconds=None, fault=str(error))
        return frames

    def _mask(self, frame: AnnotatedFrame) -> tuple[np.ndarray, tuple[float, float] | None]:
        """Mask of a frame, and the height and width of its pixels in mm, if known."""
        if not frame.mask:
            lines = self._lines(frame)
            shape = frame.video.shape or self.shape(frame.video.name)
            return rasterise_all(lines, shape, "exact").max(axis=0, initial=0), None
        opened = open_image(self._locate(frame.mask))
        pixels = opened.read(frame.mask_index)
        return to_mask(pixels, Path(frame.mask).name, self._label), opened.spacing

    def _lines(self, frame: AnnotatedFrame) -> list[np.ndarray]:
        """The polygons of the ventricle."""
        labels = sorted(set(frame.labels))
        if self._label is None and len(labels) > 1:
            raise DataError(
                f"the frame has polygons of the categories {', '.join(map(str, labels))}: give the "
                "ventricle's with --label"
            )
        wanted = labels if self._label is None else [self._label]
        return [
            np.asarray(line, dtype=np.float64)
            for line, label in zip(frame.polygons, frame.labels, strict=True)
            if label in wanted
        ]


class EmptyMaskError(DataError):
    """A mask has no ventricle."""


def _faulty(numbers: Iterable[int], fault: str) -> dict[int, Frame]:
    return {number: Frame(number=number, seconds=None, fault=fault) for number in numbers}


def _opened(path: Path) -> ImageFile:
    try:
        return open_image(path)
    except DataError as error:
        raise VideoError(str(error)) from error
