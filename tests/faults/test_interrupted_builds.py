"""A build or conversion that is killed, or whose disk is full, loses nothing and can be resumed.

The tests fail at a sample of the steps of writing: the steps are divided into
ranges of equal length, and one step of each is chosen at random with a fixed
seed. With the environment variable ECHO_EVERY_FAULT they fail at every step,
which takes minutes.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from echo_common.cli.command import run_command
from echo_common.errors import SettingsError
from echo_prep.build import worker
from echo_prep.cli import cli
from echo_prep.store.verify import verify
from support.datasets import frame_pattern, small_videos, write_video
from support.diskfaults import REMOVALS, STEPS, be_full, failing_disk, killed_at
from support.stores import (
    assert_same_folder,
    build_in_small_chunks,
    chunks_of,
    convert_in_small_chunks,
    copy_store,
    empty_folder,
    file_bytes,
    flip_chunk,
)

FORMATS = ("zarr", "h5")

NAMES = [video.name for video in small_videos(3)]


@pytest.fixture(scope="module", params=FORMATS)
def undisturbed(
    request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A store that was built without interruption, alone in its folder."""
    store = tmp_path_factory.mktemp("undisturbed") / f"store.{request.param}"
    build_in_small_chunks(data, store)
    return store


def sampled(steps: int, samples: int) -> list[int]:
    """A sample of the steps, counted from 1; all of them with ECHO_EVERY_FAULT."""
    if "ECHO_EVERY_FAULT" in os.environ or steps <= samples:
        return list(range(1, steps + 1))
    generator = random.Random(4)
    edges = [1 + steps * number // samples for number in range(samples + 1)]
    return [generator.randrange(*pair) for pair in itertools.pairwise(edges)]


def echo_prep(*words: object) -> tuple[int, str]:
    """Run a command; returns its exit code and its messages on stderr."""
    messages = io.StringIO()
    with chunks_of(4), contextlib.redirect_stderr(messages), pytest.raises(SystemExit) as stop:
        run_command(cli, args=[str(word) for word in words])
    assert isinstance(stop.value.code, int)
    assert "Traceback" not in messages.getvalue()
    return stop.value.code, messages.getvalue()


def build(data: Path, store: Path) -> tuple[int, str]:
    return echo_prep("build", "--data", data, "--store", store, "--jobs", 1)


@pytest.mark.parametrize(
    ("calls", "samples"), [(STEPS, 24), (REMOVALS, 6)], ids=["write", "remove"]
)
def test_a_build_killed_at_any_step_is_completed_by_the_next(
    data: Path, undisturbed: Path, cache: Path, calls: tuple[str, ...], samples: int
) -> None:
    store, expected = cache / undisturbed.name, file_bytes(undisturbed.parent)
    with failing_disk(0, be_full, calls) as disk:
        build_in_small_chunks(data, store)
    assert disk.steps > 50
    for step in sampled(disk.steps, samples):
        empty_folder(cache)
        assert killed_at(step, build_in_small_chunks, data, store, calls=calls), step
        build_in_small_chunks(data, store)
        assert_same_folder(cache, expected)


@pytest.mark.parametrize("change", ["another-method", "another-video"])
def test_a_change_killed_at_any_step_is_completed_by_the_next_build(
    data: Path, undisturbed: Path, cache: Path, tmp_path: Path, change: str
) -> None:
    options: dict[str, Any] = {"landmarks": (3,)}
    if change == "another-method":
        options |= {"method": ("convexhull",), "prune": True}
    else:
        data = Path(shutil.copytree(data, tmp_path / "data"))
        frames = [frame_pattern(9, number) for number in range(13)]
        write_video(data / "Videos" / f"{NAMES[2]}.avi", frames)
    store = cache / undisturbed.name
    copy_store(undisturbed, cache)
    with failing_disk(0, be_full) as disk:
        build_in_small_chunks(data, store, **options)
    expected = file_bytes(cache)
    assert expected != file_bytes(undisturbed.parent)
    for step in sampled(disk.steps, 8):
        copy_store(undisturbed, cache)
        assert killed_at(step, build_in_small_chunks, data, store, **options), step
        build_in_small_chunks(data, store, **options)
        assert_same_folder(cache, expected)


def test_a_video_that_changed_since_an_interrupted_build_is_read_again(
    data: Path, undisturbed: Path, cache: Path, tmp_path: Path
) -> None:
    changed = Path(shutil.copytree(data, tmp_path / "data"))
    video = changed / "Videos" / f"{NAMES[0]}.avi"
    before = video.read_bytes()
    write_video(video, [frame_pattern(9, number) for number in range(13)])
    after = video.read_bytes()
    store = cache / undisturbed.name
    with failing_disk(0, be_full) as disk:
        build_in_small_chunks(changed, store)
    expected = file_bytes(cache)
    assert expected != file_bytes(undisturbed.parent)
    for step in sampled(disk.steps, 12):
        empty_folder(cache)
        video.write_bytes(before)
        assert killed_at(step, build_in_small_chunks, changed, store), step
        video.write_bytes(after)
        build_in_small_chunks(changed, store)
        assert_same_folder(cache, expected)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_conversion_killed_at_any_step_is_completed_by_the_next(
    data: Path, undisturbed: Path, cache: Path, suffix: str
) -> None:
    target = cache / f"other.{suffix}"
    with failing_disk(0, be_full) as disk:
        convert_in_small_chunks(undisturbed, target)
    expected = file_bytes(cache)
    assert verify(target) == []
    for step in sampled(disk.steps, 10):
        empty_folder(cache)
        assert killed_at(step, convert_in_small_chunks, undisturbed, target), step
        try:
            convert_in_small_chunks(undisturbed, target)
        except SettingsError as error:
            # It was killed after the store was complete, while removing its work folder.
            assert "is a store already" in str(error)
            assert verify(target) == []
        else:
            assert_same_folder(cache, expected)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_full_disk_in_a_conversion_is_one_message(
    data: Path, undisturbed: Path, cache: Path, suffix: str
) -> None:
    target, before = cache / f"other.{suffix}", file_bytes(undisturbed.parent)
    with failing_disk(0, be_full) as disk:
        convert_in_small_chunks(undisturbed, target)
    expected = file_bytes(cache)
    for step in sampled(disk.steps, 8):
        empty_folder(cache)
        with failing_disk(step, be_full):
            code, messages = echo_prep("convert", undisturbed, target)
        assert code == 1, step
        assert messages.splitlines()[-1].startswith("error: the disk is full"), messages
        if not target.exists():
            convert_in_small_chunks(undisturbed, target)
            assert_same_folder(cache, expected)
    assert file_bytes(undisturbed.parent) == before


def test_a_full_disk_at_any_write_loses_nothing(data: Path, undisturbed: Path, cache: Path) -> None:
    store, expected = cache / undisturbed.name, file_bytes(undisturbed.parent)
    with failing_disk(0, be_full) as disk:
        build_in_small_chunks(data, store)
    for step in sampled(disk.steps, 14):
        empty_folder(cache)
        with mock.patch.object(worker, "read_frames", wraps=worker.read_frames) as read:
            with failing_disk(step, be_full):
                code, messages = build(data, store)
            assert code == 1, step
            assert messages.splitlines()[-1].startswith("error: the disk is full"), messages
            assert "finished chunks are kept" in messages
            assert not list(cache.rglob(".*.tmp"))
            frames_incomplete = (store / "frames").exists() and not (
                store / "index" / "status"
            ).exists()
            build_in_small_chunks(data, store)
        # A chunk that was not recorded, of one or two videos, is made twice. So is the complete
        # stage if it was being moved into the store.
        assert read.call_count <= 3 + (3 if frames_incomplete else 2)
        assert_same_folder(cache, expected)


@contextlib.contextmanager
def mounted(*words: object) -> Iterator[None]:
    """Mount a file system for the block; skips the test for users who may not."""
    mount = subprocess.run(["mount", *map(str, words)], capture_output=True, check=False)
    if mount.returncode:
        pytest.skip("only root may mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(words[-1])], check=True)


@pytest.mark.skipif(shutil.which("mount") is None, reason="mounts a small disk")
def test_a_small_disk_loses_nothing(data: Path, undisturbed: Path, cache: Path) -> None:
    store, expected = cache / undisturbed.name, file_bytes(undisturbed.parent)
    full = 0
    # Sizes in kilobytes. HDF5 may crash if only the last few kilobytes do not fit.
    for size in (40, 150, 250, 300, 340, 380, 400, 420, 440):
        with mounted("-t", "tmpfs", "-o", f"size={size}k", "tmpfs", cache):
            code, messages = build(data, store)
            if code:
                full += 1
                assert (code, messages.count("error: the disk is full")) == (1, 1), messages
                grow = ["mount", "-o", "remount,size=8m", str(cache)]
                subprocess.run(grow, check=True)
                assert build(data, store)[0] == 0
            assert_same_folder(cache, expected)
    assert full >= 5


def test_a_read_only_folder_is_one_message(data: Path, undisturbed: Path, cache: Path) -> None:
    store = cache / undisturbed.name
    copy_store(undisturbed, cache)
    other = cache / f"other.{undisturbed.suffix}"
    flip_chunk(store, "frames", "c.1.0.0")
    before = file_bytes(cache)
    if os.geteuid():
        guard: Any = contextlib.ExitStack()
        for folder in [cache, *(path for path in cache.rglob("*") if path.is_dir())]:
            folder.chmod(0o555)
            guard.callback(folder.chmod, 0o755)
    else:
        # Root may write to read-only folders, but not to a read-only file system.
        guard = mounted("--bind", "-o", "ro", cache, cache)
    with guard:
        for path in (other, store):
            code, messages = echo_prep(
                "build", "--data", data, "--store", path, "--jobs", 1, "--check"
            )
            assert code == 1
            assert len(messages.splitlines()) == 1
            assert messages.startswith(("error: read-only file system", "error: permission denied"))
            assert str(cache) in messages
        assert [(fault.where, fault.chunk) for fault in verify(store)] == [("frames", "c.1.0.0")]
    assert file_bytes(cache) == before


WAITING_BUILD = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from echo_prep.build import parallel
from support.stores import build_in_small_chunks
def wait(task):
    print("building", flush=True)
    time.sleep(600)
parallel.make_chunk = wait
build_in_small_chunks(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_two_builds_at_once(data: Path, undisturbed: Path, cache: Path) -> None:
    store = cache / undisturbed.name
    tests = str(Path(__file__).parents[1])
    command = [sys.executable, "-c", WAITING_BUILD, str(data), str(store), tests]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"building\n"
        code, messages = build(data, store)
        assert code == 1
        assert messages.startswith(f"error: {store} is being built by process {first.pid} on ")
        first.send_signal(signal.SIGKILL)
    assert build(data, store)[0] == 0
    assert_same_folder(cache, file_bytes(undisturbed.parent))
