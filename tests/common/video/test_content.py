"""A file is what its first bytes say, whatever its name is."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from echo_common.video.content import VideoError, container_format
from support.avi import avi_bytes
from support.clips import CODECS, clip
from support.datasets import frame_pattern

FRAMES = [frame_pattern(0, number) for number in range(3)]


@pytest.mark.parametrize(
    "kind, expected",
    [
        ("h264.mp4", "mov"),
        ("mjpeg.mov", "mov"),
        ("ffv1.mkv", "matroska"),
        ("vp9.webm", "matroska"),
        ("mpeg1.mpg", "mpeg"),
        ("wmv.wmv", "asf"),
        ("mpeg4.avi", "avi"),
    ],
)
def test_containers_that_ffmpeg_wrote(kind: str, expected: str) -> None:
    assert kind in CODECS
    assert container_format(clip(kind, FRAMES)[:1024]) == expected


def test_an_avi_file_written_by_hand() -> None:
    assert container_format(avi_bytes([])) == "avi"


@pytest.mark.parametrize(
    "head, words",
    [
        (b"", "the file is empty"),
        (b"\x08\0\x05\0CS\n\0ISO_IR 100", "a DICOM file"),
        (struct.pack("<i", 348) + bytes(340) + b"n+1\0", "a NIfTI file"),
        (b"\x1f\x8b\x08" + bytes(60), "gzip; decompress it"),
        (b"PK\x03\x04" + bytes(60), "a ZIP archive; unpack it"),
        (b"\x89PNG\r\n\x1a\n", "a picture (PNG)"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "a picture (JPEG)"),
        (b"#EXTM3U\n/etc/passwd\n", "a playlist, which names other files"),
        (b"ffconcat version 1.0\nfile other.avi\n", "a playlist, which names other files"),
        (b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n", "text, not a video"),
        (b"file 'other.avi'\n", "text, not a video"),
        (b"/tmp/elsewhere.avi\n", "text, not a video"),
        ("Ärzte\n".encode(), "text, not a video"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"/annex/objects/SHA256E-s1--0.avi\n", "git annex get"),
        (bytes(1024), "filled with zeros"),
        (b"RIFF\0\0\0\0WAVEfmt ", "not a video in a known format"),
        (b"\x80\x81\x82\x83" * 50, "not a video in a known format"),
    ],
)
def test_what_is_no_video_is_named(head: bytes, words: str) -> None:
    with pytest.raises(VideoError) as error:
        container_format(head)
    assert str(error.value).startswith("the file is ")
    assert words in str(error.value)


def test_every_part_of_a_head_is_a_format_or_an_error(tmp_path: Path) -> None:
    for kind in ("mpeg4.avi", "h264.mp4"):
        head = clip(kind, FRAMES)[:600]
        for size in range(0, len(head), 7):
            try:
                assert container_format(head[:size]) in ("avi", "mov")
            except VideoError as error:
                assert size < 12, error
