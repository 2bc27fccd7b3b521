"""Every backend makes the same store; a killed worker costs its own task at most."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
import pytest

from echo_common.errors import SettingsError, StoreError
from echo_prep.build import worker
from echo_prep.build.build import build
from echo_prep.settings import BuildSettings
from echo_prep.store.verify import verify
from support.datasets import small_videos, write_small_dataset
from support.stores import build_store, file_bytes

_PACKAGE = {"dask": "distributed", "ray": "ray"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 videos: 400 rows, four chunks."""
    root = tmp_path_factory.mktemp("parallel")
    return write_small_dataset(root / "data", small_videos(200))


@pytest.fixture(scope="module")
def wanted(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return file_bytes(build_store(data, tmp_path_factory.mktemp("wanted") / "store.zarr"))


@pytest.mark.parametrize("backend", ["loky", "threading", "dask", "ray"])
def test_every_backend_makes_the_same_store(
    data: Path, wanted: dict[str, bytes], tmp_path: Path, backend: str
) -> None:
    if backend in _PACKAGE:
        pytest.importorskip(_PACKAGE[backend], reason=f"the extra {backend} is not installed")
    store = build_store(data, tmp_path / "store.zarr", jobs=2, backend=backend)
    assert file_bytes(store) == wanted


def test_an_existing_dask_cluster(data: Path, wanted: dict[str, bytes], tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0"
    ) as cluster:
        store = build_store(
            data,
            tmp_path / "store.zarr",
            jobs=2,
            backend="dask",
            scheduler=cluster.scheduler_address,
        )
    assert file_bytes(store) == wanted


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backend": "loky", "scheduler": "tcp://localhost:1"}, r"--scheduler is for"),
        ({"backend": "dask", "scheduler": "nonsense://here"}, r"no dask cluster at nonsense"),
    ],
)
def test_a_scheduler_that_cannot_be_used(
    data: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    if options["backend"] in _PACKAGE:
        pytest.importorskip(_PACKAGE[options["backend"]], reason="the extra is not installed")
    with pytest.raises(SettingsError, match=message):
        build_store(data, tmp_path / "store.zarr", jobs=2, **options)


def test_a_dask_cluster_without_workers_is_not_waited_for(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distributed = pytest.importorskip("distributed", reason="the extra dask is not installed")
    monkeypatch.setattr("echo_prep.build.parallel._POLL", 0.1)
    monkeypatch.setattr("echo_prep.build.parallel._PATIENCE", 0.5)
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=":0") as cluster,
        pytest.raises(StoreError, match="has no worker; finished chunks are kept"),
    ):
        build_store(
            data,
            tmp_path / "store.zarr",
            backend="dask",
            scheduler=cluster.scheduler_address,
        )


@pytest.mark.parametrize("error", [OSError(errno.ENOSYS, "none here"), ImportError("none here")])
def test_without_semaphores_the_workers_are_threads(
    data: Path,
    wanted: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
) -> None:
    monkeypatch.setattr(
        "multiprocessing.context.BaseContext.Semaphore", mock.Mock(side_effect=error)
    )
    store = build_store(data, tmp_path / "store.zarr", jobs=2)
    assert file_bytes(store) == wanted
    assert "so the workers are threads" in capsys.readouterr().err


