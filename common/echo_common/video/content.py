"""What a file is, from its first bytes: its name and suffix are not trusted.

FFmpeg is told the container, so it never guesses that a file is a playlist or a
pattern of file names and opens other files.
"""

from __future__ import annotations

from echo_common.errors import DataError

HEAD_BYTES = 1024
"""How much of a file `container_format` looks at."""

DICOM = "dicom"
"""A container that FFmpeg does not read."""

_EXPORT = "export it as AVI or MP4"

_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x1aE\xdf\xa3", "matroska"),
    (0, b"\0\0\x01\xba", "mpeg"),
    (0, b"\0\0\x01\xb3", "mpegvideo"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "asf"),
    (0, b"OggS", "ogg"),
    (0, b"GIF8", "gif"),
    (128, b"DICM", DICOM),
    *((4, kind, "mov") for kind in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")),
)
"""Offset, bytes, and FFmpeg's name of the container."""

_OTHERS: tuple[tuple[int, bytes, str], ...] = (
    # Files without the preamble begin with the group of the meta data or of the study.
    (0, b"\x02\0\0\0UL", f"a DICOM file; {_EXPORT}"),
    (0, b"\x08\0\x05\0", f"a DICOM file; {_EXPORT}"),
    (0, b"\x08\0\x08\0", f"a DICOM file; {_EXPORT}"),
    (344, b"n+1\0", f"a NIfTI file; {_EXPORT}"),
    (344, b"ni1\0", f"a NIfTI file; {_EXPORT}"),
    (0, b"\x1f\x8b", "a file compressed with gzip; decompress it"),
    (0, b"PK\x03\x04", "a ZIP archive; unpack it"),
    (0, b"\x89PNG", "a picture (PNG), not a video"),
    (0, b"\xff\xd8\xff", "a picture (JPEG), not a video"),
    (0, b"BM", "a picture (BMP), not a video"),
    (0, b"II*\0", "a picture (TIFF), not a video"),
    (0, b"MM\0*", "a picture (TIFF), not a video"),
    (0, b"\x89HDF", "an HDF5 file, not a video"),
    (0, b"%PDF", "a PDF document, not a video"),
    (0, b"version https://git-lfs", "a Git LFS pointer; fetch the file with git lfs pull"),
    (0, b"/annex/objects", "a git-annex pointer; fetch the file with git annex get"),
    (0, b"#EXTM3U", "a playlist, which names other files; give the videos themselves"),
    (0, b"ffconcat", "a playlist, which names other files; give the videos themselves"),
)
"""Offset, bytes, and what a file is that begins so."""


class VideoError(DataError):
    """The file is not a video that can be read, or is damaged before its first frame."""


def container_format(head: bytes) -> str:
    """Tell the container of a video, by FFmpeg's name for it.

    Parameters
    ----------
    head : bytes
        The file's first `HEAD_BYTES` bytes, or all of it.

    Raises
    ------
    VideoError
        If it is not a video; the message names the format if it is known.
    """
    if not head:
        raise VideoError("the file is empty")
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    for offset, signature, name in _SIGNATURES:
        if head[offset:].startswith(signature):
            return name
    raise VideoError(f"the file is {_describe(head)}")


def _describe(head: bytes) -> str:
    for offset, signature, name in _OTHERS:
        if head[offset:].startswith(signature):
            return name
    if not head.strip(b"\0"):
        return "filled with zeros, so it was not copied to its end"
    # The last letter may be cut in two.
    text = head.decode("utf-8", "replace").removesuffix("\ufffd")
    if all(letter.isprintable() or letter.isspace() for letter in text.replace("\ufffd", "\0")):
        return "text, not a video"
    return f"not a video in a known format; {_EXPORT}"
