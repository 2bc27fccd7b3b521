"""Videos and tables with false content give no wrong frame, and no file outside is opened.

The tests try every size, count and link that may be false, and read all inputs
that a fuzzer has collected. `test_damaged_data_sets.py` builds stores
from damaged data sets.
"""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echo_common.errors import EchoError
from echo_prep.build.build import build
from echo_prep.dataset.file_names import VideoFolder
from echo_prep.dataset.video import prepare_process, read_frames
from echo_prep.layouts.echonet_dynamic import read_dataset
from echo_prep.settings import BuildSettings
from support.avi import Layout, avi_bytes, jpeg
from support.datasets import SHAPE, frame_pattern, small_videos, write_small_dataset, write_video
from support.fuzz import READERS
from support.stores import read_all

CORPUS = Path(__file__).parent / "corpus"

COUNT = 6
TRUTH = [frame_pattern(0, number) for number in range(COUNT)]
LAYOUTS = {
    "index": Layout(),
    "no-index": Layout(index=None),
    "lists-and-sound": Layout(index="file", rec=True, sound=True, junk=True),
}


@pytest.mark.parametrize("reader", sorted(READERS))
def test_inputs_of_the_fuzzer(reader: str, tmp_path: Path) -> None:
    read, seeds = READERS[reader]
    inputs = sorted((CORPUS / reader).iterdir())
    assert len(inputs) > 10
    for content in [*seeds(), *(file.read_bytes() for file in inputs)]:
        read(content, tmp_path)


def assert_no_wrong_frame(folder: Path, content: bytes) -> list[bool]:
    """Check that each frame is either correct or refused; returns which ones were read."""
    prepare_process()
    (folder / "a.avi").write_bytes(content)
    reads = read_frames(VideoFolder(folder), "a", [*range(COUNT), COUNT, 2**31 - 1], SHAPE)
    for number, read in enumerate(reads):
        if read.pixels is None:
            assert read.message
            continue
        assert number < COUNT
        differences = [int(np.abs(read.pixels.astype(int) - truth).mean() * 10) for truth in TRUTH]
        assert int(np.argmin(differences)) == number, differences
    return [read.pixels is not None for read in reads[:COUNT]]


def size_offsets(content: bytes) -> list[int]:
    """Offsets of the size fields of all chunks and lists of an AVI file."""
    offsets, start = [4], 12
    while start + 8 <= len(content):
        size = struct.unpack_from("<I", content, start + 4)[0]
        offsets.append(start + 4)
        start += 12 if content[start : start + 4] == b"LIST" else 8 + size + size % 2
    return offsets


@pytest.fixture(scope="module", params=LAYOUTS)
def video(request: pytest.FixtureRequest) -> bytes:
    return avi_bytes([jpeg(frame) for frame in TRUTH], layout=LAYOUTS[request.param])


@pytest.mark.parametrize("false", [0, 1, 7, "more", 0x7FFFFFFF, 0xFFFFFFF0, 0xFFFFFFFF])
def test_a_false_size_of_any_chunk_gives_no_wrong_frame(
    video: bytes, tmp_path: Path, false: int | str
) -> None:
    for offset in size_offsets(video):
        changed = bytearray(video)
        size = struct.unpack_from("<I", video, offset)[0]
        struct.pack_into("<I", changed, offset, size + 2 if isinstance(false, str) else false)
        assert_no_wrong_frame(tmp_path, bytes(changed))


@pytest.mark.parametrize("false", [0, 1, COUNT - 1, COUNT + 1, 2**31 - 1, 2**32 - 1])
def test_a_false_number_of_frames_is_ignored(video: bytes, tmp_path: Path, false: int) -> None:
    changed = bytearray(video)
    # The number is in the main header, and in the header of each stream.
    struct.pack_into("<I", changed, video.index(b"avih") + 8 + 16, false)
    offset = video.find(b"strh")
    while offset >= 0:
        struct.pack_into("<I", changed, offset + 8 + 32, false)
        offset = video.find(b"strh", offset + 1)
    assert assert_no_wrong_frame(tmp_path, bytes(changed)) == [True] * COUNT


@pytest.mark.parametrize("tenth", range(1, 10))
def test_a_truncated_video_gives_the_frames_before_the_cut(
    video: bytes, tmp_path: Path, tenth: int
) -> None:
    cut = len(video) * tenth // 10
    read = assert_no_wrong_frame(tmp_path, video[:cut])
    ends = [video.index(jpeg(frame)) + len(jpeg(frame)) for frame in TRUTH]
    assert read == [end <= cut for end in ends]


