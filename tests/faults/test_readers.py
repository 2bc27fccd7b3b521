"""Videos and tables that lie: whatever is in them, no wrong frame, and nothing read outside.

`tests/prep/test_poison.py` builds whole stores from damaged data sets; here
each size, count and link that a file can lie with is gone through, and all
that a fuzzer once found worth keeping is read again.
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
from echo_prep.dataset.echonet_dynamic import read_dataset
from echo_prep.dataset.video import prepare_process, read_frames
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


def kept(reader: str) -> list[Path]:
    return sorted((CORPUS / reader).iterdir())


@pytest.mark.parametrize("reader", sorted(READERS))
def test_what_the_fuzzer_found_and_began_with(reader: str, tmp_path: Path) -> None:
    read, seeds = READERS[reader]
    inputs = kept(reader)
    assert len(inputs) > 10
    for content in [*seeds(), *(file.read_bytes() for file in inputs)]:
        read(content, tmp_path)


def assert_no_wrong_frame(folder: Path, content: bytes) -> list[bool]:
    """Check that each frame is the right one or is refused; gives which were read."""
    prepare_process()
    (folder / "a.avi").write_bytes(content)
    reads = read_frames(folder, "a", [*range(COUNT), COUNT, 2**31 - 1], SHAPE)
    for number, read in enumerate(reads):
        if read.pixels is None:
            assert read.message
            continue
        assert number < COUNT
        nearest = [int(np.abs(read.pixels.astype(int) - truth).mean() * 10) for truth in TRUTH]
        assert int(np.argmin(nearest)) == number, nearest
    return [read.pixels is not None for read in reads[:COUNT]]


def chunk_places(content: bytes) -> list[int]:
    """Where the size of each chunk and list of an AVI file stands."""
    places, at = [4], 12
    while at + 8 <= len(content):
        size = struct.unpack_from("<I", content, at + 4)[0]
        places.append(at + 4)
        at += 12 if content[at : at + 4] == b"LIST" else 8 + size + size % 2
    return places


@pytest.fixture(scope="module", params=LAYOUTS)
def video(request: pytest.FixtureRequest) -> bytes:
    return avi_bytes([jpeg(frame) for frame in TRUTH], layout=LAYOUTS[request.param])


@pytest.mark.parametrize("false", [0, 1, 7, "more", 0x7FFFFFFF, 0xFFFFFFF0, 0xFFFFFFFF])
def test_a_false_size_of_any_chunk(video: bytes, tmp_path: Path, false: int | str) -> None:
    for place in chunk_places(video):
        changed = bytearray(video)
        size = struct.unpack_from("<I", video, place)[0]
        struct.pack_into("<I", changed, place, size + 2 if isinstance(false, str) else false)
        assert_no_wrong_frame(tmp_path, bytes(changed))


@pytest.mark.parametrize("false", [0, 1, COUNT - 1, COUNT + 1, 2**31 - 1, 2**32 - 1])
def test_a_false_count_of_frames_is_not_believed(video: bytes, tmp_path: Path, false: int) -> None:
    changed = bytearray(video)
    # In the main header, and in the header of each stream.
    struct.pack_into("<I", changed, video.index(b"avih") + 8 + 16, false)
    at = video.find(b"strh")
    while at >= 0:
        struct.pack_into("<I", changed, at + 8 + 32, false)
        at = video.find(b"strh", at + 1)
    assert assert_no_wrong_frame(tmp_path, bytes(changed)) == [True] * COUNT


@pytest.mark.parametrize("tenth", range(1, 10))
def test_a_video_cut_at_each_tenth(video: bytes, tmp_path: Path, tenth: int) -> None:
    cut = len(video) * tenth // 10
    read = assert_no_wrong_frame(tmp_path, video[:cut])
    ends = [video.index(jpeg(frame)) + len(jpeg(frame)) for frame in TRUTH]
    assert read == [end <= cut for end in ends]


@pytest.mark.parametrize("codec", ["FFV1", "MJPG"])
@pytest.mark.parametrize("tenth", range(10))
def test_a_video_of_a_writer_cut_at_each_tenth(tmp_path: Path, tenth: int, codec: str) -> None:
    write_video(tmp_path / "a.avi", TRUTH, codec)
    content = (tmp_path / "a.avi").read_bytes()
    assert_no_wrong_frame(tmp_path, content[: len(content) * tenth // 10])


OPENED: list[str] | None = None


def note_opened(event: str, arguments: tuple[Any, ...]) -> None:
    if OPENED is not None and event in ("open", "os.listdir", "os.scandir"):
        OPENED.append(str(arguments[0]))


sys.addaudithook(note_opened)

VIDEOS = small_videos(3)
NAME, *OTHERS = (video.name for video in VIDEOS)


def opened_by_build(data: Path, store: Path) -> list[str]:
    """Build a store; gives the paths that were opened meanwhile."""
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
def test_a_name_reaches_nothing_outside_the_folder(tmp_path: Path, name: str) -> None:
    data = write_small_dataset(tmp_path / "d", VIDEOS)
    for place in (tmp_path, data):
        (place / "secret.avi").write_bytes((data / "Videos" / f"{NAME}.avi").read_bytes())
    for table in ("FileList.csv", "VolumeTracings.csv"):
        text = (data / table).read_text().replace(NAME, name)
        (data / table).write_text(text)
    opened = opened_by_build(data, tmp_path / "s.zarr")
    assert any(path.endswith(f"{OTHERS[0]}.avi") for path in opened)
    assert not [path for path in opened if "secret" in path or path.endswith("hostname")]
    found = read_all(tmp_path / "s.zarr")
    assert set(found["index/video"][found["index/status"] == 0]) == set(OTHERS)


@pytest.mark.parametrize(
    "kind", ["outside", "chain", "folder-link", "loop", "nowhere", "pipe", "device", "folder"]
)
def test_what_is_no_file_of_the_folder_is_not_read(tmp_path: Path, kind: str) -> None:
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
    assert not [one for one in opened if "secret" in one or one in ("/dev/zero", str(path))]
    found = read_all(tmp_path / "s.zarr")
    assert set(found["index/video"][found["index/status"] == 0]) == set(OTHERS)


def test_a_folder_of_videos_may_itself_be_a_link(tmp_path: Path) -> None:
    data = write_small_dataset(tmp_path / "d", VIDEOS)
    (data / "Videos").rename(tmp_path / "elsewhere")
    (data / "Videos").symlink_to(tmp_path / "elsewhere")
    build(BuildSettings(data=data, store=tmp_path / "s.zarr", jobs=1, landmarks=(3,)))
    assert not read_all(tmp_path / "s.zarr")["index/status"].any()


@pytest.mark.parametrize("table", ["FileList.csv", "VolumeTracings.csv"])
@pytest.mark.parametrize("kind", ["folder", "pipe", "loop", "utf-16", "zeros", "one-line", "wide"])
def test_a_table_that_is_none_is_an_error(tmp_path: Path, table: str, kind: str) -> None:
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
                "utf-16": text.encode("utf-16"),
                "zeros": bytes(len(text)),
                "one-line": text.replace("\n", " ").encode(),
                "wide": b"," * 1_000_000,
            }[kind]
        )
    with pytest.raises(EchoError, match=table) as error:
        read_dataset(data)
    assert str(error.value).isprintable()
