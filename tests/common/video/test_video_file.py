"""Videos in every container: pixels against OpenCV's reader, time stamps, damage, lies."""

from __future__ import annotations

import contextlib
import os
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from echo_common.video import video_file
from echo_common.video.content import VideoError
from echo_common.video.frame import Frame
from echo_common.video.video_file import Video
from support.avi import avi_bytes, ffmpeg_frames, jpeg
from support.clips import CODECS, INTRA_ONLY, clip, packet_places
from support.datasets import frame_pattern, write_video

COUNT = 24


def noisy_frames(count: int = COUNT, shape: tuple[int, int] = (112, 112)) -> list[np.ndarray]:
    """Patterns with speckle, so that a wrong or damaged frame cannot look right."""
    rng = np.random.default_rng(1)
    return [
        np.clip(frame_pattern(3, number)[: shape[0], : shape[1]] + rng.normal(0, 6, shape), 0, 255)
        .astype(np.uint8)
        for number in range(count)
    ]  # fmt: skip


FRAMES = noisy_frames()


def read(path: Path) -> tuple[list[Frame], str]:
    with Video(path) as video:
        frames = list(video.frames())
        assert video.count == len(frames)
        return frames, video.ending()


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("kind", CODECS)
def test_pixels_are_those_of_opencv(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / kind, clip(kind, FRAMES))
    expected = ffmpeg_frames(path)
    assert len(expected) == COUNT
    frames, ending = read(path)
    assert ending == ""
    assert [frame.number for frame in frames] == list(range(COUNT))
    np.testing.assert_array_equal([frame.pixels for frame in frames], expected)
    assert [frame.seconds for frame in frames] == pytest.approx(
        [number / 50 for number in range(COUNT)], abs=1e-3
    )
    with Video(path) as video:
        assert (video.shape, video.rate) == ((112, 112), 50)
        few = list(video.frames({17, 3, 99}))
    assert [frame.number for frame in few] == [3, 17]
    np.testing.assert_array_equal([frame.pixels for frame in few], expected[[3, 17]])


@pytest.mark.parametrize("codec", ["XVID", "FFV1", "HFYU", "MP42", "WMV2"])
def test_files_that_opencv_wrote(tmp_path: Path, codec: str) -> None:
    write_video(tmp_path / "a.avi", FRAMES, codec)
    frames, _ = read(tmp_path / "a.avi")
    np.testing.assert_array_equal(
        [frame.pixels for frame in frames], ffmpeg_frames(tmp_path / "a.avi")
    )


@pytest.mark.parametrize("kind", ["h264.mp4", "ffv1.mkv", "vp9.webm"])
def test_time_stamps_of_a_variable_rate(tmp_path: Path, kind: str) -> None:
    gaps = [20, 20, 33, 40, 100, 7, 20, 250, 16, 17]
    times = np.cumsum([0, *gaps]).tolist()
    path = write(tmp_path / kind, clip(kind, FRAMES[: len(times)], times))
    frames, _ = read(path)
    assert [frame.seconds for frame in frames] == pytest.approx(
        [time / 1000 for time in times], abs=1e-3
    )


def test_motion_jpeg_has_the_rate_of_its_header(tmp_path: Path) -> None:
    path = write(tmp_path / "a.avi", avi_bytes([jpeg(frame) for frame in FRAMES[:5]]))
    frames, _ = read(path)
    assert [frame.seconds for frame in frames] == pytest.approx([0, 0.02, 0.04, 0.06, 0.08])


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_turned_clip_is_read_upright(tmp_path: Path, degrees: int) -> None:
    content = clip("h264.mp4", noisy_frames(3, (80, 112)))
    # The matrix of the track header, as a telephone writes it.
    turn = {90: (0, -1, 1, 0), 180: (-1, 0, 0, -1), 270: (0, 1, -1, 0)}[degrees]
    a, b, c, d = (value << 16 for value in turn)
    at = content.index(b"tkhd") + 4 + 40
    matrix = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path = write(tmp_path / "a.mp4", content[:at] + matrix + content[at + 36 :])
    expected = ffmpeg_frames(path)
    assert expected[0].shape == ((112, 80) if degrees % 180 else (80, 112))
    with Video(path) as video:
        assert video.shape == expected[0].shape
    frames, _ = read(path)
    np.testing.assert_array_equal([frame.pixels for frame in frames], expected)


