"""Fixtures of the fault tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.damage import Bench
from support.datasets import small_videos, write_small_dataset


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three videos with six rows, in two chunks of at most four; a seventh trace is not sound."""
    videos = small_videos(3)
    videos[0].traces[11] = videos[0].traces[min(videos[0].traces)][:5]
    return write_small_dataset(tmp_path_factory.mktemp("faults") / "data", videos)


@pytest.fixture(scope="module")
def zarr(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(data, tmp_path_factory.mktemp("zarr"), "zarr")


@pytest.fixture(scope="module")
def hdf5(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(data, tmp_path_factory.mktemp("hdf5"), "h5")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """An empty folder for a store."""
    folder = tmp_path / "cache"
    folder.mkdir()
    return folder
