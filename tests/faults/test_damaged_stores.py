"""Damage to a store is found, named and mended, and training does not read it."""

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
    file_bytes,
    fill,
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
