"""Damage to a store is reported and repaired, and training refuses a damaged store."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from pathlib import Path

import pytest

from echo_common.cli.command import run_command
from echo_common.errors import EchoError
from echo_prep.store.verify import verify
from support.stores import (
    assert_same,
    assert_same_folder,
    build_in_small_chunks,
    copy_store,
    file_bytes,
    read_all,
)


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


def expected_fault(name: str) -> tuple[str, str | None]:
    """Array or group, and chunk, by which a fault in a file of a Zarr store should be reported."""
    where, _, file = name.rpartition("/")
    return where, file if file.startswith("c.") else None


def stage_of(name: str) -> str:
    """Stage that a file of a Zarr store belongs to."""
    array = expected_fault(name)[0]
    if array in ("frames", "index/status"):
        return "frames"
    return "index" if array.startswith(("index", "tracing")) else array


def reading_error(store: Path) -> EchoError | None:
    """The error raised by reading a store; None if all of it can be read."""
    try:
        read_all(store)
    except EchoError as error:
        return error
    return None


KINDS = ("flipped", "cut", "deleted")


@pytest.mark.parametrize("first", range(3))
def test_damage_to_each_file_of_a_zarr_store_is_repaired(
    data: Path, tmp_path: Path, cache: Path, first: int
) -> None:
    sound = tmp_path / "sound" / "store.zarr"
    build_in_small_chunks(data, sound)
    store, content, expected = cache / sound.name, read_all(sound), file_bytes(sound.parent)
    copy_store(sound, cache)
    # Each of the three parameters damages a different third of the files, with all kinds of damage.
    names = sorted(file_bytes(sound))
    for number, name in list(enumerate(names))[
        first :: 1 if "ECHO_EVERY_FAULT" in os.environ else 3
    ]:
        kind = KINDS[(number // 3 + first) % 3]
        inodes = {
            other: (store / other).stat().st_ino
            for other in names
            if other != name and "/c." in other
        }
        damage(store / name, kind)
        faults = {(fault.where, fault.chunk) for fault in verify(store)}
        assert expected_fault(name) in faults, (kind, name, faults)
        if expected_fault(name)[1] is not None:
            assert len(faults) == 1
        error = reading_error(store)
        if name != f"{expected_fault(name)[0]}/zarr.json" or expected_fault(name)[0] in content:
            assert error is not None, (kind, name)
            assert "echo-prep build" in str(error)
        build_in_small_chunks(data, store)
        assert_same_folder(cache, expected)
        rewritten = {
            other for other, inode in inodes.items() if (store / other).stat().st_ino != inode
        }
        assert all(stage_of(other) == stage_of(name) for other in rewritten), (name, rewritten)
        if expected_fault(name)[1] is not None:
            assert {other.split("/c.")[1][0] for other in rewritten} <= {name.split("/c.")[1][0]}
        assert_same(read_all(store), content)


@pytest.mark.parametrize("kind", KINDS)
def test_damage_to_an_hdf5_store_is_repaired(
    data: Path, tmp_path: Path, cache: Path, kind: str
) -> None:
    sound = tmp_path / "sound" / "store.h5"
    build_in_small_chunks(data, sound)
    store, content, expected = cache / sound.name, read_all(sound), file_bytes(sound.parent)
    size = len(expected[store.name])
    for tenth in range(1, 10) if kind != "deleted" else [0]:
        copy_store(sound, cache)
        if kind == "cut":
            os.truncate(store, size * tenth // 10)
        elif kind == "deleted":
            store.unlink()
        else:
            raw = bytearray(expected[store.name])
            raw[size * tenth // 10] ^= 1
            store.write_bytes(raw)
        error = reading_error(store)
        if error is None:
            # Not every byte of an HDF5 file is used.
            assert kind == "flipped"
            assert_same(read_all(store), content)
            continue
        assert "echo-prep build" in str(error)
        if kind != "deleted":
            assert verify(store)
        build_in_small_chunks(data, store)
        assert_same_folder(cache, expected)


@pytest.mark.parametrize("name", ["frames/c.0.0.0", "masks/chords/manifest.json", "zarr.json"])
def test_training_refuses_a_damaged_store(data: Path, tmp_path: Path, name: str) -> None:
    store = tmp_path / "store.zarr"
    build_in_small_chunks(data, store)
    damage(store / name, "flipped")
    train = pytest.importorskip("echo_train.commands.train").cli
    messages = io.StringIO()
    words = ["--store", str(store), "--run", str(tmp_path / "run"), "--width", "2", "--epochs", "1"]
    with contextlib.redirect_stderr(messages), pytest.raises(SystemExit) as stop:
        run_command(train, args=words)
    assert stop.value.code == 1
    assert messages.getvalue().splitlines()[-1].startswith("error: ")
    assert "echo-prep build" in messages.getvalue().splitlines()[-1]
    assert "Traceback" not in messages.getvalue()


def test_surplus_files_are_reported_and_removed(data: Path, tmp_path: Path) -> None:
    store = tmp_path / "store.zarr"
    build_in_small_chunks(data, store)
    expected = file_bytes(store)
    shutil.copy(store / "frames" / "c.0.0.0", store / "frames" / "c.2.0.0")
    shutil.copytree(store / "masks" / "chords", store / "masks" / "centroid")
    assert {(fault.where, fault.chunk, fault.state) for fault in verify(store)} == {
        ("frames", "c.2.0.0", "surplus"),
        ("masks/centroid", None, "surplus"),
    }
    build_in_small_chunks(data, store, prune=True)
    assert file_bytes(store) == expected