HEARD = ("h264.mp4", "h264.avi", "mpeg4.avi", "mpeg4.mp4", "mjpeg.mov", "ffv1.mkv")
"""Kinds whose decoders report lost data; that of VP9, for one, does not."""


@pytest.mark.parametrize("kind", HEARD)
@pytest.mark.parametrize("place", [5, 8, 14, 20])
@pytest.mark.parametrize("damage", ["end zeroed", "noise"])
def test_damage_is_told_and_no_other_frame_is_wrong(
    tmp_path: Path, kind: str, place: int, damage: str
) -> None:
    content = clip(kind, FRAMES)
    path = write(tmp_path / kind, content)
    clean = ffmpeg_frames(path)
    offset, size = packet_places(content)[place]
    kept = 8 if damage == "noise" else size // 3
    filler = np.random.default_rng(place).bytes(size) if damage == "noise" else bytes(size)
    write(path, content[: offset + kept] + filler[kept:] + content[offset + size :])
    frames, ending = read(path)
    assert ending == "" and [frame.number for frame in frames] == list(range(COUNT))
    damaged = [frame.number for frame in frames if frame.fault]
    assert damaged
    for frame in frames:
        assert (frame.pixels is None) == bool(frame.fault)
        if frame.pixels is not None:
            np.testing.assert_array_equal(frame.pixels, clean[frame.number])
    if kind in INTRA_ONLY:
        assert damaged == [place]
    else:
        # Until the next key frame, every eighth, and the frames shown between the two.
        assert max(damaged) - min(damaged) < 12


def test_a_damaged_motion_jpeg_frame_costs_itself_alone(tmp_path: Path) -> None:
    images = [jpeg(frame) for frame in FRAMES[:9]]
    images[4] = images[4][: len(images[4]) // 2] + bytes(len(images[4]) // 2) + b"\xff\xd9"
    frames, ending = read(write(tmp_path / "a.avi", avi_bytes(images)))
    assert ending == ""
    assert [frame.number for frame in frames if frame.fault] == [4]
    assert "frame 4 is damaged: its JPEG image cannot be decoded (" in frames[4].fault


@pytest.mark.parametrize("promised", [0, 3, 21, 2**31 - 1])
@pytest.mark.parametrize("codec", ["MJPG", "XVID"])
def test_a_header_that_lies_about_its_frames(tmp_path: Path, codec: str, promised: int) -> None:
    path = tmp_path / "a.avi"
    write_video(path, FRAMES[:12], codec)
    expected = [frame.pixels for frame in read(path)[0]]
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"avih") + 24, promised)
    struct.pack_into("<I", content, content.index(b"strh") + 40, promised)
    frames, ending = read(write(path, bytes(content)))
    assert ending == ""
    np.testing.assert_array_equal([frame.pixels for frame in frames], expected)


