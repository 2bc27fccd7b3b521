"""A damaged store: `verify` lists its faults, and `build` repairs them and nothing else."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import h5py
import pytest
from click.testing import CliRunner

from echo_common.errors import StoreDamagedError
from echo_prep.build.build import build
from echo_prep.cli import cli
from echo_prep.settings import BuildSettings
from echo_prep.store.verify import damage_path, verify
from support.datasets import small_videos, write_small_dataset
from support.stores import (
    HEATMAPS,
    assert_same,
    build_store,
    file_bytes,
    flip_chunk,
    read_all,
)

FORMATS = ("zarr", "h5")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """70 videos: 140 rows, two chunks."""
    root = tmp_path_factory.mktemp("mend")
    return write_small_dataset(root / "data", small_videos(70))


@pytest.fixture(scope="module")
def sound(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("sound")
    return {suffix: build_store(data, root / f"store.{suffix}") for suffix in FORMATS}


@pytest.fixture(params=FORMATS)
def store(request: pytest.FixtureRequest, sound: dict[str, Path], tmp_path: Path) -> Path:
    target = tmp_path / f"store.{request.param}"
    if request.param == "zarr":
        shutil.copytree(sound["zarr"], target)
    else:
        shutil.copy2(sound["h5"], target)
    return target


def _inodes(store: Path) -> dict[str, int]:
    return {
        str(file.relative_to(store)): file.stat().st_ino
        for file in store.rglob("*")
        if file.is_file()
    }


def test_a_sound_store_has_no_faults(store: Path) -> None:
    assert verify(store) == []
    done = CliRunner().invoke(cli, ["verify", str(store)])
    assert done.output == f"{store}: whole\n"


@pytest.mark.parametrize("array", ["frames", "index/video", "index/status", HEATMAPS])
def test_verify_finds_a_flipped_bit_and_build_repairs_it(
    store: Path, data: Path, array: str
) -> None:
    before = file_bytes(store)
    chunk = "c.1" + ".0" * {"frames": 2, HEATMAPS: 3}.get(array, 0)
    flip_chunk(store, array, chunk)
    (fault,) = verify(store)
    assert (fault.where, fault.chunk, fault.state) == (array, chunk, "damaged")
    assert json.loads(damage_path(store).read_text()) == {array: [chunk]}
    report = build(BuildSettings(data=data, store=store, jobs=1))
    assert len(report.made) == 1
    assert file_bytes(store) == before
    assert not damage_path(store).exists()
    assert verify(store) == []


def test_build_finds_silent_damage_only_with_check(store: Path, data: Path) -> None:
    before = file_bytes(store)
    flip_chunk(store, "masks/chords", "c.0.0.0")
    assert build(BuildSettings(data=data, store=store, jobs=1)).made == ()
    with pytest.raises(StoreDamagedError, match=r"--check"):
        read_all(store)
    report = build(BuildSettings(data=data, store=store, jobs=1, check=True))
    assert report.made == ("masks/chords",)
    assert file_bytes(store) == before


def test_only_the_damaged_chunks_are_written(
    sound: dict[str, Path], data: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store.zarr"
    shutil.copytree(sound["zarr"], store)
    content, inodes = file_bytes(store), _inodes(store)
    (store / "frames" / "c.0.0.0").write_bytes(b"written by somebody else")
    (store / HEATMAPS / "c.1.0.0.0").unlink()
    (store / "masks" / "chords" / "c.7.0.0").write_bytes(b"what is this")
    found = {(fault.where, fault.chunk, fault.state) for fault in verify(store)}
    assert found == {
        ("frames", "c.0.0.0", "damaged"),
        (HEATMAPS, "c.1.0.0.0", "missing"),
        ("masks/chords", "c.7.0.0", "surplus"),
    }
    report = build(BuildSettings(data=data, store=store, jobs=1))
    assert set(report.made) == {"frames", "masks/chords", HEATMAPS}
    assert file_bytes(store) == content
    written = {name for name, inode in _inodes(store).items() if inodes[name] != inode}
    assert {name for name in written if "/c." in name} == {
        "frames/c.0.0.0",
        "index/status/c.0",
        f"{HEATMAPS}/c.1.0.0.0",
    }


def test_a_chunk_newer_than_its_manifest_is_checked(
    sound: dict[str, Path], data: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store.zarr"
    shutil.copytree(sound["zarr"], store)
    before = file_bytes(store)
    flip_chunk(store, "frames", "c.1.0.0")
    (store / "frames" / "c.1.0.0").touch()
    assert build(BuildSettings(data=data, store=store, jobs=1)).made == ("frames",)
    assert file_bytes(store) == before


def test_every_file_of_a_store_flipped_cut_and_deleted(small_dataset: Path, tmp_path: Path) -> None:
    sound = build_store(small_dataset, tmp_path / "sound.zarr")
    wanted = file_bytes(sound)
    settings = BuildSettings(data=small_dataset, store=tmp_path / "store.zarr", jobs=1, check=True)
    alike = ("index/e", "index/f", "index/p", "index/sp", "tracing/l")
    names = [name for name in wanted if not name.startswith(alike)]
    for damage in ("flip", "cut", "delete"):
        shutil.rmtree(settings.store, ignore_errors=True)
        shutil.copytree(sound, settings.store)
        for name in names:
            path = settings.store / name
            if damage == "delete":
                path.unlink()
            elif damage == "cut":
                os.truncate(path, len(wanted[name]) // 2)
            else:
                content = bytearray(wanted[name])
                content[len(content) // 2] ^= 1
                path.write_bytes(content)
            if (damage, name) != ("delete", "zarr.json"):
                assert verify(settings.store), (damage, name)
            build(settings)
            assert file_bytes(settings.store) == wanted, (damage, name)


def test_an_hdf5_store_with_any_flipped_bit_is_repaired(
    sound: dict[str, Path], data: Path, tmp_path: Path
) -> None:
    wanted, content_before = sound["h5"].read_bytes(), read_all(sound["h5"])
    store = tmp_path / "store.h5"
    with h5py.File(sound["h5"]) as file:
        heads = [h5py.h5o.get_info(file[name].id).addr for name in ("frames", "index", HEATMAPS)]
    places = [0, 9, len(wanted) - 5, *(head + 6 for head in heads)]
    places += range(3000, len(wanted), len(wanted) // 8)
    for place in places:
        content = bytearray(wanted)
        content[place] ^= 4
        store.write_bytes(content)
        if place == 0:
            # Not even the signature: no store, so nothing to overwrite.
            continue
        report = build(BuildSettings(data=data, store=store, jobs=1, check=True))
        if report.made:
            assert store.read_bytes() == wanted, place
        # Else the bit was one that HDF5 does not use.
        assert verify(store) == []
        assert_same(read_all(store), content_before)


def test_a_truncated_hdf5_store_is_rebuilt(
    sound: dict[str, Path], data: Path, tmp_path: Path
) -> None:
    store = Path(shutil.copy2(sound["h5"], tmp_path))
    wanted = store.read_bytes()
    os.truncate(store, len(wanted) // 2)
    assert [fault.state for fault in verify(store)] == ["damaged"]
    build(BuildSettings(data=data, store=store, jobs=1))
    assert store.read_bytes() == wanted


def test_verify_as_json(store: Path) -> None:
    flip_chunk(store, "frames", "c.0.0.0")
    done = CliRunner().invoke(cli, ["verify", str(store), "--json"], standalone_mode=False)
    assert done.return_value == 1
    (fault,) = json.loads(done.output)
    assert (fault["where"], fault["chunk"], fault["state"]) == ("frames", "c.0.0.0", "damaged")


def test_repair_without_videos_if_no_frame_is_damaged(
    store: Path, data: Path, tmp_path: Path
) -> None:
    before = read_all(store)
    tables = tmp_path / "tables"
    tables.mkdir()
    for name in ("FileList.csv", "VolumeTracings.csv"):
        shutil.copy(data / name, tables / name)
    flip_chunk(store, HEATMAPS, "c.0.0.0.0")
    build(BuildSettings(data=tables, store=store, jobs=1, check=True))
    assert_same(read_all(store), before)


def test_the_working_directory_may_be_the_store(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flip_chunk(store, "frames", "c.0.0.0")
    if store.is_file():
        return
    monkeypatch.chdir(store)
    done = CliRunner().invoke(cli, ["verify", "."], standalone_mode=False)
    assert done.return_value == 1
    assert damage_path(store).exists()
    assert "again to repair" in done.output


def test_without_the_list_the_advice_is_to_check(store: Path) -> None:
    flip_chunk(store, "frames", "c.0.0.0")
    damage_path(store).write_text("somebody else's")
    done = CliRunner().invoke(cli, ["verify", str(store)], standalone_mode=False)
    assert "again with --check to repair" in done.output
    assert damage_path(store).read_text() == "somebody else's"
