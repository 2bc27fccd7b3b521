"""Where each frame of an AVI file stands, without decoding any.

A Motion-JPEG frame is a JPEG file of its own, so a traced frame can be read
with one seek. Only the container has to be understood, and it is somebody
else's file: every size in it may be false, and it may end anywhere.
"""

from __future__ import annotations

import dataclasses
import os
import struct

import numpy as np

MOTION_JPEG = frozenset({b"MJPG", b"mjpg", b"AVRn", b"dmb1"})
"""Codes of codecs whose chunks are whole JPEG files."""

MAX_HEADERS = 4096
"""Chunks looked at beside the frames; a real file has about ten."""

_NO_FRAME_HEADER = frozenset({0xC4, 0xC8, 0xCC})
"""JPEG markers among the frame headers' that are tables or extensions."""

_INDEX_ENTRY = np.dtype([("tag", "S4"), ("flags", "<u4"), ("offset", "<u4"), ("size", "<u4")])


class AviError(ValueError):
    """The file is not an AVI file, or is damaged before its first frame."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AviIndex:
    """The video stream of an AVI file.

    Attributes
    ----------
    codec : bytes
        Four-character code of the codec.
    shape : tuple of int
        (height, width) in pixels, as the header says.
    frames : tuple of (int, int)
        Offset and size in bytes of each frame that the file holds whole. A
        size of 0 is a dropped frame: the one before it is shown again.
    cut : bool
        Whether the file ends, or stops making sense, before its frames end.
    """

    codec: bytes
    shape: tuple[int, int]
    frames: tuple[tuple[int, int], ...]
    cut: bool


@dataclasses.dataclass(frozen=True)
class _Chunk:
    tag: bytes
    start: int
    size: int

    @property
    def after(self) -> int:
        # Chunks are padded to an even size.
        return self.start + self.size + self.size % 2


def read_index(handle: int) -> AviIndex:
    """Find the frames of an open AVI file.

    The file's own index is used where it has no gap, and its first and last
    entries agree with the chunks that they point to (the one that is wanted is
    looked at by `read_frame_bytes`); else the chunks are walked one by one.

    Parameters
    ----------
    handle : int
        A file descriptor; only `os.pread` is used on it.

    Raises
    ------
    AviError
        If the file is no AVI file or has no video stream.
    """
    end = os.fstat(handle).st_size
    head = os.pread(handle, 12, 0)
    if len(head) < 12 or head[:4] != b"RIFF" or head[8:] != b"AVI ":
        raise AviError("the file is empty" if end == 0 else "the file is not an AVI file")
    stream: tuple[int, bytes, tuple[int, int]] | None = None
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
            # The movie goes on in a second part, of which this index knows nothing.
            table = b""
    if stream is None:
        raise AviError("the file has no video stream: its header is damaged or cut short")
    number, codec, shape = stream
    if movie is None:
        return AviIndex(codec=codec, shape=shape, frames=(), cut=True)
    tags = frozenset({b"%02ddc" % number, b"%02ddb" % number})
    cut = movie.start + movie.size > end
    frames = _frames_from_table(handle, table, movie, tags, end)
    if frames is None:
        frames, lost = _frames_by_walking(handle, movie, tags, end)
        cut = cut or lost
    return AviIndex(codec=codec, shape=shape, frames=frames, cut=cut)


def read_frame_bytes(handle: int, index: AviIndex, number: int) -> bytes:
    """Read one frame's chunk, which must be a whole JPEG file.

    Raises
    ------
    AviError
        If the chunk does not begin and end as a JPEG file does.
    """
    offset, size = index.frames[number]
    content = os.pread(handle, size, offset)
    # Some writers fill a chunk up with zeros.
    if content[:2] != b"\xff\xd8" or content.rstrip(b"\0")[-2:] != b"\xff\xd9":
        raise AviError(f"frame {number} is damaged: it is not a whole JPEG image")
    return content


def jpeg_shape(content: bytes) -> tuple[int, int] | None:
    """Read (height, width) from a JPEG file's header; None where it has no readable one.

    A file of a kilobyte may claim to be an image of a gigabyte, so this is
    asked before a decoder gives it the memory.
    """
    at = 2
    while at + 9 <= len(content) and content[at] == 0xFF:
        marker, size = content[at + 1], int.from_bytes(content[at + 2 : at + 4], "big")
        if marker == 0xFF:
            # Any number of these may stand before a marker.
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAME_HEADER:
            height, width = struct.unpack_from(">HH", content, at + 5)
            return height, width
        at += 2 + size
    return None


def _chunks(handle: int, start: int, end: int) -> list[_Chunk]:
    found: list[_Chunk] = []
    while start + 8 <= end and len(found) < MAX_HEADERS:
        header = os.pread(handle, 8, start)
        chunk = _Chunk(header[:4], start + 8, int.from_bytes(header[4:], "little"))
        found.append(chunk)
        start = chunk.after
    return found


def _video_stream(
    handle: int, header: _Chunk, end: int
) -> tuple[int, bytes, tuple[int, int]] | None:
    number = 0
    for chunk in _chunks(handle, header.start + 4, min(end, header.after)):
        if chunk.tag != b"LIST" or os.pread(handle, 4, chunk.start) != b"strl":
            continue
        parts = {
            part.tag: os.pread(handle, min(part.size, 64), part.start)
            for part in _chunks(handle, chunk.start + 4, min(end, chunk.after))
        }
        form = parts.get(b"strf", b"")
        if parts.get(b"strh", b"")[:4] == b"vids" and len(form) >= 20:
            width, height = struct.unpack_from("<ii", form, 4)
            # A negative height means rows from the top down.
            return number, form[16:20], (abs(height), width)
        number += 1
    return None


def _frames_from_table(
    handle: int, table: bytes, movie: _Chunk, tags: frozenset[bytes], end: int
) -> tuple[tuple[int, int], ...] | None:
    whole = len(table) - len(table) % _INDEX_ENTRY.itemsize
    entries = np.frombuffer(table[:whole], dtype=_INDEX_ENTRY)
    offset, size = entries["offset"].astype(np.int64), entries["size"].astype(np.int64)
    if not len(entries) or not _is_seamless(entries["tag"], offset, size, tags):
        return None
    # Offsets count from the word "movi", or, from some writers, from the file's beginning.
    for base in (movie.start, 0):
        if base + int(offset[0]) not in (movie.start + 4, movie.start + 16):
            continue
        starts = base + offset + 8
        if all(
            _agrees(handle, bytes(entries["tag"][one]), int(starts[one]), int(size[one]), end)
            for one in (0, -1)
        ):
            last = int(starts[-1] + size[-1] + size[-1] % 2)
            frames = tuple(zip(starts.tolist(), size.tolist(), strict=True))
            return frames if last == movie.start + movie.size <= end else None
    return None


def _is_seamless(
    tag: np.ndarray, offset: np.ndarray, size: np.ndarray, tags: frozenset[bytes]
) -> bool:
    # An index that left a frame out, or named it wrongly, would shift all that follow. One
    # without a gap, whose ends are the movie's, has them all; others are not relied on.
    gaps = offset[1:] - (offset + 8 + size + size % 2)[:-1]
    return bool(((gaps == 0) | (gaps == 12)).all()) and set(tag.tolist()) <= tags


def _agrees(handle: int, tag: bytes, start: int, size: int, end: int) -> bool:
    if start + size > end:
        return False
    return os.pread(handle, 8, start - 8) == tag + size.to_bytes(4, "little")


def _frames_by_walking(
    handle: int, movie: _Chunk, tags: frozenset[bytes], end: int
) -> tuple[tuple[tuple[int, int], ...], bool]:
    """Find the frames, and say whether the walk lost its way before the movie's end."""
    frames: list[tuple[int, int]] = []
    start = movie.start + 4
    # Not to where the movie says that it ends: a recording that was cut off says nothing there.
    while start + 8 <= end:
        header = os.pread(handle, 8, start)
        tag, size = header[:4], int.from_bytes(header[4:], "little")
        if tag in (b"LIST", b"RIFF"):
            # Frames may be grouped in lists named "rec "; a movie above 1 GB goes on in a second
            # part. Step into them.
            start += 12
            continue
        if not tag.isalnum():
            # Where a frame of no size ends, and no chunk begins, the size was false: no frame was
            # dropped there, and a decoder that believes it would miscount all that follow.
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
