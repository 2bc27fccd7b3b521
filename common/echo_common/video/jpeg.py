"""JPEG images of Motion-JPEG videos, decoded to gray with every warning heard."""

from __future__ import annotations

import struct

import numpy as np

from echo_common.video.content import VideoError

_NO_FRAME_HEADER = frozenset({0xC4, 0xC8, 0xCC})
"""Markers in the range of JPEG frame headers that mean tables or extensions."""


def jpeg_shape(content: bytes) -> tuple[int, int] | None:
    """Read (height, width) from a JPEG file's header; None if it has no readable header.

    A file of a kilobyte can claim a size of a gigabyte, so the size is checked
    before a decoder allocates memory.
    """
    offset = 2
    while offset + 9 <= len(content) and content[offset] == 0xFF:
        marker, size = content[offset + 1], int.from_bytes(content[offset + 2 : offset + 4], "big")
        if marker == 0xFF:
            # A marker may be preceded by any number of fill bytes.
            offset += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in _NO_FRAME_HEADER:
            height, width = struct.unpack_from(">HH", content, offset + 5)
            return height, width
        offset += 2 + size
    return None


def decode_jpeg(content: bytes) -> np.ndarray:
    """Decode a JPEG file's luma, without conversion to colour and back.

    The pixels are those of `cv2.imdecode` with `IMREAD_GRAYSCALE`, which hides
    libjpeg's warnings: it fills what is lost with gray.

    Parameters
    ----------
    content : bytes
        A complete JPEG file of a reasonable `jpeg_shape`.

    Returns
    -------
    pixels : ndarray, (height, width) uint8

    Raises
    ------
    VideoError
        If libjpeg reports any damage.
    """
    import simplejpeg

    try:
        pixels = simplejpeg.decode_jpeg(
            content, "GRAY", fastdct=False, fastupsample=False, strict=True
        )
    except ValueError as error:
        # libjpeg's words, such as "Corrupt JPEG data: premature end of data segment".
        raise VideoError(f"its JPEG image cannot be decoded ({str(error).strip()})") from error
    return np.asarray(pixels[..., 0])
