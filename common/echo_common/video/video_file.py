"""Open a video by its content, and read frames by number or all in order.

Motion-JPEG in an AVI file, which EchoNet-Dynamic has, is read by random access
and decoded by libjpeg. pydicom decodes DICOM. FFmpeg decodes anything else from
the beginning, since a seek in an inter-coded video is not exact.
"""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from echo_common.video.avi import MOTION_JPEG, AviIndex, read_frame_bytes, read_index
from echo_common.video.content import DICOM, HEAD_BYTES, VideoError, container_format
from echo_common.video.decoder import Decoder
from echo_common.video.dicom import Dicom
from echo_common.video.frame import LARGEST_SIDE, Frame
from echo_common.video.jpeg import decode_jpeg, jpeg_shape


class Video:
    """An open video file; a context manager that closes it.

    Parameters
    ----------
    path : Path
        A regular file.
    follow_link : bool
        Whether the path may be a link.

    Attributes
    ----------
    rate : float or None
        Frames per second; None if the file does not tell.
    spacing : float or None
        Millimetres in a pixel; None if the file does not tell.
    region : tuple of int, or None
        The ultrasound picture in the frames, as x, y, width and height, if the file tells.

    Raises
    ------
    VideoError
        If the file is not a video that can be read.
    OSError
        If it cannot be opened or read.
    """

    def __init__(self, path: Path, follow_link: bool = True) -> None:
        # Not blocking: opening a pipe would wait for a writer.
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow_link else os.O_NOFOLLOW)
        self._handle = os.open(path, flags)
        try:
            if not stat.S_ISREG(os.fstat(self._handle).st_mode):
                raise VideoError("it is not a regular file")
            self._source, self._cut = _open_source(self._handle)
        except BaseException:
            os.close(self._handle)
            raise
        self.rate = self._source.rate
        self.spacing = self._source.spacing if isinstance(self._source, Dicom) else None
        self.region = self._source.region if isinstance(self._source, Dicom) else None

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the frames in pixels."""
        return self._source.shape

    def __enter__(self) -> Video:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._handle)

    def frames(
        self, wanted: Collection[int] | None = None, shape: tuple[int, int] | None = None
    ) -> Iterator[Frame]:
        """Read frames in ascending order, one at a time.

        Parameters
        ----------
        wanted : collection of int, optional
            Numbers of the frames to read, of which those that the video does not have are left
            out; all by default.
        shape : tuple of int, optional
            (height, width) that each frame must have; by default `self.shape`.

        Yields
        ------
        frame : Frame
            A fault of a frame is told in the frame.
        """
        yield from self._source.frames(wanted, shape or self.shape)

    def ending(self) -> str:
        """Tell where the video ends, after `frames` came to that end.

        Returns
        -------
        fault : str
            Why there may be frames that could not be read; empty if there are none.
        """
        if self._source.ending:
            return self._source.ending
        return f"the file is cut short after {self.count} frames" if self._cut else ""

    @property
    def count(self) -> int:
        """Number of frames that the file holds, after `frames` came to its end."""
        return self._source.count


class _MotionJpeg:
    """The frames of an AVI file, each a complete JPEG file."""

    ending = ""

    def __init__(self, handle: int, index: AviIndex) -> None:
        self._handle, self._index = handle, index
        self.count, self.rate = len(index.frames), index.rate

    def frames(self, wanted: Collection[int] | None, shape: tuple[int, int]) -> Iterator[Frame]:
        numbers = range(self.count) if wanted is None else sorted(set(wanted))
        for number in numbers:
            if number < self.count:
                yield self._read(number, shape)

    def _read(self, number: int, shape: tuple[int, int]) -> Frame:
        seconds = number / self.rate if self.rate else None
        try:
            content = read_frame_bytes(self._handle, self._index, number)
            found = jpeg_shape(content)
            if found is not None and (found != shape or max(found) > LARGEST_SIDE):
                return Frame.of_other_shape(number, seconds, found, shape)
            return Frame(number=number, seconds=seconds, pixels=decode_jpeg(content))
        except VideoError as error:
            return Frame(
                number=number, seconds=seconds, fault=f"frame {number} is damaged: {error}"
            )

    @functools.cached_property
    def shape(self) -> tuple[int, int]:
        # The container's header may differ from the images, which are decoded by their own.
        for number in range(self.count):
            try:
                found = jpeg_shape(read_frame_bytes(self._handle, self._index, number))
            except VideoError:
                continue
            if found:
                return found
        return self._index.shape


def _open_source(handle: int) -> tuple[_MotionJpeg | Decoder | Dicom, bool]:
    """What reads the frames, and whether the file ends before its last frame."""
    container = container_format(os.pread(handle, HEAD_BYTES, 0))
    if container == DICOM:
        return Dicom(handle), False
    if container != "avi":
        return Decoder(handle, container), False
    index = read_index(handle)
    # A dropped frame has no JPEG image; FFmpeg knows what is shown in its place.
    if index.codec in MOTION_JPEG and all(size for _, size in index.frames):
        return _MotionJpeg(handle, index), index.cut
    return Decoder(handle, container), index.cut
