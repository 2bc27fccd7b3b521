"""Clips to segment: finding them, and reading their frames in chunks of bounded size."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from echo_common.errors import DataError, DataNotFoundError, SettingsError
from echo_common.video.content import HEAD_BYTES, VideoError, container_format
from echo_common.video.frame import Frame
from echo_common.video.video_file import Video

CHUNK_FRAMES = 64
"""Most frames in a chunk, which is a batch of the network."""

CHUNK_PIXELS = 1 << 24
"""Most pixels in a chunk of several frames."""

MOST_FRAMES = 10_000_000
"""Most frames that may be chosen: far more than a clip has."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chunk:
    """Consecutive frames of a clip.

    Attributes
    ----------
    numbers : ndarray, (frame,) int64
        Index of each frame in the video, from 0, ascending.
    seconds : ndarray, (frame,) float64
        Time since the first frame of the video; NaN if the file has no time stamps.
    images : ndarray, (frame, y, x) uint8
    """

    numbers: np.ndarray
    seconds: np.ndarray
    images: np.ndarray


class Clip:
    """A video whose frames are read in chunks, as often as needed.

    Parameters
    ----------
    numbers : sequence of range, optional
        Frames to read, from 0; all by default.

    Attributes
    ----------
    shape : tuple of int
        (height, width) of the frames.
    rate : float or None
        Frames per second; None if unknown.
    spacing : float or None
        Millimetres in a pixel; None if unknown.
    region : tuple of int, or None
        The ultrasound picture in the frames, as x, y, width and height; None if unknown.
    faults : tuple of str
        After `chunks` has ended: frames that could not be read and are left out, with the reason.

    Raises
    ------
    DataNotFoundError
        If there is no such file.
    DataError
        If it is not a video.
    """

    def __init__(self, path: Path, numbers: Sequence[range] | None = None) -> None:
        self.path = path
        if numbers is not None and sum(map(len, numbers)) > MOST_FRAMES:
            raise SettingsError(f"--frames names more than {MOST_FRAMES:,} frames; name fewer")
        self._numbers = None if numbers is None else set(itertools.chain(*numbers))
        self.faults: tuple[str, ...] = ()
        with self._open() as video:
            self.shape, self.rate = video.shape, video.rate
            self.spacing, self.region = video.spacing, video.region

    def chunks(self) -> Iterator[Chunk]:
        """Read the frames in order.

        Yields
        ------
        chunk : Chunk
            At most `CHUNK_FRAMES` frames.

        Raises
        ------
        DataError
            At the end, if no frame could be read, or the video ends before a requested frame.
        """
        most = max(1, min(CHUNK_FRAMES, CHUNK_PIXELS // math.prod(self.shape)))
        faults, read, frames, readable = [], set(), [], 0
        with self._open() as video:
            for frame in video.frames(self._numbers):
                read.add(frame.number)
                if frame.fault:
                    faults.append(frame.fault)
                    continue
                frames.append(frame)
                readable += 1
                if len(frames) == most:
                    yield _chunk(frames)
                    frames = []
            count, ending = video.count, video.ending()
        if frames:
            yield _chunk(frames)
        absent = sorted((self._numbers or set()) - read)
        if absent and not ending:
            raise DataError(
                f"{self.path} has {count} frames, counted from 0, so it has no frame {absent[0]}"
            )
        if ending and (absent or self._numbers is None):
            faults.append(ending)
        if not readable:
            raise DataError(f"{self.path}: {faults[0] if faults else 'the video has no frame'}")
        self.faults = tuple(faults)

    @contextlib.contextmanager
    def _open(self) -> Iterator[Video]:
        try:
            with Video(self.path) as video:
                yield video
        except VideoError as error:
            raise DataError(f"{self.path}: {error}") from error
        except FileNotFoundError as error:
            raise DataNotFoundError(f"no video {self.path}") from error


def list_videos(folder: Path) -> list[Path]:
    """Find the videos in a folder, by their content, sorted by name.

    Raises
    ------
    DataError
        If there is no video, or the folder cannot be read.
    """
    videos = []
    try:
        for path in sorted(folder.iterdir()):
            with contextlib.suppress(VideoError):
                if path.is_file():
                    with path.open("rb") as file:
                        container_format(file.read(HEAD_BYTES))
                    videos.append(path)
    except OSError as error:
        raise DataError(f"{folder} cannot be searched for videos: {error.strerror}") from error
    if not videos:
        raise DataError(f"{folder} contains no videos; give a folder that does")
    return videos


def _chunk(frames: list[Frame]) -> Chunk:
    return Chunk(
        numbers=np.array([frame.number for frame in frames]),
        seconds=np.array([frame.seconds for frame in frames], dtype=np.float64),
        images=np.array([frame.pixels for frame in frames]),
    )