@pytest.mark.parametrize("codec", ["MJPG", "XVID", "FFV1"])
def test_a_file_that_is_cut_short_says_so(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "a.avi"
    write_video(path, FRAMES, codec)
    expected = [frame.pixels for frame in read(path)[0]]
    content = path.read_bytes()
    frames, ending = read(write(path, content[: len(content) // 2]))
    sound = [frame for frame in frames if frame.pixels is not None]
    assert 4 < len(sound) < 20
    for frame in sound:
        np.testing.assert_array_equal(frame.pixels, expected[frame.number])
    assert ending == f"the file is cut short after {len(frames)} frames"


@pytest.mark.parametrize("kind", ["h264.mp4", "mjpeg.mov", "ffv1.mkv"])
@pytest.mark.parametrize("tenth", range(1, 10))
def test_a_cut_anywhere_gives_right_frames_or_an_error(
    tmp_path: Path, kind: str, tenth: int
) -> None:
    content = clip(kind, FRAMES)
    clean = ffmpeg_frames(write(tmp_path / "a", content))
    try:
        frames, _ = read(write(tmp_path / "a", content[: len(content) * tenth // 10]))
    except VideoError as error:
        assert any(words in str(error) for words in ("cut short", "no video stream", "header"))
        return
    for frame in frames:
        if frame.pixels is not None:
            np.testing.assert_array_equal(frame.pixels, clean[frame.number])


def test_frames_of_another_size_are_not_decoded(tmp_path: Path) -> None:
    small = [jpeg(FRAMES[0][:80]), jpeg(FRAMES[1])]
    with Video(write(tmp_path / "a.avi", avi_bytes(small))) as video:
        assert video.shape == (80, 112)
        first, second = video.frames()
        (other,) = video.frames({1}, (112, 112))
    assert first.fault == "" and second.other_shape == (112, 112)
    assert second.fault == "frame 1 is 112x112, not 112x80"
    assert other.pixels is not None


def test_what_claims_to_be_huge_is_refused(tmp_path: Path) -> None:
    content = jpeg(FRAMES[0])
    at = content.index(b"\xff\xc0") + 5
    bomb = content[:at] + b"\x75\x30\x75\x30" + content[at + 4 :]
    with Video(write(tmp_path / "a.avi", avi_bytes([bomb, content]))) as video:
        bad, good = video.frames(shape=(112, 112))
    assert bad.other_shape == (30000, 30000)
    assert good.pixels is not None
    write_video(tmp_path / "b.avi", FRAMES[:2], "HFYU")
    content = bytearray((tmp_path / "b.avi").read_bytes())
    struct.pack_into("<ii", content, content.index(b"strf") + 12, 9000, 9000)
    with pytest.raises(VideoError, match="claims frames of 9000x9000"):
        Video(write(tmp_path / "b.avi", bytes(content)))
    struct.pack_into("<ii", content, content.index(b"strf") + 12, 30000, 30000)
    with pytest.raises(VideoError, match="header gives no size of its frames"):
        Video(write(tmp_path / "b.avi", bytes(content)))


@pytest.mark.parametrize("name", ["list.avi", "list.m3u8", "list.mp4", "list.txt"])
@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile other.avi\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.6,\nother.avi\n#EXT-X-ENDLIST\n",
        "[InternetShortcut]\nURL=file:other.avi\n",
        "other.avi\n",
    ],
)
def test_a_playlist_opens_no_other_file(tmp_path: Path, name: str, text: str) -> None:
    write_video(tmp_path / "other.avi", FRAMES[:3])
    with pytest.raises(VideoError, match=r"playlist|text, not a video"):
        Video(write(tmp_path / name, text.encode()))


def test_a_pattern_of_names_is_one_name(tmp_path: Path) -> None:
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"i{number:03d}.png"), FRAMES[number])
    (tmp_path / "i%03d.png").write_bytes((tmp_path / "i000.png").read_bytes())
    with pytest.raises(VideoError, match="a picture"):
        Video(tmp_path / "i%03d.png")
    with pytest.raises(FileNotFoundError):
        Video(tmp_path / "j%03d.png")


def test_names_that_ffmpeg_would_take_for_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "a.avi", FRAMES[:3], "XVID")
    for name in ("concat:a.avi", "file:a.avi", "-", "pipe:0", "http:x"):
        (tmp_path / name).write_bytes((tmp_path / "a.avi").read_bytes())
        assert len(read(Path(name))[0]) == 3


def test_a_movie_that_refers_to_another_file_is_not_followed(tmp_path: Path) -> None:
    content = clip("mjpeg.mov", FRAMES[:3])
    write(tmp_path / "other.mov", content)
    # A data reference that is not in the file itself: flag 1 says that it is.
    at = content.index(b"url ", content.index(b"dref")) + 4
    frames = []
    with contextlib.suppress(VideoError):
        frames, _ = read(write(tmp_path / "a.mov", content[:at] + bytes(4) + content[at + 4 :]))
    assert all(frame.pixels is None or frame.pixels.shape == (112, 112) for frame in frames)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.avi")
    (tmp_path / "link.avi").symlink_to("pipe.avi")
    for name in ("pipe.avi", "link.avi", "."):
        with pytest.raises(VideoError, match="not a regular file"):
            Video(tmp_path / name)
    with pytest.raises(VideoError, match="not a regular file"):
        Video(Path("/dev/zero"))
    with pytest.raises(OSError):
        Video(tmp_path / "link.avi", follow_link=False)


def test_motion_jpeg_is_not_decoded_from_the_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video(tmp_path / "a.avi", FRAMES[:9])
    monkeypatch.setattr(video_file, "Decoder", None)
    with Video(tmp_path / "a.avi") as video:
        assert [frame.number for frame in video.frames({8, 0})] == [0, 8]
