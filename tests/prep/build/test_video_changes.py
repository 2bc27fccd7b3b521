"""Videos that change after a build: noticed by content, whatever their size and times say."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from echo_common.errors import OutputError
from echo_common.store.reader import EchoStore
from echo_common.video.jpeg import decode_jpeg
from echo_prep.build import build as build_module
from echo_prep.build import video_changes
from echo_prep.build.build import build
from echo_prep.build.report import BuildReport
from echo_prep.build.video_changes import record_path
from echo_prep.settings import BuildSettings
from support.datasets import SHAPE, frame_pattern, small_videos, write_small_dataset, write_video
from support.stores import chunks_of, file_bytes

VIDEOS = small_videos(6)
FIRST = VIDEOS[0]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_small_dataset(tmp_path / "d", VIDEOS)


def make(data: Path, store: Path, **changes: Any) -> BuildReport:
    with chunks_of(4):
        return build(
            BuildSettings(data=data, store=store, jobs=1, **{"masks_only": True, **changes})
        )


def path_of(data: Path, name: str = FIRST.name) -> Path:
    return data / "Videos" / f"{name}.avi"


def replace_frame(path: Path, number: int) -> np.ndarray:
    """Put another image in the place of a frame, in as many bytes; gives its pixels."""
    content = path.read_bytes()
    start = content.index(b"movi") + 4
    for _ in range(number):
        start += 8 + int.from_bytes(content[start + 4 : start + 8], "little") + 1 & ~1
    size = int.from_bytes(content[start + 4 : start + 8], "little")
    flat = np.full(SHAPE, 77 + number, np.uint8)
    image = cv2.imencode(".jpg", flat, [cv2.IMWRITE_JPEG_QUALITY, 60])[1].tobytes()
    assert len(image) < size
    filled = image + bytes(size - len(image))
    path.write_bytes(content[: start + 8] + filled + content[start + 8 + size :])
    return decode_jpeg(image)


def frame_of(store: Path, name: str, number: int) -> np.ndarray:
    opened = EchoStore(store)
    rows = (opened.read("index/video") == name) & (opened.read("index/frame") == number)
    return opened.read("frames")[rows][0]


TRACED = min(FIRST.traces)
UNTRACED = next(number for number in range(12) if number not in FIRST.traces)


@pytest.mark.parametrize("name", ["s.zarr", "s.h5"])
@pytest.mark.parametrize("keep_time", [False, True])
def test_a_video_that_kept_its_size_is_read_again(
    data: Path, tmp_path: Path, name: str, keep_time: bool
) -> None:
    store, path = tmp_path / name, path_of(data)
    make(data, store)
    before = path.stat()
    pixels = replace_frame(path, TRACED)
    if keep_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    others = {video.name: frame_of(store, video.name, min(video.traces)) for video in VIDEOS[1:]}
    assert make(data, store).made == ("frames",)
    np.testing.assert_array_equal(frame_of(store, FIRST.name, TRACED), pixels)
    for other, expected in others.items():
        number = min(next(video.traces for video in VIDEOS if video.name == other))
        np.testing.assert_array_equal(frame_of(store, other, number), expected)
    assert make(data, store).made == ()
    # As if it had been built from the new videos at once.
    make(data, tmp_path / f"again{name}")
    assert file_bytes(tmp_path / f"again{name}") == file_bytes(store)


@pytest.mark.parametrize("change", ["time", "copy", "untraced frame", "link"])
def test_what_does_not_touch_a_traced_frame_changes_nothing(
    data: Path, tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, path = tmp_path / "s.zarr", path_of(data)
    make(data, store)
    before = file_bytes(store)
    if change == "time":
        os.utime(path, (1, 1))
    elif change == "copy":
        shutil.copy(path, tmp_path / "copy")
        (tmp_path / "copy").replace(path)
    elif change == "untraced frame":
        replace_frame(path, UNTRACED)
    else:
        path.rename(path.with_name("other.avi"))
        path.symlink_to("other.avi")
    report = make(data, store)
    assert report.made == () and report.rejects == ()
    assert file_bytes(store) == before
    # The comparison is recorded: no content is read for the next build.
    monkeypatch.setattr(video_changes, "read_frames", None)
    assert make(data, store).made == ()


def test_check_compares_even_if_nothing_seems_to_have_changed(data: Path, tmp_path: Path) -> None:
    store, path = tmp_path / "s.zarr", path_of(data)
    make(data, store)
    pixels = replace_frame(path, TRACED)
    record = json.loads(record_path(store).read_text())
    status = path.stat()
    record["videos"][FIRST.name] = [
        status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino
    ]  # fmt: skip
    record_path(store).write_text(json.dumps(record))
    assert make(data, store).made == ()
    assert make(data, store, check=True).made == ("frames",)
    np.testing.assert_array_equal(frame_of(store, FIRST.name, TRACED), pixels)
    assert make(data, store, check=True).made == ()


def test_a_store_without_a_record_is_compared_once(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "s.zarr"
    make(data, store)
    record_path(store).unlink()
    replace_frame(path_of(data), TRACED)
    assert make(data, store).made == ("frames",)
    record_path(store).write_text("no record")
    with pytest.raises(OutputError, match=r"videos\.json is there already"):
        make(data, store, method=("convexhull",))
    record_path(store).unlink()
    assert make(data, store).made == ()
    monkeypatch.setattr(video_changes, "read_frames", None)
    assert make(data, store).made == ()


def test_the_record_of_another_store_is_not_believed(data: Path, tmp_path: Path) -> None:
    store, old = tmp_path / "s.zarr", tmp_path / "old.zarr"
    make(data, old)
    pixels = replace_frame(path_of(data), TRACED)
    make(data, store)
    shutil.rmtree(store)
    shutil.copytree(old, store)
    assert make(data, store).made == ("frames",)
    np.testing.assert_array_equal(frame_of(store, FIRST.name, TRACED), pixels)


def test_nothing_in_a_store_depends_on_the_times_of_videos(data: Path, tmp_path: Path) -> None:
    make(data, tmp_path / "a.zarr")
    for path in (data / "Videos").iterdir():
        os.utime(path, (5, 5))
    make(data, tmp_path / "b.zarr")
    assert file_bytes(tmp_path / "a.zarr") == file_bytes(tmp_path / "b.zarr")


def test_a_video_that_changed_during_an_interrupted_build(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "s.zarr"

    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as first, pytest.raises(KeyboardInterrupt):
        first.setattr(build_module, "publish", interrupt)
        make(data, store)
    pixels = replace_frame(path_of(data), TRACED)
    tasks = build_module.run_tasks
    numbers: list[int] = []

    def run(todo: Any, *arguments: Any) -> Any:
        numbers.extend(task.number for task in todo)
        return tasks(todo, *arguments)

    monkeypatch.setattr(build_module, "run_tasks", run)
    make(data, store)
    # Two videos of two rows are a chunk; the other chunks were finished.
    assert numbers == [0]
    np.testing.assert_array_equal(frame_of(store, FIRST.name, TRACED), pixels)
    make(data, tmp_path / "again.zarr")
    assert file_bytes(tmp_path / "again.zarr") == file_bytes(store)
    monkeypatch.setattr(video_changes, "read_frames", None)
    assert make(data, store).made == ()


def test_videos_that_are_gone_or_cannot_be_opened_keep_their_rows(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "s.zarr"
    make(data, store)
    before = file_bytes(store)
    path_of(data, VIDEOS[1].name).unlink()
    os.utime(path_of(data), (1, 1))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert make(data, store).made == ()
    assert make(data, store, check=True).made == ()
    assert file_bytes(store) == before


def test_a_video_of_another_size_than_before(tmp_path: Path) -> None:
    data = write_small_dataset(tmp_path / "d", VIDEOS[:2])
    listed = (data / "FileList.csv").read_text()
    (data / "FileList.csv").write_text(listed.replace("112,112", ","))
    store = tmp_path / "s.zarr"
    assert make(data, store, size=96).rows == 4
    assert (EchoStore(store).read("index/source_shape") == 112).all()
    twice = np.ones((2, 2), np.uint8)
    write_video(path_of(data), [np.kron(frame_pattern(0, number), twice) for number in range(12)])
    report = make(data, store)
    assert (report.rows, report.rejects) == (4, ())
    assert (
        EchoStore(store).read("index/source_shape").tolist() == [[224, 224]] * 2 + [[112, 112]] * 2
    )
