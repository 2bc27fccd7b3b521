"""What a build makes, against the data set's own procedures; and that it makes nothing twice."""

from __future__ import annotations

import csv
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import xarray
import zarr

from echo_common.errors import DataError, DataNotFoundError, StoreError, StoreLockedError
from echo_common.lock import build_lock
from echo_common.store.reader import EchoStore
from echo_prep.build import stages
from echo_prep.build.build import build
from echo_prep.build.report import BuildReport
from echo_prep.dataset import tracings
from echo_prep.dataset import video as frames_module
from echo_prep.dataset.rejects import rejects_path
from echo_prep.dataset.trace_order import ROWS_IN_ORDER
from echo_prep.layouts import echonet_dynamic
from echo_prep.settings import BuildSettings
from support.avi import ffmpeg_frames
from support.datasets import (
    SHAPE,
    SmallVideo,
    half_ellipse_trace,
    small_videos,
    write_small_dataset,
    write_video,
)
from support.oracles import paper_band, reference_mask
from support.stores import build_store, file_bytes

COMMAND = [sys.executable, "-c", "from echo_prep.cli import main; main()", "build"]

LARGE, SMALL = half_ellipse_trace(width=30), half_ellipse_trace(width=14)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """140 videos with two traces each: 280 rows, so that a store has several chunks."""
    return write_small_dataset(tmp_path_factory.mktemp("data") / "d", small_videos(140))


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("undisturbed") / "echo.zarr"
    make(data, store)
    return store


def make(data: Path, store: Path, **changes: object) -> BuildReport:
    options: dict[str, object] = {"jobs": 1, "method": ("chords", "convexhull"), **changes}
    return build(BuildSettings(data=data, store=store, **options))  # type: ignore[arg-type]


def test_every_array_against_its_own_source(data: Path, undisturbed: Path) -> None:
    group = zarr.open_group(undisturbed, mode="r")
    videos = {video.name: video for video in small_videos(140)}
    names, numbers = group["index/video"][:], group["index/frame"][:]
    assert len(names) == 280
    for row in range(0, 280, 9):
        name, number = str(names[row]), int(numbers[row])
        trace = videos[name].traces[number]
        expected = ffmpeg_frames(data / "Videos" / f"{name}.avi")[number].astype(int)
        assert np.abs(group["frames"][row].astype(int) - expected).max() <= 2
        mask = reference_mask(trace, SHAPE)
        np.testing.assert_array_equal(group["masks/chords"][row], mask)
        np.testing.assert_allclose(group["tracing/long_axis"][row].ravel(), trace[0], atol=1e-5)
        np.testing.assert_allclose(group["tracing/contour"][row, 20], trace[20, 2:], atol=1e-5)
        heatmaps = group["landmarks/chords/anatomical-7/gaussian"][row] / 255
        points = group["landmarks/chords/anatomical-7/points"][row]
        assert not heatmaps[:, paper_band(mask) == 0].any()
        # A landmark on the contour's own line has its peak within a pixel of it.
        for heatmap, point in zip(heatmaps, points, strict=True):
            y, x = np.unravel_index(heatmap.argmax(), SHAPE)
            assert np.hypot(x - point[0], y - point[1]) < 1.5


def test_plain_zarr_and_xarray_read_it_with_dimension_names(undisturbed: Path) -> None:
    array = zarr.open(undisturbed, mode="r")["landmarks/chords/anatomical-7/gaussian"]
    assert array.metadata.dimension_names == ("frame", "landmark", "y", "x")
    assert array.attrs["scale"] == 1 / 255
    root = xarray.open_zarr(undisturbed, consolidated=False)
    assert root["frames"].dims == ("frame", "y", "x")
    assert root["frames"].shape == (280, *SHAPE)
    masks = xarray.open_zarr(undisturbed, group="masks", consolidated=False)
    index = xarray.open_zarr(undisturbed, group="index", consolidated=False)
    assert masks["chords"].dims == ("frame", "y", "x")
    area = masks["chords"].sum(["y", "x"]).values
    phase = index["phase"].values
    assert index["phase"].attrs["flag_meanings"] == "ED ES unknown"
    assert area[phase == 0].mean() > 1.5 * area[phase == 1].mean()
    assert str(index["video"].values[0]).startswith("0X")


