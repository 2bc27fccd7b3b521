"""Links and other people's files in, around and in the place of a store stay as they are."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from support.damage import Bench, commands, run
from support.stores import build_in_small_chunks, copy_store, file_bytes


@pytest.mark.parametrize("where", ["masks", "masks/chords", "frames"])
def test_a_folder_of_a_store_that_was_moved_to_another_disk(zarr: Bench, where: str) -> None:
    copy_store(zarr.sound, zarr.cache)
    moved = zarr.root / "disk"
    shutil.rmtree(moved, ignore_errors=True)
    (zarr.store / where).rename(moved)
    (zarr.store / where).symlink_to(moved)
    words = commands(zarr.data, zarr.store, zarr.out)
    for name in ("verify", "info", "dry run", "build", "check"):
        assert run(words[name])[0] == 0, name
    assert file_bytes(zarr.store).keys() | {where} >= {where}
    assert (zarr.store / where).is_symlink()
    before = file_bytes(moved)
    # What has to be written in it is refused: nothing is written through a link.
    code, messages = run((*words["build"], "--truncate"))
    if where == "frames":
        assert code == 0
    else:
        assert (code, messages.count("\n")) == (1, 1)
        assert f"{where} is a link" in messages
    assert file_bytes(moved) == before


def test_somebody_elses_files_in_and_next_to_a_store(zarr: Bench) -> None:
    words = commands(zarr.data, zarr.store, zarr.out)["build"]
    for name in ("notes.txt", ".c.0.tmp", "c.notes"):
        copy_store(zarr.sound, zarr.cache)
        for place in ("", "masks", "masks/chords", "frames"):
            (zarr.store / place / name).write_text("mine")
        # An array that has to be replaced is refused if there is another file in its folder.
        code, messages = run((*words, "--truncate"))
        assert (code, messages.count("\n")) == (1, 1)
        assert f"{name} is not a file of the store" in messages
        assert run(words)[0] == 0
        for place in ("", "masks", "masks/chords", "frames"):
            assert (zarr.store / place / name).read_text() == "mine"
    for suffix, kind in itertools.product(
        (".partial", ".rejects.csv", ".damaged.json", ".lock"), ("file", "folder")
    ):
        copy_store(zarr.sound, zarr.cache)
        path = zarr.store.with_name(zarr.store.name + suffix)
        path.unlink(missing_ok=True)
        if kind == "folder":
            path.mkdir()
            path = path / "precious"
        path.write_text("mine")
        code, messages = run((*words, "--truncate"))
        assert (code, messages.count("\n")) == (1, 1), messages
        assert path.read_text() == "mine"
        assert run(("verify", str(zarr.store)))[0] == 0
        assert path.read_text() == "mine"


def test_a_link_in_the_work_folder_is_not_followed(zarr: Bench) -> None:
    copy_store(zarr.sound, zarr.cache)
    work = zarr.store.with_name(zarr.store.name + ".partial")
    work.mkdir()
    (work / "echo-folder.json").write_text(
        json.dumps({"by": "echo-lv-segmentation", "purpose": "build"})
    )
    for name in ("arrays", "records", "discarded", "started"):
        (work / name).symlink_to(zarr.victim)
        words = commands(zarr.data, zarr.store, zarr.out)["build"]
        code, messages = run((*words, "--truncate"))
        assert (code, messages.count("\n")) == (1, 1)
        assert "is a link" in messages
        assert [path.name for path in zarr.victim.iterdir()] == ["precious"]
        (work / name).unlink()


def test_other_software_s_files_are_not_replaced(data: Path, tmp_path: Path) -> None:
    import zarr as zarr_package

    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "empty").mkdir()
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["frames"] = np.arange(5)
    zarr_package.create_group(tmp_path / "group.zarr")
    zarr_package.create_array(tmp_path / "array.zarr", shape=(3,), dtype="u1")
    (tmp_path / "folder.zarr").mkdir()
    (tmp_path / "folder.zarr" / "photo.jpg").write_text("mine")
    (tmp_path / "text.zarr").write_text("mine")
    os.mkfifo(tmp_path / "pipe.zarr")
    sound = tmp_path / "sound" / "s.zarr"
    build_in_small_chunks(data, sound)
    for name in ("other.h5", "group.zarr", "array.zarr", "folder.zarr", "text.zarr", "pipe.zarr"):
        path = tmp_path / name
        before = None if name == "pipe.zarr" else file_bytes(path)
        words = commands(data, path, out)
        for command in (words["build"], words["dry run"], ("convert", str(sound), str(path))):
            code, messages = run(command)
            assert (code, messages.count("\n")) == (1, 1), (name, messages)
            assert "not a store" in messages, messages
        assert before == (None if name == "pipe.zarr" else file_bytes(path))
    # An empty folder is as good as none.
    assert run(commands(data, tmp_path / "empty", out)["build"])[0] == 0


def test_a_store_is_not_built_over_its_data_set(data: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(data, tmp_path / "data"))
    before = file_bytes(copy)
    (tmp_path / "link").symlink_to(copy / "Videos")
    for store in ("data", "data/Videos", "data/Videos/s.zarr", "link/s.zarr", "data/FileList.csv"):
        code, messages = run(commands(copy, tmp_path / store, tmp_path)["build"])
        assert (code, messages.count("\n")) == (1, 1)
        assert "over the input" in messages
        assert file_bytes(copy) == before


def test_a_conversion_never_writes_into_its_source(zarr: Bench, tmp_path: Path) -> None:
    copy_store(zarr.sound, zarr.cache)
    (tmp_path / "link").symlink_to(zarr.store)
    for target in (
        zarr.store / "inner.h5",
        zarr.store / "masks" / "inner.zarr",
        tmp_path / "link" / "inner.h5",
        tmp_path / "link",
        zarr.cache,
    ):
        code, messages = run(("convert", str(zarr.store), str(target)))
        assert (code, messages.count("\n")) == (1, 1), messages
    assert file_bytes(zarr.store) == zarr.expected
    assert sorted(path.name for path in zarr.cache.iterdir()) == sorted(
        path.name for path in zarr.sound.parent.iterdir()
    )
