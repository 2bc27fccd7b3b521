"""Frames against OpenCV's FFmpeg reader, which decodes a video from its beginning."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from echo_common.store.schema import STATUSES
from echo_common.video import video_file
from echo_common.video.avi import read_frame_bytes, read_index
from echo_common.video.content import VideoError
from echo_common.video.jpeg import jpeg_shape
from echo_prep.dataset.file_names import VideoFolder
from echo_prep.dataset.video import prepare_process, read_frames
from support.avi import Layout, avi_bytes, chunk, ffmpeg_frames, jpeg
from support.datasets import SHAPE, frame_pattern, write_video

PATTERNS = [frame_pattern(3, number) for number in range(9)]

LAYOUTS = {
    "plain": Layout(),
    "no index": Layout(index=None),
    "index from the file's beginning": Layout(index="file"),
    "lists of one frame": Layout(rec=True),
    "lists of one frame, no index": Layout(rec=True, index=None),
    "junk": Layout(junk=True),
    "sound": Layout(sound=True),
    "sound in lists, no index": Layout(sound=True, rec=True, index=None),
    "chunks filled up": Layout(padding=37),
}


@pytest.fixture(autouse=True)
def quiet() -> None:
    prepare_process()


def statuses(folder: Path, name: str, numbers: list[int], shape: tuple[int, int] = SHAPE) -> str:
    return " ".join(
        STATUSES[read.status] for read in read_frames(VideoFolder(folder), name, numbers, shape)
    )


def pixels(folder: Path, name: str, numbers: list[int]) -> np.ndarray:
    reads = read_frames(VideoFolder(folder), name, numbers, SHAPE)
    assert [read.message for read in reads] == [""] * len(numbers)
    return np.array([read.pixels for read in reads])


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_motion_jpeg_is_within_two_gray_levels_of_ffmpegs(tmp_path: Path, layout: Layout) -> None:
    path = tmp_path / "a.avi"
    path.write_bytes(avi_bytes([jpeg(frame) for frame in PATTERNS], layout=layout))
    expected = ffmpeg_frames(path)
    assert len(expected) == 9
    numbers = [8, 0, 3, 3]
    found = pixels(tmp_path, "a", numbers)
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - expected[numbers]).max() <= 2
    # And so close to nothing else: the patterns of two frames differ by far more.
    assert np.abs(found.astype(int) - expected[[7, 1, 4, 4]]).max() > 20


def test_files_that_opencv_wrote(tmp_path: Path) -> None:
    write_video(tmp_path / "a.avi", PATTERNS)
    expected = ffmpeg_frames(tmp_path / "a.avi")
    found = pixels(tmp_path, "a", list(range(9)))
    assert np.abs(found.astype(int) - expected).max() <= 2


def test_motion_jpeg_is_not_decoded_from_the_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video(tmp_path / "a.avi", PATTERNS)
    monkeypatch.setattr(video_file, "Decoder", None)
    assert statuses(tmp_path, "a", [8, 0]) == "ok ok"


@pytest.mark.parametrize("codec", ["XVID", "FFV1", "HFYU", "FMP4", "MPG1"])
def test_other_codecs_are_read_exactly(tmp_path: Path, codec: str) -> None:
    write_video(tmp_path / "a.avi", PATTERNS, codec)
    expected = ffmpeg_frames(tmp_path / "a.avi")
    assert len(expected) >= 8
    numbers = [len(expected) - 1, 0, 4]
    np.testing.assert_array_equal(pixels(tmp_path, "a", numbers), expected[numbers])
    reads = read_frames(VideoFolder(tmp_path), "a", [2, len(expected), 500], SHAPE)
    assert [STATUSES[read.status] for read in reads] == ["ok", "beyond-end", "beyond-end"]
    np.testing.assert_array_equal(reads[0].pixels, expected[2])


def test_dropped_frames_count_as_ffmpeg_counts_them(tmp_path: Path) -> None:
    content = [jpeg(frame) for frame in PATTERNS]
    content[3] = b""
    (tmp_path / "a.avi").write_bytes(avi_bytes(content))
    expected = ffmpeg_frames(tmp_path / "a.avi")
    numbers = list(range(len(expected)))
    np.testing.assert_array_equal(pixels(tmp_path, "a", numbers), expected)


def test_a_frame_beyond_the_end_says_how_many_there_are(tmp_path: Path) -> None:
    write_video(tmp_path / "a.avi", PATTERNS)
    good, bad = read_frames(VideoFolder(tmp_path), "a", [8, 9], SHAPE)
    assert good.status == 0
    assert STATUSES[bad.status] == "beyond-end"
    assert bad.message == "frame 9 is traced, and the video has frames 0 to 8"


def test_another_size_is_told_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [np.zeros((90, 120), np.uint8)] * 2
    write_video(tmp_path / "a.avi", frames)
    write_video(tmp_path / "b.avi", frames, "FFV1")
    for name in "ab":
        (read,) = read_frames(VideoFolder(tmp_path), name, [1], SHAPE)
        assert STATUSES[read.status] == "wrong-size"
        assert read.message == "the frames are 120x90, and the data set's 112x112"
    monkeypatch.setattr(video_file, "decode_jpeg", None)
    assert statuses(tmp_path, "a", [1]) == "wrong-size"


def test_a_jpeg_that_claims_a_gigabyte_is_not_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = jpeg(PATTERNS[0])
    at = content.index(b"\xff\xc0") + 5
    bomb = content[:at] + b"\x75\x30\x75\x30" + content[at + 4 :]
    assert jpeg_shape(content) == SHAPE
    assert jpeg_shape(bomb) == (30000, 30000)
    (tmp_path / "a.avi").write_bytes(avi_bytes([content, bomb]))
    monkeypatch.setattr(video_file, "Decoder", None)
    assert statuses(tmp_path, "a", [0, 1]) == "ok wrong-size"


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xd8", b"\xff\xd8\xff\xd9", b"\xff\xd8" + b"\xff" * 99]
)
def test_a_jpeg_without_header_has_no_shape(content: bytes) -> None:
    assert jpeg_shape(content) is None


def test_a_missing_file_and_names_that_are_refused(tmp_path: Path) -> None:
    videos = tmp_path / "Videos"
    videos.mkdir()
    (tmp_path / "secret.avi").write_bytes(avi_bytes([jpeg(PATTERNS[0])]))
    (videos / "link.avi").symlink_to("../secret.avi")
    (videos / "folder.avi").mkdir()
    os.mkfifo(videos / "pipe.avi")
    assert statuses(videos, "none", [0, 1]) == "missing missing"
    for name in ("../secret", "link", "folder", "pipe", "", "a\0"):
        assert statuses(videos, name, [0]) == "refused", name
        assert VideoFolder(videos).size(name) is None
    assert statuses(videos, "x" * 300, [0]) == "unreadable"


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "the file is empty"),
        (b"RIFF", "text, not a video"),
        (b"RIFF\0\0\0\0WAVE" + b"\0" * 50, "not a video in a known format"),
        (b"\x89PNG" * 9, "a picture (PNG), not a video"),
        (b"RIFF\xff\xff\xff\xffAVI ", "no video stream"),
        (b"#EXTM3U\nfile:///etc/passwd\n", "a playlist"),
    ],
)
def test_what_is_no_video(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.avi").write_bytes(content)
    (read,) = read_frames(VideoFolder(tmp_path), "a", [0], SHAPE)
    assert STATUSES[read.status] == "unreadable"
    assert message in read.message


def test_a_file_without_right_to_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(tmp_path / "a.avi", PATTERNS)

    def refuse(*arguments: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    (read,) = read_frames(VideoFolder(tmp_path), "a", [0], SHAPE)
    assert (STATUSES[read.status], read.message) == (
        "unreadable",
        "the file cannot be opened: Permission denied",
    )


def test_every_cut_gives_sound_frames_or_says_why_not(tmp_path: Path) -> None:
    content = avi_bytes([jpeg(frame) for frame in PATTERNS])
    expected = [cv2.imdecode(np.frombuffer(jpeg(p), np.uint8), 0) for p in PATTERNS]
    lost = []
    for tenth in range(11):
        (tmp_path / "a.avi").write_bytes(content[: len(content) * tenth // 10])
        reads = read_frames(VideoFolder(tmp_path), "a", list(range(9)), SHAPE)
        for number, read in enumerate(reads):
            if read.pixels is not None:
                np.testing.assert_array_equal(read.pixels, expected[number])
        lost.append(sum(read.pixels is None for read in reads))
        assert all(read.message for read in reads if read.pixels is None)
    assert lost[0] == 9 and lost[-1] == 0
    assert lost == sorted(lost, reverse=True)
    # Half a file has about half of its frames.
    assert 3 <= lost[5] <= 6


def test_a_damaged_frame_costs_no_other(tmp_path: Path) -> None:
    content = [jpeg(frame) for frame in PATTERNS]
    content[4] = content[4][: len(content[4]) // 2]
    content[5] = b"\xff\xd8" + b"\0" * 60 + b"\xff\xd9"
    content[6] = content[6][:2] + b"junk" + content[6][6:]
    (tmp_path / "a.avi").write_bytes(avi_bytes(content))
    assert statuses(tmp_path, "a", list(range(9))) == (
        "ok ok ok ok unreadable unreadable unreadable ok ok"
    )


@pytest.mark.parametrize("entry", [0, 4, 8])
@pytest.mark.parametrize("field", ["name", "offset", "size"])
@pytest.mark.parametrize("value", [b"\x10\x27\0\0", b"01wb", b"\0\0\0\0", b"\xff\xff\xff\xff"])
def test_an_index_that_lies_is_not_believed(
    tmp_path: Path, entry: int, field: str, value: bytes
) -> None:
    content = bytearray(avi_bytes([jpeg(frame) for frame in PATTERNS]))
    at = content.index(b"idx1") + 8 + entry * 16 + {"name": 0, "offset": 8, "size": 12}[field]
    content[at : at + 4] = value
    (tmp_path / "a.avi").write_bytes(content)
    np.testing.assert_array_equal(pixels(tmp_path, "a", list(range(9))), decoded(PATTERNS))


@pytest.mark.parametrize("entry", [0, 4, 8])
def test_an_index_that_leaves_a_frame_out_is_not_believed(tmp_path: Path, entry: int) -> None:
    content = avi_bytes([jpeg(frame) for frame in PATTERNS])
    at = content.index(b"idx1") + 8
    table = content[at : at + entry * 16] + content[at + (entry + 1) * 16 :]
    (tmp_path / "a.avi").write_bytes(content[: at - 8] + chunk(b"idx1", table))
    np.testing.assert_array_equal(pixels(tmp_path, "a", list(range(9))), decoded(PATTERNS))


@pytest.mark.parametrize("size", [0, 4, 3000, 0xFFFFFFFF])
def test_a_movie_that_lies_about_its_size_is_read_all_the_same(tmp_path: Path, size: int) -> None:
    content = bytearray(avi_bytes([jpeg(frame) for frame in PATTERNS]))
    at = content.index(b"movi") - 4
    content[at : at + 4] = size.to_bytes(4, "little")
    (tmp_path / "a.avi").write_bytes(content)
    np.testing.assert_array_equal(pixels(tmp_path, "a", list(range(9))), decoded(PATTERNS))


def test_a_movie_that_goes_on_in_a_second_part(tmp_path: Path) -> None:
    frames = [jpeg(frame) for frame in PATTERNS]
    more = b"".join(chunk(b"00dc", frame) for frame in frames[5:])
    second = chunk(b"RIFF", b"AVIX" + chunk(b"LIST", b"movi" + more))
    for layout in (Layout(), Layout(index=None)):
        (tmp_path / "a.avi").write_bytes(avi_bytes(frames[:5], layout=layout) + second)
        assert len(ffmpeg_frames(tmp_path / "a.avi")) >= 5
        np.testing.assert_array_equal(pixels(tmp_path, "a", list(range(9))), decoded(PATTERNS))


def decoded(frames: list[np.ndarray]) -> np.ndarray:
    return np.array([cv2.imdecode(np.frombuffer(jpeg(frame), np.uint8), 0) for frame in frames])


def test_reading_by_index_and_by_walking_find_the_same_frames(tmp_path: Path) -> None:
    frames = [jpeg(frame) for frame in PATTERNS]
    for layout in LAYOUTS.values():
        (tmp_path / "a.avi").write_bytes(avi_bytes(frames, layout=layout))
        handle = os.open(tmp_path / "a.avi", os.O_RDONLY)
        index = read_index(handle)
        assert (index.codec, index.shape, index.cut) == (b"MJPG", SHAPE, False)
        found = [read_frame_bytes(handle, index, number) for number in range(9)]
        assert [content.rstrip(b"\0") for content in found] == frames
        os.close(handle)


def test_a_huge_size_in_every_place_is_no_hang_and_no_traceback(tmp_path: Path) -> None:
    content = avi_bytes([jpeg(frame) for frame in PATTERNS[:3]], layout=Layout(rec=True))
    for at in range(0, len(content) - 4, 4):
        if at > 400 and at % 256:
            continue
        for size in (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\xff\xff\xff\x7f"):
            (tmp_path / "a.avi").write_bytes(content[:at] + size + content[at + 4 :])
            handle = os.open(tmp_path / "a.avi", os.O_RDONLY)
            try:
                index = read_index(handle)
            except VideoError:
                continue
            finally:
                os.close(handle)
            assert all(start > 0 and start + size <= len(content) for start, size in index.frames)