@pytest.mark.parametrize("codec", ["FFV1", "MJPG"])
@pytest.mark.parametrize("tenth", range(10))
def test_a_truncated_video_of_opencv_gives_no_wrong_frame(
    tmp_path: Path, tenth: int, codec: str
) -> None:
    write_video(tmp_path / "a.avi", TRUTH, codec)
    content = (tmp_path / "a.avi").read_bytes()
    assert_no_wrong_frame(tmp_path, content[: len(content) * tenth // 10])


OPENED: list[str] | None = None


def record_opened(event: str, arguments: tuple[Any, ...]) -> None:
    if OPENED is not None and event in ("open", "os.listdir", "os.scandir"):
        OPENED.append(str(arguments[0]))


sys.addaudithook(record_opened)

VIDEOS = small_videos(3)
NAME, *OTHERS = (video.name for video in VIDEOS)


def opened_by_build(data: Path, store: Path) -> list[str]:
    """Build a store; returns the paths that were opened during the build."""
    global OPENED
    OPENED = []
    try:
        build(BuildSettings(data=data, store=store, jobs=1, landmarks=(3,)))
        return OPENED
    finally:
        OPENED = None


@pytest.mark.parametrize(
    "name",
    [
        "..",
        "../secret",
        "../../secret",
        "..\\secret",
        "./secret",
        "/etc/hostname",
        "a/../../secret",
        "~root",
        ".",
        "-",
        "file:///etc/hostname",
        "․․/secret",
        "secret\x00",
        "x" * 300,
    ],
)
def test_a_name_opens_no_file_outside_the_folder(tmp_path: Path, name: str) -> None:
    data = write_small_dataset(tmp_path / "d", VIDEOS)
    for folder in (tmp_path, data):
        (folder / "secret.avi").write_bytes((data / "Videos" / f"{NAME}.avi").read_bytes())
    for table in ("FileList.csv", "VolumeTracings.csv"):
        text = (data / table).read_text().replace(NAME, name)
        (data / table).write_text(text)
    opened = opened_by_build(data, tmp_path / "s.zarr")
    assert any(path.endswith(f"{OTHERS[0]}.avi") for path in opened)
    assert not [path for path in opened if "secret" in path or path.endswith("hostname")]
    content = read_all(tmp_path / "s.zarr")
    assert set(content["index/video"][content["index/status"] == 0]) == set(OTHERS)


@pytest.mark.parametrize(
    "kind", ["outside", "chain", "folder-link", "loop", "nowhere", "pipe", "device", "folder"]
)
def test_links_and_special_files_are_not_opened(tmp_path: Path, kind: str) -> None:
    data = write_small_dataset(tmp_path / "d", VIDEOS)
    path = data / "Videos" / f"{NAME}.avi"
    secret = tmp_path / "secret" / f"{NAME}.avi"
    secret.parent.mkdir()
    path.rename(secret)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        link = data / "Videos" / "other"
        link.symlink_to(secret if kind == "chain" else secret.parent)
        path.symlink_to(
            {
                "outside": secret,
                "chain": link,
                "folder-link": link / secret.name,
                "loop": path,
                "nowhere": tmp_path / "nowhere",
                "device": Path("/dev/zero"),
            }[kind]
        )
    opened = opened_by_build(data, tmp_path / "s.zarr")
    assert not [name for name in opened if "secret" in name or name in ("/dev/zero", str(path))]
    content = read_all(tmp_path / "s.zarr")
    assert set(content["index/video"][content["index/status"] == 0]) == set(OTHERS)


def test_the_folder_of_videos_may_be_a_link(tmp_path: Path) -> None:
    data = write_small_dataset(tmp_path / "d", VIDEOS)
    (data / "Videos").rename(tmp_path / "elsewhere")
    (data / "Videos").symlink_to(tmp_path / "elsewhere")
    build(BuildSettings(data=data, store=tmp_path / "s.zarr", jobs=1, landmarks=(3,)))
    assert not read_all(tmp_path / "s.zarr")["index/status"].any()


@pytest.mark.parametrize("table", ["FileList.csv", "VolumeTracings.csv"])
@pytest.mark.parametrize(
    "kind", ["folder", "pipe", "loop", "workbook", "zeros", "one-line", "wide"]
)
def test_a_file_that_is_not_a_table_is_an_error(tmp_path: Path, table: str, kind: str) -> None:
    data = write_small_dataset(tmp_path / "d", VIDEOS, write_videos=False)
    path = data / table
    text = path.read_text()
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    else:
        path.write_bytes(
            {
                "workbook": b"PK\x03\x04" + text.encode(),
                "zeros": bytes(len(text)),
                "one-line": text.replace("\n", " ").encode(),
                "wide": b"," * 1_000_000,
            }[kind]
        )
    with pytest.raises(EchoError, match=table) as error:
        read_dataset(data)
    assert str(error.value).isprintable()
