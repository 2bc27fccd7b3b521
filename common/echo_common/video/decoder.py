"""Decode a video from its beginning with FFmpeg (PyAV), and hear every damage that it reports.

FFmpeg conceals damage: it fills a damaged frame from its neighbours, or drops
it, which shifts the number of every later frame. Here such a frame is returned
with what is wrong, and so are the frames that were predicted from it.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from echo_common.video.content import VideoError
from echo_common.video.frame import LARGEST_SIDE, Frame, to_gray
from echo_common.video.frame_order import FrameOrder, PlacedFrame

if TYPE_CHECKING:
    import av
    from av.container import InputContainer


class Decoder:
    """Decodes the first video stream of a file.

    Parameters
    ----------
    handle : int
        A file descriptor.
    format : str
        FFmpeg's name, from `echo_common.video.content.container_format`.

    Attributes
    ----------
    rate : float or None
        Average number of frames per second.
    count : int
        Number of frames that `frames` has passed.
    ending : str
        After `frames` has ended: why there may be more; empty at the end of the video.

    Raises
    ------
    VideoError
        If the file has no video stream that can be decoded.
    """

    def __init__(self, handle: int, format: str) -> None:
        self._handle, self._format = handle, format
        self.count, self.ending = 0, ""
        with self._open() as container:
            stream = container.streams.video[0]
            self._coded_shape = (stream.codec_context.height, stream.codec_context.width)
            rate = stream.average_rate or stream.guessed_rate
            self.rate = float(rate) if rate else None
        height, width = self._coded_shape
        if min(height, width) < 1:
            raise VideoError("the file's header gives no size of its frames")
        if max(height, width) > LARGEST_SIDE:
            raise VideoError(
                f"the file claims frames of {width}x{height} pixels; at most {LARGEST_SIDE} a side "
                "are read"
            )

    @functools.cached_property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the first frame, turned as the file says."""
        with self._open() as container:
            context = container.streams.video[0].codec_context
            for packet in self._packets(container):
                for frame in _decode(context, packet)[0]:
                    return _shape(frame)
        return self._coded_shape

    def frames(self, wanted: Collection[int] | None, shape: tuple[int, int]) -> Iterator[Frame]:
        """Decode frames in order of display; see `echo_common.video.video_file.Video.frames`."""
        self.count, self.ending = 0, ""
        with self._open() as container, _hear_errors() as messages:
            context = container.streams.video[0].codec_context
            order, first = FrameOrder(self._timestamps, context.codec.intra_only), None
            for number, frame, fault in self._place_all(container, order, messages):
                self.count = number + 1
                if frame is not None and first is None:
                    first = frame.time
                if wanted is None or number in wanted:
                    yield _frame(number, self._seconds(number, frame, first), frame, fault, shape)
                if wanted is not None and number >= max(wanted):
                    return

    def _place_all(
        self, container: InputContainer, order: FrameOrder, messages: list[tuple[int, str, str]]
    ) -> Iterator[PlacedFrame]:
        context = container.streams.video[0].codec_context
        for packet in self._packets(container):
            messages.clear()
            found, damage = _decode(context, packet)
            for _, source, message in messages:
                if source == context.codec.name:
                    damage = damage or message.strip()
            yield from order.place(packet, found, damage)
            if order.lost:
                self.ending = order.lost
                return
        yield from order.finish()

    def _timestamps(self) -> list[int]:
        """Time stamps of all packets in order of display; empty if they do not give an order."""
        with self._open() as container:
            if self._format == "avi" and container.streams.video[0].codec_context.has_b_frames:
                # It stamps frames in the order in which they are stored.
                return []
            stamps = [packet.pts for packet in self._packets(container) if packet.size]
        known = sorted({stamp for stamp in stamps if stamp is not None})
        return known if len(known) == len(stamps) else []

    def _seconds(
        self, number: int, frame: av.VideoFrame | None, first: float | None
    ) -> float | None:
        time = None if frame is None else frame.time
        if self._format != "avi" and time is not None and first is not None:
            return time - first
        return number / self.rate if self.rate else None

    @contextlib.contextmanager
    def _open(self) -> Iterator[InputContainer]:
        import av

        try:
            container = av.open(
                _File(self._handle),
                format=self._format,
                io_open=_refuse,
                metadata_errors="ignore",
            )
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise VideoError(
                f"the file's header is damaged or cut short: {_words(error)}"
            ) from error
        assert isinstance(container, av.container.InputContainer)
        with container:
            if not container.streams.video:
                raise VideoError("the file has no video stream")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise VideoError("the file's codec is not known, or its header is damaged")
            # One thread per worker; and a message must come with the packet that it is about.
            stream.codec_context.thread_count = 1
            yield container

    def _packets(self, container: InputContainer) -> Iterator[av.Packet[Any]]:
        import av

        try:
            yield from container.demux(video=0)
        except (av.error.FFmpegError, OSError) as error:
            self.ending = f"the file is damaged: {_words(error)}"


class _File:
    """A reader with a position of its own, so that a file can be read twice at a time."""

    def __init__(self, handle: int) -> None:
        self._handle, self._position = handle, 0

    def read(self, size: int) -> bytes:
        content = os.pread(self._handle, size, self._position)
        self._position += len(content)
        return content

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {
            os.SEEK_SET: 0,
            os.SEEK_CUR: self._position,
            os.SEEK_END: os.fstat(self._handle).st_size,
        }[whence]
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        return self._position


def _decode(context: Any, packet: av.Packet[Any]) -> tuple[list[av.VideoFrame], str]:
    import av

    try:
        return context.decode(packet), ""
    except av.error.FFmpegError as error:
        return [], _words(error)


def _frame(
    number: int,
    seconds: float | None,
    frame: av.VideoFrame | None,
    fault: str,
    shape: tuple[int, int],
) -> Frame:
    if frame is None or fault:
        return Frame(number=number, seconds=seconds, fault=fault)
    if _shape(frame) != shape:
        return Frame.of_other_shape(number, seconds, _shape(frame), shape)
    return Frame(number=number, seconds=seconds, pixels=_gray(frame))


def _shape(frame: av.VideoFrame) -> tuple[int, int]:
    upright = frame.rotation % 180 == 0
    return (frame.height, frame.width) if upright else (frame.width, frame.height)


def _gray(frame: av.VideoFrame) -> np.ndarray:
    # By way of BGR, and turned, as OpenCV's own reader does: the same pixels in any format.
    pixels = to_gray(frame.to_ndarray(format="bgr24"))
    return np.ascontiguousarray(np.rot90(pixels, frame.rotation // 90))


@contextlib.contextmanager
def _hear_errors() -> Iterator[list[tuple[int, str, str]]]:
    """Collect FFmpeg's error messages of this thread (level, source, text); print none."""
    import av.logging

    level, repeats = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.ERROR)
    av.logging.set_skip_repeated(False)
    try:
        with av.logging.Capture() as heard:
            yield heard
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(repeats)


def _refuse(url: str, flags: int, options: dict[str, str]) -> NoReturn:
    raise PermissionError(f"the file names another one: {url}")


def _words(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).strip().split("\n")[0]
