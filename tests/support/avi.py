"""AVI files in the layouts that various programs write, and FFmpeg to read them."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

INDEX_BASES = ("movi", "file")
"""Start of the offsets in a file's index; both are in use."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layout:
    """Layout of an AVI file.

    Attributes
    ----------
    index : str or None
        One of `INDEX_BASES`; None for no index.
    rec : bool
        Whether each frame is in its own list, named ``rec ``.
    junk : bool
        Whether there are meaningless chunks between header and frames.
    sound : bool
        Whether there is an audio stream before the video, with a chunk before each frame.
    padding : int
        Number of zeros at the end of each frame's chunk.
    """

    index: str | None = "movi"
    rec: bool = False
    junk: bool = False
    sound: bool = False
    padding: int = 0


def chunk(tag: bytes, content: bytes, size: int | None = None) -> bytes:
    """A chunk, padded to an even size; `size` is written to its header instead of the true size."""
    stated = len(content) if size is None else size
    return tag + struct.pack("<I", stated) + content + b"\0" * (len(content) % 2)


def avi_bytes(
    frames: Sequence[bytes], shape: tuple[int, int] = (112, 112), layout: Layout | None = None
) -> bytes:
    """An AVI file of Motion-JPEG frames."""
    layout = layout or Layout()
    height, width = shape
    stream = struct.pack(
        "<4s4sIHHIIIIIIIIhhhh",
        b"vids", b"MJPG", 0, 0, 0, 0, 1, 50, 0, len(frames), 1 << 20, 0, 0, 0, 0, width, height,
    )  # fmt: skip
    form = struct.pack(
        "<IiiHH4sIiiII", 40, width, height, 1, 24, b"MJPG", width * height * 3, 0, 0, 0, 0
    )
    main = struct.pack(
        "<14I", 20000, 0, 0, 0x10, len(frames), 0, 1 + layout.sound, 1 << 20, width, height,
        0, 0, 0, 0,
    )  # fmt: skip
    streams = [chunk(b"LIST", b"strl" + chunk(b"strh", stream) + chunk(b"strf", form))]
    if layout.sound:
        audio = struct.pack(
            "<4sIIHHIIIIIIII4h", b"auds", 0, 0, 0, 0, 0, 1, 8000, 0, 100, 100, 0, 1, 0, 0, 0, 0
        )
        wave = struct.pack("<HHIIHH", 1, 1, 8000, 8000, 1, 8)
        streams.insert(0, chunk(b"LIST", b"strl" + chunk(b"strh", audio) + chunk(b"strf", wave)))
    header = chunk(b"LIST", b"hdrl" + chunk(b"avih", main) + b"".join(streams))
    junk = chunk(b"JUNK", b"00dc" * 33) if layout.junk else b""
    movie, entries = b"movi", []
    tag = b"01dc" if layout.sound else b"00dc"
    for frame in frames:
        content = frame + b"\0" * layout.padding
        parts = [(tag, chunk(tag, content), len(content))]
        if layout.sound:
            parts.insert(0, (b"00wb", chunk(b"00wb", b"\x80" * 161), 161))
        group = b"".join(part for _, part, _ in parts)
        offset = len(movie) + (12 if layout.rec else 0)
        for name, part, size in parts:
            entries.append((name, offset, size))
            offset += len(part)
        movie += chunk(b"LIST", b"rec " + group) if layout.rec else group
    before = 12 + len(header) + len(junk) + 8
    base = before if layout.index == "file" else 0
    table = b"".join(
        struct.pack("<4sIII", tag, 0x10, base + offset, size) for tag, offset, size in entries
    )
    content = b"AVI " + header + junk + chunk(b"LIST", movie)
    if layout.index:
        content += chunk(b"idx1", table)
    return chunk(b"RIFF", content)


def jpeg(pixels: np.ndarray, quality: int = 95) -> bytes:
    """A JPEG file of a gray image, stored in colour as ultrasound machines do."""
    success, content = cv2.imencode(
        ".jpg", cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    assert success
    return content.tobytes()


def ffmpeg_frames(path: Path) -> np.ndarray:
    """All frames of a video from OpenCV's FFmpeg reader, gray, (frame, y, x) uint8."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    frames = []
    while True:
        success, frame = capture.read()
        if not success:
            break
        frames.append(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY))
    capture.release()
    return np.array(frames)
