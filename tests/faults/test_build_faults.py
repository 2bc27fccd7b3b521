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
from echo_common.errors import EchoError, SettingsError
from echo_prep.build import worker
from echo_prep.cli import cli
from echo_prep.store.verify import verify
from support.datasets import frame_pattern, small_videos, write_small_dataset, write_video
from support.diskfaults import REMOVALS, STEPS, be_full, failing_disk, killed_at
from support.stores import (
    assert_same,
    build_in_small_chunks,
    chunks_of,
    convert_in_small_chunks,
    file_bytes,
    flip_chunk,
    read_all,
)

FORMATS = ("zarr", "h5")

VIDEOS = small_videos(3)
VIDEOS[0].traces[11] = VIDEOS[0].traces[min(VIDEOS[0].traces)][:5]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three videos: six rows, in two chunks of four; one more trace is not sound."""
    return write_small_dataset(tmp_path_factory.mktemp("faults") / "data", VIDEOS)


@pytest.fixture(scope="module", params=FORMATS)
def whole(
    request: pytest.FixtureRequest, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A store that nothing disturbed, alone in its folder."""
    store = tmp_path_factory.mktemp("whole") / f"store.{request.param}"
    build_in_small_chunks(data, store)
    return store


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    return folder


def sampled(steps: int, samples: int) -> list[int]:
    """Some of the steps from 1, in order; all of them if that is asked for."""
    if "ECHO_EVERY_FAULT" in os.environ or steps <= samples:
        return list(range(1, steps + 1))
    chosen = random.Random(4)
    edges = [1 + steps * number // samples for number in range(samples + 1)]
    return [chosen.randrange(*pair) for pair in itertools.pairwise(edges)]


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def fill(folder: Path, whole: Path) -> None:
    """Make a folder a copy of the one that a store is in."""
    shutil.rmtree(folder)
    shutil.copytree(whole.parent, folder)


def assert_same_folder(found: Path, wanted: dict[str, bytes]) -> None:
    """Check that a folder with a store holds what it should, and nothing else."""
    got = file_bytes(found)
    assert sorted(got) == sorted(wanted)
    for name, content in wanted.items():
        assert got[name] == content, name


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
        write_video(data / "Videos" / f"{VIDEOS[2].name}.avi", frames)
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
    video = changed / "Videos" / f"{VIDEOS[0].name}.avi"
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


def damage(path: Path, kind: str) -> None:
    """Flip one bit of a file, cut it in half, or delete it."""
    if kind == "deleted":
        path.unlink()
    elif kind == "cut":
        os.truncate(path, path.stat().st_size // 2)
    else:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)


def named(name: str) -> tuple[str, str | None]:
    """Say by what array or group, and chunk, a file of a Zarr store should be named."""
    where, _, file = name.rpartition("/")
    return where, file if file.startswith("c.") else None


def stage_of(name: str) -> str:
    """Say what counts as a whole together with this file."""
    array = named(name)[0]
    if array in ("frames", "index/status"):
        return "frames"
    return "index" if array.startswith(("index", "tracing")) else array


def refusal(store: Path) -> EchoError | None:
    """Give the error with which a store is not read; None where all of it is."""
    try:
        read_all(store)
    except EchoError as error:
        return error
    return None


KINDS = ("flipped", "cut", "deleted")


@pytest.mark.parametrize("first", range(3))
def test_each_file_of_a_zarr_store_damaged(
    data: Path, tmp_path: Path, cache: Path, first: int
) -> None:
    sound = tmp_path / "sound" / "store.zarr"
    build_in_small_chunks(data, sound)
    store, content, wanted = cache / sound.name, read_all(sound), file_bytes(sound.parent)
    fill(cache, sound)
    # Each of the three runs takes another third of the files by each kind of damage.
    names = sorted(file_bytes(sound))
    for number, name in list(enumerate(names))[
        first :: 1 if "ECHO_EVERY_FAULT" in os.environ else 3
    ]:
        kind = KINDS[(number // 3 + first) % 3]
        kept = {one: (store / one).stat().st_ino for one in names if one != name and "/c." in one}
        damage(store / name, kind)
        faults = {(one.where, one.chunk) for one in verify(store)}
        assert named(name) in faults, (kind, name, faults)
        if named(name)[1] is not None:
            assert len(faults) == 1
        error = refusal(store)
        if name != f"{named(name)[0]}/zarr.json" or named(name)[0] in content:
            assert error is not None, (kind, name)
            assert "echo-prep build" in str(error)
        build_in_small_chunks(data, store)
        assert_same_folder(cache, wanted)
        written = {one for one, inode in kept.items() if (store / one).stat().st_ino != inode}
        assert all(stage_of(one) == stage_of(name) for one in written), (name, written)
        if named(name)[1] is not None:
            assert {one.split("/c.")[1][0] for one in written} <= {name.split("/c.")[1][0]}
        assert_same(read_all(store), content)


@pytest.mark.parametrize("kind", KINDS)
def test_an_hdf5_store_damaged(data: Path, tmp_path: Path, cache: Path, kind: str) -> None:
    sound = tmp_path / "sound" / "store.h5"
    build_in_small_chunks(data, sound)
    store, content, wanted = cache / sound.name, read_all(sound), file_bytes(sound.parent)
    size = len(wanted[store.name])
    for place in range(1, 10) if kind != "deleted" else [0]:
        fill(cache, sound)
        if kind == "cut":
            os.truncate(store, size * place // 10)
        elif kind == "deleted":
            store.unlink()
        else:
            raw = bytearray(wanted[store.name])
            raw[size * place // 10] ^= 1
            store.write_bytes(raw)
        error = refusal(store)
        if error is None:
            # HDF5 does not use each of its bytes.
            assert kind == "flipped"
            assert_same(read_all(store), content)
            continue
        assert "echo-prep build" in str(error)
        if kind != "deleted":
            assert verify(store)
        build_in_small_chunks(data, store)
        assert_same_folder(cache, wanted)


@pytest.mark.parametrize("name", ["frames/c.0.0.0", "masks/chords/manifest.json", "zarr.json"])
def test_training_refuses_a_damaged_store(data: Path, tmp_path: Path, name: str) -> None:
    store = tmp_path / "store.zarr"
    build_in_small_chunks(data, store)
    damage(store / name, "flipped")
    train = pytest.importorskip("echo_train.commands.train").cli
    said = io.StringIO()
    words = ["--store", str(store), "--run", str(tmp_path / "run"), "--width", "2", "--epochs", "1"]
    with contextlib.redirect_stderr(said), pytest.raises(SystemExit) as stop:
        run_command(train, args=words)
    assert stop.value.code == 1
    assert said.getvalue().splitlines()[-1].startswith("error: ")
    assert "echo-prep build" in said.getvalue().splitlines()[-1]
    assert "Traceback" not in said.getvalue()


def test_what_is_one_too_many_is_named_and_removed(data: Path, tmp_path: Path) -> None:
    store = tmp_path / "store.zarr"
    build_in_small_chunks(data, store)
    wanted = file_bytes(store)
    shutil.copy(store / "frames" / "c.0.0.0", store / "frames" / "c.2.0.0")
    shutil.copytree(store / "masks" / "chords", store / "masks" / "centroid")
    (store / "index" / ".manifest.json.x.tmp").write_bytes(b"half")
    assert {(one.where, one.chunk, one.state) for one in verify(store)} == {
        ("frames", "c.2.0.0", "surplus"),
        ("masks/centroid", None, "surplus"),
    }
    build_in_small_chunks(data, store, prune=True)
    assert file_bytes(store) == wanted
