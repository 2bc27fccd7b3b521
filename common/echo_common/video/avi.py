"""Find the frames of an AVI file without decoding them.

A Motion-JPEG frame is a complete JPEG file, so a traced frame can be read
with one seek. The container is untrusted input: any size in it may be false,
and it may end anywhere.
"""

from __future__ import annotations

import dataclasses
import os
import struct

import numpy as np

from echo_common.video.content import VideoError

MOTION_JPEG = frozenset({b"MJPG", b"mjpg", b"AVRn", b"dmb1"})
"""Codes of codecs whose chunks are complete JPEG files."""

MAX_HEADERS = 4096
"""Limit on the number of header chunks read; a real file has about ten."""

_INDEX_ENTRY = np.dtype([("tag", "S4"), ("flags", "<u4"), ("offset", "<u4"), ("size", "<u4")])


@dataclasses.dataclass(frozen=True, kw_only=True)
class AviIndex:
    """The video stream of an AVI file.

    Attributes
    ----------
    codec : bytes
        Four-character code of the codec.
    shape : tuple of int
        (height, width) in pixels, from the header.
    rate : float or None
        Frames per second, from the header; None if it has none.
    frames : tuple of (int, int)
        Offset and size in bytes of each complete frame. A size of 0 is a
        dropped frame: a player repeats the previous one.
    cut : bool
        Whether the file ends, or becomes invalid, before its last frame.
    """

    codec: bytes
    shape: tuple[int, int]
    rate: float | None
    frames: tuple[tuple[int, int], ...]
    cut: bool


@dataclasses.dataclass(frozen=True)
class _Chunk:
    tag: bytes
    start: int
    size: int

    @property
    def end(self) -> int:
        # Chunks are padded to an even size.
        return self.start + self.size + self.size % 2


@dataclasses.dataclass(frozen=True)
class _Stream:
    number: int
    codec: bytes
    shape: tuple[int, int]
    rate: float | None


def read_index(handle: int) -> AviIndex:
    """Find the frames of an open AVI file.

    The file's own index is used if it has no gap and its first and last
    entries match the chunks that they point to (`read_frame_bytes` checks the
    chunk that it reads). Otherwise the chunks are walked from the start.

    Parameters
    ----------
    handle : int
        A file descriptor; only `os.pread` is used on it.

    Raises
    ------
    VideoError
        If the file is not an AVI file or has no video stream.
    """
    end = os.fstat(handle).st_size
    head = os.pread(handle, 12, 0)
    if len(head) < 12 or head[:4] != b"RIFF" or head[8:] != b"AVI ":
        raise VideoError("the file is empty" if end == 0 else "the file is not an AVI file")
    stream: _Stream | None = None
    movie: _Chunk | None = None
    table = b""
    for chunk in _chunks(handle, 12, end):
        if chunk.tag == b"LIST":
            kind = os.pread(handle, 4, chunk.start)
            if kind == b"hdrl":
                stream = _video_stream(handle, chunk, end)
            elif kind == b"movi" and movie is None:
                movie = chunk
        elif chunk.tag == b"idx1":
            table = os.pread(handle, min(chunk.size, end - chunk.start), chunk.start)
        elif chunk.tag == b"RIFF":
            # The movie continues in a second part, which this index does not cover.
            table = b""
    if stream is None:
        raise VideoError("the file has no video stream: its header is damaged or cut short")
    tags = frozenset({b"%02ddc" % stream.number, b"%02ddb" % stream.number})
    if movie is None:
        return AviIndex(
            codec=stream.codec, shape=stream.shape, rate=stream.rate, frames=(), cut=True
        )
    cut = movie.start + movie.size > end
    frames = _frames_from_table(handle, table, movie, tags, end)
    if frames is None:
        frames, lost = _frames_by_walking(handle, movie, tags, end)
        cut = cut or lost
    return AviIndex(
        codec=stream.codec, shape=stream.shape, rate=stream.rate, frames=frames, cut=cut
    )


def read_frame_bytes(handle: int, index: AviIndex, number: int) -> bytes:
    """Read the chunk of a frame, which must be a complete JPEG file.

    Raises
    ------
    VideoError
        If the chunk lacks the start or the end marker of a JPEG file.
    """
    offset, size = index.frames[number]
    content = os.pread(handle, size, offset)
    # Some writers pad a chunk with zeros.
    if content[:2] != b"\xff\xd8" or content.rstrip(b"\0")[-2:] != b"\xff\xd9":
        raise VideoError("it is not a complete JPEG image")
    return content


