"""Nothing of a store is lost: its build is killed, its disk fills up, and it goes on.

A sweep over the steps of writing takes a sample of them, one at random (with a
fixed seed) out of each of as many stretches of equal length. With the
environment variable ECHO_EVERY_FAULT it takes every step, which takes minutes.
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
    empty,
    file_bytes,
    fill,
    flip_chunk,
)

FORMATS = ("zarr", "h5")

NAMES = [video.name for video in small_videos(3)]


@pytest.fixture(scope="module", params=FORMATS)
def whole(
    request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A store that nothing disturbed, alone in its folder."""
    store = tmp_path_factory.mktemp("whole") / f"store.{request.param}"
    build_in_small_chunks(data, store)
    return store


def sampled(steps: int, samples: int) -> list[int]:
    """Some of the steps from 1, in order; all of them if that is asked for."""
    if "ECHO_EVERY_FAULT" in os.environ or steps <= samples:
        return list(range(1, steps + 1))
    chosen = random.Random(4)
    edges = [1 + steps * number // samples for number in range(samples + 1)]
    return [chosen.randrange(*pair) for pair in itertools.pairwise(edges)]


def echo_prep(*words: object) -> tuple[int, str]:
    """Run the command; gives its exit code and what it says on stderr."""
    said = io.StringIO()
    with chunks_of(4), contextlib.redirect_stderr(said), pytest.raises(SystemExit) as stop:
        run_command(cli, args=[str(word) for word in words])
    assert isinstance(stop.value.code, int)
    assert "Traceback" not in said.getvalue()
    return stop.value.code, said.getvalue()


def build(data: Path, store: Path) -> tuple[int, str]:
    return echo_prep("build", "--data", data, "--store", store, "--jobs", 1)


@pytest.mark.parametrize(
    ("calls", "samples"), [(STEPS, 24), (REMOVALS, 6)], ids=["write", "remove"]
)
def test_a_build_killed_at_any_step_comes_to_the_same_end(
    data: Path, whole: Path, cache: Path, calls: tuple[str, ...], samples: int
) -> None:
    store, wanted = cache / whole.name, file_bytes(whole.parent)
    with failing_disk(0, be_full, calls) as disk:
        build_in_small_chunks(data, store)
    assert disk.steps > 50
    for at in sampled(disk.steps, samples):
        empty(cache)
        assert killed_at(at, build_in_small_chunks, data, store, calls=calls), at
        build_in_small_chunks(data, store)
        assert_same_folder(cache, wanted)


@pytest.mark.parametrize("change", ["another-method", "another-video"])
def test_a_change_killed_at_any_step_comes_to_the_same_end(
    data: Path, whole: Path, cache: Path, tmp_path: Path, change: str
) -> None:
    options: dict[str, Any] = {"landmarks": (3,)}
    if change == "another-method":
        options |= {"method": ("convexhull",), "prune": True}
    else:
        data = Path(shutil.copytree(data, tmp_path / "data"))
        frames = [frame_pattern(9, number) for number in range(13)]
        write_video(data / "Videos" / f"{NAMES[2]}.avi", frames)
    store = cache / whole.name
    fill(cache, whole)
    with failing_disk(0, be_full) as disk:
        build_in_small_chunks(data, store, **options)
    wanted = file_bytes(cache)
    assert wanted != file_bytes(whole.parent)
    for at in sampled(disk.steps, 8):
        fill(cache, whole)
        assert killed_at(at, build_in_small_chunks, data, store, **options), at
        build_in_small_chunks(data, store, **options)
        assert_same_folder(cache, wanted)


def test_a_video_that_changes_between_a_kill_and_the_next_build_is_read_anew(
    data: Path, whole: Path, cache: Path, tmp_path: Path
) -> None:
    changed = Path(shutil.copytree(data, tmp_path / "data"))
    video = changed / "Videos" / f"{NAMES[0]}.avi"
    before = video.read_bytes()
    write_video(video, [frame_pattern(9, number) for number in range(13)])
    after = video.read_bytes()
    store = cache / whole.name
    with failing_disk(0, be_full) as disk:
        build_in_small_chunks(changed, store)
    wanted = file_bytes(cache)
    assert wanted != file_bytes(whole.parent)
    for at in sampled(disk.steps, 12):
        empty(cache)
        video.write_bytes(before)
        assert killed_at(at, build_in_small_chunks, changed, store), at
        video.write_bytes(after)
        build_in_small_chunks(changed, store)
        assert_same_folder(cache, wanted)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_conversion_killed_at_any_step_comes_to_the_same_end(
    data: Path, whole: Path, cache: Path, suffix: str
) -> None:
    target = cache / f"other.{suffix}"
    with failing_disk(0, be_full) as disk:
        convert_in_small_chunks(whole, target)
    wanted = file_bytes(cache)
    assert verify(target) == []
    for at in sampled(disk.steps, 10):
        empty(cache)
        assert killed_at(at, convert_in_small_chunks, whole, target), at
        try:
            convert_in_small_chunks(whole, target)
        except SettingsError as error:
            # It was killed when all was done but the tidying up.
            assert "is a store already" in str(error)
            assert verify(target) == []
        else:
            assert_same_folder(cache, wanted)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_disk_that_fills_up_in_a_conversion_is_one_message(
    data: Path, whole: Path, cache: Path, suffix: str
) -> None:
    target, before = cache / f"other.{suffix}", file_bytes(whole.parent)
    with failing_disk(0, be_full) as disk:
        convert_in_small_chunks(whole, target)
    wanted = file_bytes(cache)
    for at in sampled(disk.steps, 8):
        empty(cache)
        with failing_disk(at, be_full):
            code, said = echo_prep("convert", whole, target)
        assert code == 1, at
        assert said.splitlines()[-1].startswith("error: the disk is full"), said
        if not target.exists():
            convert_in_small_chunks(whole, target)
            assert_same_folder(cache, wanted)
    assert file_bytes(whole.parent) == before


def test_a_disk_that_fills_up_at_any_write_loses_nothing(
    data: Path, whole: Path, cache: Path
) -> None:
    store, wanted = cache / whole.name, file_bytes(whole.parent)
    with failing_disk(0, be_full) as disk:
        build_in_small_chunks(data, store)
    for at in sampled(disk.steps, 14):
        empty(cache)
        with mock.patch.object(worker, "read_frames", wraps=worker.read_frames) as read:
            with failing_disk(at, be_full):
                code, said = build(data, store)
            assert code == 1, at
            assert said.splitlines()[-1].startswith("error: the disk is full"), said
            assert "what is done is kept" in said
            assert not list(cache.rglob(".*.tmp"))
            halfway = (store / "frames").exists() and not (store / "index" / "status").exists()
            build_in_small_chunks(data, store)
        # A chunk that was not recorded is made twice: of two videos, or of one. So is the whole
        # stage where it was on its way into the store.
        assert read.call_count <= 3 + (3 if halfway else 2)
        assert_same_folder(cache, wanted)


@contextlib.contextmanager
def mounted(*words: object) -> Iterator[None]:
    """Mount something for a while; the test is left out for whoever may not."""
    done = subprocess.run(["mount", *map(str, words)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("only root may mount a file system")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(words[-1])], check=True)


@pytest.mark.skipif(shutil.which("mount") is None, reason="mounts a small disk")
def test_a_disk_that_is_too_small_loses_nothing(data: Path, whole: Path, cache: Path) -> None:
    store, wanted = cache / whole.name, file_bytes(whole.parent)
    refused = 0
    # In kilobytes: HDF5 has been seen to crash where it may not write its last few.
    for size in (40, 150, 250, 300, 340, 380, 400, 420, 440):
        with mounted("-t", "tmpfs", "-o", f"size={size}k", "tmpfs", cache):
            code, said = build(data, store)
            if code:
                refused += 1
                assert (code, said.count("error: the disk is full")) == (1, 1), said
                grow = ["mount", "-o", "remount,size=8m", str(cache)]
                subprocess.run(grow, check=True)
                assert build(data, store)[0] == 0
            assert_same_folder(cache, wanted)
    assert refused >= 5


def test_a_folder_that_is_read_only(data: Path, whole: Path, cache: Path) -> None:
    store = cache / whole.name
    fill(cache, whole)
    other = cache / f"other.{whole.suffix}"
    flip_chunk(store, "frames", "c.1.0.0")
    before = file_bytes(cache)
    if os.geteuid():
        guard: Any = contextlib.ExitStack()
        for folder in [cache, *(one for one in cache.rglob("*") if one.is_dir())]:
            folder.chmod(0o555)
            guard.callback(folder.chmod, 0o755)
    else:
        # Root may write wherever the file system lets anybody.
        guard = mounted("--bind", "-o", "ro", cache, cache)
    with guard:
        for name in (other, store):
            code, said = echo_prep("build", "--data", data, "--store", name, "--jobs", 1, "--check")
            assert code == 1
            assert len(said.splitlines()) == 1
            assert said.startswith(("error: read-only file system", "error: permission denied"))
            assert str(cache) in said
        assert [(one.where, one.chunk) for one in verify(store)] == [("frames", "c.1.0.0")]
    assert file_bytes(cache) == before


BUSY = """
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


def test_two_builds_at_once(data: Path, whole: Path, cache: Path) -> None:
    store = cache / whole.name
    tests = str(Path(__file__).parents[1])
    command = [sys.executable, "-c", BUSY, str(data), str(store), tests]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"building\n"
        code, said = build(data, store)
        assert code == 1
        assert said.startswith(f"error: {store} is being built by process {first.pid} on ")
        first.send_signal(signal.SIGKILL)
    assert build(data, store)[0] == 0
    assert_same_folder(cache, file_bytes(whole.parent))