def test_too_little_memory_is_one_message(
    data: Path, wanted: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        # As OpenCV says it: 2 exabytes, for which there is no memory on any machine.
        cv2.resize(np.zeros((1, 1), np.uint8), (2**31 - 1, 2**30))

    store = tmp_path / "store.zarr"
    with monkeypatch.context() as patch:
        patch.setattr("echo_prep.build.worker.draw_heatmaps", fail)
        with pytest.raises(MemoryError, match="OpenCV"):
            build_store(data, store)
    assert file_bytes(build_store(data, store)) == wanted


def test_a_scheduler_is_refused_even_if_no_worker_would_start(data: Path, tmp_path: Path) -> None:
    store = build_store(data, tmp_path / "store.zarr", masks_only=True)
    with pytest.raises(SettingsError, match=r"--scheduler is for"):
        build_store(
            data, store, masks_only=True, method=("convexhull",), scheduler="tcp://localhost:1"
        )


def _kill_at(number: int, mark: Path, always: bool) -> Any:
    """A `make_chunk` that ends its own process at one chunk, the first time or every time."""
    make_chunk = worker.make_chunk
    here = os.getpid()

    def deadly(task: worker.ChunkTask) -> int:
        if task.number == number and os.getpid() != here and (always or not mark.exists()):
            mark.touch()
            worker.WorkFolder(task.work).mark_started(task.number)
            os.kill(os.getpid(), signal.SIGKILL)
        return make_chunk(task)

    return deadly


def test_a_worker_that_is_killed_once_is_replaced(
    data: Path, wanted: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = tmp_path / "killed"
    monkeypatch.setattr("echo_prep.build.parallel.make_chunk", _kill_at(1, mark, always=False))
    store = build_store(data, tmp_path / "store.zarr", jobs=2)
    assert mark.exists()
    assert file_bytes(store) == wanted


@pytest.mark.parametrize("backend", ["dask", "ray"])
def test_a_cluster_replaces_a_worker_that_is_killed_once(
    data: Path,
    wanted: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    backend: str,
) -> None:
    pytest.importorskip(_PACKAGE[backend], reason=f"the extra {backend} is not installed")
    mark = tmp_path / "killed"
    monkeypatch.setattr("echo_prep.build.parallel.make_chunk", _kill_at(1, mark, always=False))
    store = build_store(data, tmp_path / "store.zarr", jobs=2, backend=backend)
    assert mark.exists()
    assert file_bytes(store) == wanted


@pytest.mark.parametrize("backend", ["dask", "ray"])
def test_a_cluster_names_a_task_that_kills_its_workers(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    pytest.importorskip(_PACKAGE[backend], reason=f"the extra {backend} is not installed")
    store = tmp_path / "store.zarr"
    monkeypatch.setattr(
        "echo_prep.build.parallel.make_chunk", _kill_at(2, tmp_path / "mark", always=True)
    )
    with pytest.raises(StoreError, match=r"killed twice.*chunk 2 \(rows 256 to 383"):
        build_store(data, store, jobs=2, backend=backend)
    records = store.with_name("store.zarr.partial") / "records" / "frames"
    assert sorted(file.name for file in records.iterdir()) == ["0.json", "1.json", "3.json"]


@pytest.mark.parametrize("backend", ["loky", "threading", "dask", "ray"])
def test_a_full_disk_is_not_reported_as_a_killed_worker(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    if backend in _PACKAGE:
        pytest.importorskip(_PACKAGE[backend], reason=f"the extra {backend} is not installed")
    make_chunk = worker.make_chunk

    def full(task: worker.ChunkTask) -> int:
        if task.number == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/somewhere/c.2")
        return make_chunk(task)

    monkeypatch.setattr("echo_prep.build.parallel.make_chunk", full)
    with pytest.raises(StoreError, match=r"/somewhere/c\.2.*finished chunks are kept"):
        build_store(data, tmp_path / "store.zarr", jobs=2, backend=backend)


def test_masks_are_made_before_workers_would_have_started(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = build_store(data, tmp_path / "wanted.zarr", method=("chords", "convexhull"))
    store = build_store(data, tmp_path / "store.zarr", masks_only=True)
    made: list[int] = []
    make_chunk = worker.make_chunk
    here = os.getpid()

    def noted(task: worker.ChunkTask) -> int:
        made.append(os.getpid() - here)
        return make_chunk(task)

    monkeypatch.setattr("echo_prep.build.parallel.make_chunk", noted)
    build_store(data, store, jobs=2, masks_only=True, method=("convexhull",))
    assert made == [0] * 4
    # Where there is more to do than fits in that time, workers go on with it.
    monkeypatch.setattr("echo_prep.build.parallel._HEAD_START", 0.0)
    build_store(data, store, jobs=2, method=("chords", "convexhull"))
    assert made == [0] * 4
    assert file_bytes(store) == file_bytes(wanted)


def test_a_task_that_kills_its_worker_is_named_and_the_rest_is_kept(
    data: Path, wanted: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(
            "echo_prep.build.parallel.make_chunk", _kill_at(2, tmp_path / "mark", always=True)
        )
        with pytest.raises(
            StoreError, match=r"killed twice.*chunk 2 \(rows 256 to 383, videos 0X0+80 to 0X0+BF"
        ):
            build_store(data, store, jobs=2)
    records = store.with_name("store.zarr.partial") / "records" / "frames"
    assert sorted(file.name for file in records.iterdir()) == ["0.json", "1.json", "3.json"]
    made: list[int] = []
    make_chunk = worker.make_chunk

    def noted(task: worker.ChunkTask) -> int:
        made.append(task.number)
        return make_chunk(task)

    monkeypatch.setattr("echo_prep.build.parallel.make_chunk", noted)
    build(BuildSettings(data=data, store=store, jobs=1))
    assert made == [2]
    assert file_bytes(store) == wanted
    assert verify(store) == []