def _chunks(handle: int, start: int, end: int) -> list[_Chunk]:
    found: list[_Chunk] = []
    while start + 8 <= end and len(found) < MAX_HEADERS:
        header = os.pread(handle, 8, start)
        chunk = _Chunk(header[:4], start + 8, int.from_bytes(header[4:], "little"))
        found.append(chunk)
        start = chunk.end
    return found


def _video_stream(handle: int, header: _Chunk, end: int) -> _Stream | None:
    number = 0
    for chunk in _chunks(handle, header.start + 4, min(end, header.end)):
        if chunk.tag != b"LIST" or os.pread(handle, 4, chunk.start) != b"strl":
            continue
        parts = {
            part.tag: os.pread(handle, min(part.size, 64), part.start)
            for part in _chunks(handle, chunk.start + 4, min(end, chunk.end))
        }
        form = parts.get(b"strf", b"")
        if parts.get(b"strh", b"")[:4] == b"vids" and len(form) >= 20:
            width, height = struct.unpack_from("<ii", form, 4)
            # A negative height means that rows are stored from top to bottom.
            return _Stream(number, form[16:20], (abs(height), width), _rate(parts[b"strh"]))
        number += 1
    return None


def _rate(header: bytes) -> float | None:
    if len(header) < 28:
        return None
    scale, rate = struct.unpack_from("<II", header, 20)
    return rate / scale if scale and rate else None


def _frames_from_table(
    handle: int, table: bytes, movie: _Chunk, tags: frozenset[bytes], end: int
) -> tuple[tuple[int, int], ...] | None:
    entries = np.frombuffer(table, dtype=_INDEX_ENTRY, count=len(table) // _INDEX_ENTRY.itemsize)
    offset, size = entries["offset"].astype(np.int64), entries["size"].astype(np.int64)
    if not len(entries) or not _is_seamless(entries["tag"], offset, size, tags):
        return None
    # Offsets count from the word "movi" or, with some writers, from the beginning of the file.
    for base in (movie.start, 0):
        if base + int(offset[0]) not in (movie.start + 4, movie.start + 16):
            continue
        starts = base + offset + 8
        if all(
            _agrees(handle, bytes(entries["tag"][row]), int(starts[row]), int(size[row]), end)
            for row in (0, -1)
        ):
            last = int(starts[-1] + size[-1] + size[-1] % 2)
            frames = tuple(zip(starts.tolist(), size.tolist(), strict=True))
            return frames if last == movie.start + movie.size <= end else None
    return None


def _is_seamless(
    tag: np.ndarray, offset: np.ndarray, size: np.ndarray, tags: frozenset[bytes]
) -> bool:
    # An index that omits or mislabels a frame would shift all later frames. Only an index without
    # a gap that spans the whole movie is used.
    gaps = offset[1:] - (offset + 8 + size + size % 2)[:-1]
    return bool(((gaps == 0) | (gaps == 12)).all()) and set(tag.tolist()) <= tags


def _agrees(handle: int, tag: bytes, start: int, size: int, end: int) -> bool:
    if start + size > end:
        return False
    return os.pread(handle, 8, start - 8) == tag + size.to_bytes(4, "little")


def _frames_by_walking(
    handle: int, movie: _Chunk, tags: frozenset[bytes], end: int
) -> tuple[tuple[tuple[int, int], ...], bool]:
    """Find the frames, and report whether the walk failed before the end of the movie."""
    frames: list[tuple[int, int]] = []
    start = movie.start + 4
    # The movie's own size is not used: a recording that was interrupted has none.
    while start + 8 <= end:
        header = os.pread(handle, 8, start)
        tag, size = header[:4], int.from_bytes(header[4:], "little")
        if tag in (b"LIST", b"RIFF"):
            # Frames may be grouped in lists named "rec ", and a movie above 1 GB continues in a
            # second part. Both are entered.
            start += 12
            continue
        if not tag.isalnum():
            # No chunk begins where a frame of size 0 ends, so its size was false: no frame was
            # dropped there, and counting it would shift all later frames.
            while frames and frames[-1] == (start, 0):
                frames.pop()
                start -= 8
            return tuple(frames), start < movie.start + movie.size
        if start + 8 + size > end:
            return tuple(frames), True
        if tag in tags:
            frames.append((start + 8, size))
        start += 8 + size + size % 2
    return tuple(frames), False
