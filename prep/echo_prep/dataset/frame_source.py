"""Where an archive has its frames: the files of each video, and how they are read.

A layout of `echo_prep.layouts` returns a source; workers read frames from it.
"""

from __future__ import annotations

import abc
import dataclasses
import os
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np

from echo_common.errors import DataError
from echo_common.video.frame import Frame

Stamp = list[int]
"""Size, times of the last change of content and of inode in nanoseconds, and inode of a file;
for a video of several files, the sum of their sizes and the rest of each."""


class RefusedError(DataError):
    """The name refers to something that must not be opened."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decoded:
    """Frames of a video.

    Attributes
    ----------
    frames : dict of int to Frame
        Those of the requested frames that the video has, by number.
    count : int
        Number of frames of the video.
    ending : str
        Why there may be frames that could not be read; empty if there are none.
    """

    frames: dict[int, Frame]
    count: int
    ending: str = ""


class FrameSource(abc.ABC):
    """The frames of an archive, by the name of their video.

    It is sent to workers, so it can be pickled.

    Attributes
    ----------
    path : Path
        The folder that the frames are in.
    """

    path: Path

    @abc.abstractmethod
    def files(self, name: str) -> list[Path]:
        """Regular files that hold the frames of a video.

        Raises
        ------
        RefusedError
            If a file must not be opened.
        FileNotFoundError
            If there is none.
        """

    @abc.abstractmethod
    def decode(self, name: str, numbers: Collection[int], shape: tuple[int, int]) -> Decoded:
        """Read frames of a video as gray images.

        Parameters
        ----------
        numbers : collection of int
            0-based.
        shape : tuple of int
            (height, width) that every frame must have.

        Raises
        ------
        RefusedError, FileNotFoundError
            As `files` does.
        VideoError, OSError
            If the files cannot be read.
        """

    @abc.abstractmethod
    def shape(self, name: str) -> tuple[int, int]:
        """(height, width) of a video's frames; raises as `decode` does."""

    @abc.abstractmethod
    def where(self, name: str) -> str:
        """Path of a video inside the archive, for messages."""

    def masks(self, name: str, numbers: Collection[int]) -> dict[int, np.ndarray]:
        """Read the archive's own masks of frames, (height, width) uint8, 0 or 1 each.

        Raises
        ------
        DataError
            If a mask cannot be read, or the archive has none.
        """
        raise DataError(f"{self.path} has no masks of its own, only tracings")

    def subset(self, names: Collection[str]) -> FrameSource:
        """The same source with at least these videos, for a worker."""
        return self

    def size(self, name: str) -> int | None:
        """Size in bytes of a video's files; None if there is no file that may be opened."""
        stamp = self._stamp(name)
        return stamp[0] if stamp else None

    def stamps(self, names: Iterable[str]) -> dict[str, Stamp | None]:
        """Stamps of videos by name; None for one that is gone or must not be opened."""
        return {name: self._stamp(name) for name in dict.fromkeys(names)}

    def _stamp(self, name: str) -> Stamp | None:
        try:
            stamps = [file_stamp(path.stat()) for path in self.files(name)]
        except (OSError, RefusedError):
            return None
        return [sum(size for size, *_ in stamps), *(value for _, *rest in stamps for value in rest)]


def file_stamp(status: os.stat_result) -> Stamp:
    """Stamp of a file from its status."""
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
