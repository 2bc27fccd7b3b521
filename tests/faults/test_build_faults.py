"""Nothing of a store is lost: its build is killed, its disk fills up, and it goes on."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest
from support.datasets import small_videos, write_small_dataset
from support.diskfaults import REMOVALS, STEPS, be_full, failing_disk, killed_at
from support.stores import build_in_small_chunks, file_bytes

FORMATS = ("zarr", "h5")

EVERY = "ECHO_EVERY_FAULT"
"""Environment variable with which a sweep takes every step, which takes some minutes."""

SAMPLES = 40


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three videos: six rows, in two chunks of four; one trace is not sound."""
    videos = small_videos(3)
    videos[0].traces[11] = videos[0].traces[min(videos[0].traces)][:5]
    return write_small_dataset(tmp_path_factory.mktemp("faults") / "data", videos)


@pytest.fixture(scope="module", params=FORMATS)
def whole(
    request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A store that nothing disturbed."""
    store = tmp_path_factory.mktemp("whole") / f"store.{request.param}"
    build_in_small_chunks(data, store)
    return store


def steps_of(data: Path, store: Path, calls: tuple[str, ...] = STEPS) -> int:
    """How many steps of writing a build takes."""
    with failing_disk(0, be_full, calls) as disk:
        build_in_small_chunks(data, store)
    shutil.rmtree(store.parent)
    store.parent.mkdir()
    return disk.steps


def sampled(steps: int, samples: int = SAMPLES) -> list[int]:
    """Some of the steps from 1, one out of each of as many stretches; all if it is asked for."""
    if EVERY in os.environ or steps <= samples:
        return list(range(1, steps + 1))
    chosen = random.Random(4)
    edges = [1 + steps * number // samples for number in range(samples + 1)]
    return [chosen.randrange(*pair) for pair in zip(edges, edges[1:], strict=False)]


def assert_same_folder(found: Path, whole: Path) -> None:
    """Check that all that stands beside the store, and in it, is as an undisturbed build's."""
    wanted, got = file_bytes(whole.parent), file_bytes(found.parent)
    assert sorted(got) == sorted(wanted)
    for name, content in wanted.items():
        if not name.endswith("rejects.csv"):
            assert got[name] == content, name


@pytest.mark.parametrize("calls", [STEPS, REMOVALS], ids=["writing", "removing"])
def test_a_build_killed_at_any_step_comes_to_the_same_end(
    data: Path, whole: Path, tmp_path: Path, calls: tuple[str, ...]
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    store = cache / whole.name
    steps = steps_of(data, store, calls)
    assert steps > 30
    for at in sampled(steps, SAMPLES if calls == STEPS else 8):
        assert killed_at(at, build_in_small_chunks, data, store, calls=calls), at
        build_in_small_chunks(data, store)
        assert_same_folder(store, whole)
        shutil.rmtree(cache)
        cache.mkdir()