def test_the_same_command_again_has_nothing_to_do(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "echo.zarr"
    first = make(data, store)
    assert first.made and not first.kept
    before = file_bytes(store)
    times = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    again = make(data, store)
    assert again.made == ()
    assert set(again.kept) == set(first.made)
    assert file_bytes(store) == before
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == times
    assert (again.rows, again.videos, again.traced) == (280, 140, 280)


def test_more_is_added_without_a_video_being_read(
    data: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "echo.zarr"
    make(data, store, method=("chords",))
    with monkeypatch.context() as patch:
        patch.setattr(frames_module, "read_frames", None)
        patch.setattr("echo_prep.build.worker.read_frames", None)
        # The rows stand in the store, made from the same CSV files.
        patch.setattr("echo_prep.layouts.echonet_dynamic.read_dataset", None)
        added = make(data, store, backend="threading")
        assert set(added.made) == {
            "masks/convexhull",
            "landmarks/convexhull/anatomical-7/points",
            "landmarks/convexhull/anatomical-7/gaussian",
        }
        more = make(
            data, store, identity=("angle",), landmarks=(3, 42), falloff=("euclidean",),
            method=("chords",), backend="threading",
        )  # fmt: skip
        assert len(more.made) == 4
    assert file_bytes(undisturbed).items() - file_bytes(store).items() == {
        ("zarr.json", file_bytes(undisturbed)["zarr.json"])
    }


@pytest.mark.parametrize("harm", ["chunk", "manifest", "code"])
def test_invalid_stored_rows_are_read_from_the_csv_files(
    data: Path, undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str
) -> None:
    store = tmp_path / "echo.zarr"
    make(data, store, method=("chords",))
    if harm == "code":
        monkeypatch.setitem(stages._CODE, "index", 2)
    else:
        chunk = store / "index/phase" / ("c.0" if harm == "chunk" else "manifest.json")
        chunk.write_bytes(bytes(reversed(chunk.read_bytes())))
    made = make(data, store, backend="threading").made
    assert "masks/convexhull" in made and "index" in made
    assert np.array_equal(
        EchoStore(store).read("index/phase"), EchoStore(undisturbed).read("index/phase")
    )


def test_traces_that_an_older_version_took_in_the_wrong_order_are_put_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_small_dataset(tmp_path / "d", small_videos(6))
    make(data, tmp_path / "right.zarr")
    lines = (data / "VolumeTracings.csv").read_text().splitlines()
    lines[1:] = sorted(lines[1:], key=lambda line: float(line.split(",")[3]))
    (data / "VolumeTracings.csv").write_text("\n".join(lines))
    store = tmp_path / "echo.zarr"
    with monkeypatch.context() as older:
        older.setattr(tracings, "in_order", lambda rows: np.ones(len(rows), dtype=bool))
        older.setattr(echonet_dynamic, "in_order", lambda rows: np.ones(len(rows), dtype=bool))
        assert make(data, store).notes.keys() <= {tracings._IRREGULAR}
        assert not make(data, store).made
    report = make(data, store)
    assert "masks/chords" in report.made
    assert report.notes.keys() == {ROWS_IN_ORDER} and not report.rejects
    order = np.argsort(EchoStore(store).read("index/video"), kind="stable")
    for array in ("masks/chords", "tracing/long_axis", "index/phase"):
        np.testing.assert_array_equal(
            EchoStore(store).read(array)[order], EchoStore(tmp_path / "right.zarr").read(array)
        )
    again = make(data, store)
    assert not again.made and again.notes == report.notes


def test_masks_alone_and_landmarks_later(data: Path, undisturbed: Path, tmp_path: Path) -> None:
    store = tmp_path / "echo.zarr"
    assert make(data, store, masks_only=True).made == (
        "index",
        "frames",
        "masks/chords",
        "masks/convexhull",
    )
    make(data, store)
    assert "landmarks/chords/anatomical-7/gaussian" in EchoStore(store).manifests
    assert make(data, store, masks_only=True).made == ()
    make(data, store, masks_only=True, prune=True)
    assert not (store / "landmarks").exists()


@pytest.mark.parametrize("how", [{"jobs": 2}, {"jobs": 3, "backend": "threading"}])
def test_neither_workers_nor_backend_change_a_byte(
    data: Path, undisturbed: Path, tmp_path: Path, how: dict[str, object]
) -> None:
    make(data, tmp_path / "echo.zarr", **how)
    assert file_bytes(tmp_path / "echo.zarr") == file_bytes(undisturbed)


@pytest.mark.parametrize("seed", range(3))
def test_a_killed_build_is_finished_by_the_next_byte_for_byte(
    data: Path, undisturbed: Path, tmp_path: Path, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    store = tmp_path / "echo.zarr"
    options = ["--data", str(data), "--store", str(store), "--method", "chords,convexhull"]
    kills = 0
    for _ in range(2):
        process = subprocess.Popen(
            [*COMMAND, *options, "--jobs", str(1 + seed % 2)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + 60
        while not (tmp_path / "echo.zarr.partial").exists() and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        time.sleep(rng.uniform(0, 0.5))
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills or store.exists()
    make(data, store)
    assert file_bytes(store) == file_bytes(undisturbed)
    assert not (tmp_path / "echo.zarr.partial").exists()


def test_ctrl_c_leaves_a_store_that_can_be_finished_and_says_so(
    data: Path, undisturbed: Path, tmp_path: Path
) -> None:
    store = tmp_path / "echo.zarr"
    options = ["--data", str(data), "--store", str(store), "--method", "chords,convexhull"]
    process = subprocess.Popen(
        [*COMMAND, *options, "--jobs", "1"], stderr=subprocess.PIPE, start_new_session=True
    )
    while not list(tmp_path.glob("echo.zarr.partial/arrays/frames/c*")):
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    last = err.decode().strip().splitlines()[-1]
    assert last == "interrupted: finished chunks are kept; run the same command again to resume"
    assert b"Traceback" not in err
    make(data, store)
    assert file_bytes(store) == file_bytes(undisturbed)


def test_a_changed_trace_makes_everything_stale(tmp_path: Path) -> None:
    videos = [SmallVideo(name="a", frames=9, traces={1: LARGE, 5: SMALL})]
    data, store = write_small_dataset(tmp_path / "d", videos), tmp_path / "echo.zarr"
    make(data, store)
    videos[0].traces[5] = SMALL + 1
    write_small_dataset(data, videos, write_videos=False)
    report = make(data, store)
    assert not report.kept
    make(data, tmp_path / "new.zarr")
    assert file_bytes(store) == file_bytes(tmp_path / "new.zarr")


def test_a_changed_video_makes_the_frames_stale_and_a_lost_one_does_not(tmp_path: Path) -> None:
    videos = [SmallVideo(name=name, frames=9, traces={1: LARGE, 5: SMALL}) for name in "ab"]
    data, store = write_small_dataset(tmp_path / "d", videos), tmp_path / "echo.zarr"
    make(data, store)
    before = zarr.open_group(store, mode="r")["frames"][:]
    write_video(data / "Videos" / "a.avi", [np.full(SHAPE, 77, np.uint8)] * 9)
    assert make(data, store).made == ("frames",)
    after = zarr.open_group(store, mode="r")["frames"][:]
    assert (after[:2] == 77).all()
    np.testing.assert_array_equal(after[2:], before[2:])
    (data / "Videos" / "b.avi").unlink()
    assert make(data, store).made == ()


def test_videos_that_cannot_be_read_keep_their_rows_and_are_listed(tmp_path: Path) -> None:
    (tmp_path / "secret.avi").write_bytes(b"not to be read")
    traces = {1: LARGE, 5: SMALL}
    names = ["sound", "missing", "empty", "link", "../secret", "short"]
    data = write_small_dataset(
        tmp_path / "d", [SmallVideo(name=n, frames=9, traces=traces) for n in names[:4] + names[5:]]
    )
    with (data / "FileList.csv").open("a") as file:
        file.write("../../secret,,,,,,50,9,TRAIN\n")
    folder = data / "Videos"
    (folder / "missing.avi").unlink()
    (folder / "empty.avi").write_bytes(b"")
    (folder / "link.avi").unlink()
    (folder / "link.avi").symlink_to(tmp_path / "secret.avi")
    write_video(folder / "short.avi", [np.zeros(SHAPE, np.uint8)] * 3)
    store = tmp_path / "echo.zarr"
    report = make(data, store)
    assert (report.rows, report.videos, report.traced) == (3, 2, 10)
    group = zarr.open_group(store, mode="r")
    assert group["index/status"][:].tolist() == [0, 0, 1, 1, 3, 3, 2, 2, 0, 4]
    assert not group["frames"][2:8].any() and not group["frames"][9].any()
    with rejects_path(store).open(newline="") as file:
        listed = [(row["video"], row["frame"], row["reason"]) for row in csv.DictReader(file)]
    assert sorted(listed) == sorted(
        [
            ("../../secret", "", "refused"),
            *[(n, f, r) for n, r in (("missing", "missing"), ("empty", "unreadable"),
                                     ("link", "refused")) for f in "15"],
            ("short", "5", "beyond-end"),
        ]
    )  # fmt: skip
    with pytest.raises(DataError, match="not valid, and --strict was given"):
        make(data, tmp_path / "strict.zarr", strict=True)


def test_no_readable_frame_at_all_is_an_error(tmp_path: Path) -> None:
    videos = [SmallVideo(name="a", frames=9, traces={1: LARGE})]
    data = write_small_dataset(tmp_path / "d", videos, write_videos=False)
    with pytest.raises(DataError, match=r"none of the 1 traced frames could be read.*no a\.avi"):
        make(data, tmp_path / "echo.zarr")
    (data / "Videos").rmdir()
    with pytest.raises(DataNotFoundError, match="no folder"):
        make(data, tmp_path / "other.zarr")


def test_what_is_not_a_store_is_not_overwritten(data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"dear")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").write_bytes(b"dear")
    for name in ("file", "folder"):
        with pytest.raises(StoreError, match="is not a store"):
            make(data, tmp_path / name)
    assert (tmp_path / "file").read_bytes() == b"dear"
    assert file_bytes(tmp_path / "folder") == {"thesis.txt": b"dear"}


def test_a_file_system_without_locks(
    small_dataset: Path, small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)
    store = tmp_path / "s.zarr"
    with build_lock(store), pytest.raises(StoreLockedError, match=f"process {os.getpid()} on "):
        build_store(small_dataset, store)
    build_store(small_dataset, store)
    assert file_bytes(store) == file_bytes(small_store)


def test_threads_are_not_needed(
    small_dataset: Path, small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, started = threading.Thread.start, []

    def refuse(thread: threading.Thread) -> None:
        started.append(thread.name)
        if "ThreadPoolExecutor" in thread.name:
            raise RuntimeError("can't start new thread")
        real(thread)

    monkeypatch.setattr("threading.Thread.start", refuse)
    store = build_store(small_dataset, tmp_path / "s.zarr")
    assert any("ThreadPoolExecutor" in name for name in started)
    assert file_bytes(store) == file_bytes(small_store)
