"""Fixtures shared by the tests of all packages."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from echo_prep.build.build import build
from echo_prep.settings import BuildSettings
from support.datasets import small_videos, write_small_dataset

# The duration of an example depends on the load of the machine.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests that need a GPU if there is none."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked:
        import torch

        if not torch.cuda.is_available():
            for item in marked:
                item.add_marker(pytest.mark.skip(reason="needs an NVIDIA GPU"))


@pytest.fixture(scope="session", autouse=True)
def _heed_ctrl_c() -> Iterator[None]:
    """Handle SIGINT, which shells make background processes and their children ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def small_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve sound videos of twelve frames."""
    return write_small_dataset(tmp_path_factory.mktemp("data") / "small", small_videos(12))


@pytest.fixture(scope="session")
def small_store(small_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Store of `small_dataset`, read-only: 12 training, 6 validation and 6 test frames."""
    store = tmp_path_factory.mktemp("cache") / "small.zarr"
    build(BuildSettings(data=small_dataset, store=store, jobs=1, backend="threading"))
    return store
