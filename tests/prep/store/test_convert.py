"""Zarr to HDF5 and back, adding to either, dropping from either; `info` of both."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from echo_common.errors import SettingsError, StoreDamagedError
from echo_common.store.reader import EchoStore
from echo_prep.build.build import build
from echo_prep.build.report import describe_report
from echo_prep.cli import cli
from echo_prep.settings import BuildSettings
from echo_prep.store.convert import convert
from echo_prep.store.info import describe_info, store_info
from echo_prep.store.verify import verify
from support.datasets import small_videos, write_small_dataset
from support.stores import assert_same, build_store, file_bytes, flip_chunk, read_all

FORMATS = ("zarr", "h5")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with one video missing: 23 of 24 rows, since a status has to survive too."""
    root = tmp_path_factory.mktemp("convert") / "data"
    videos = small_videos(12)
    write_small_dataset(root, videos)
    (root / "Videos" / f"{videos[5].name}.avi").unlink()
    return root


def test_converting_there_and_back_gives_the_same_bytes(data: Path, tmp_path: Path) -> None:
    first = build_store(data, tmp_path / "first.zarr")
    direct = build_store(data, tmp_path / "direct.h5")
    convert(first, tmp_path / "second.hdf5")
    convert(tmp_path / "second.hdf5", tmp_path / "third.zarr")
    assert (tmp_path / "second.hdf5").read_bytes() == direct.read_bytes()
    assert file_bytes(tmp_path / "third.zarr") == file_bytes(first)
    assert_same(read_all(direct), read_all(first))
    assert verify(direct) == verify(first) == []


def test_the_bytes_of_an_hdf5_store_do_not_depend_on_time(data: Path, tmp_path: Path) -> None:
    stores = [build_store(data, tmp_path / f"{number}.h5") for number in range(2)]
    os.utime(data)
    assert stores[0].read_bytes() == stores[1].read_bytes()


@pytest.mark.parametrize("suffix", FORMATS)
def test_adding_a_stage_keeps_the_others_and_reads_no_video(
    data: Path, tmp_path: Path, suffix: str
) -> None:
    store = build_store(data, tmp_path / f"store.{suffix}")
    before = read_all(store)
    tables = tmp_path / "tables"
    tables.mkdir()
    for name in ("FileList.csv", "VolumeTracings.csv"):
        shutil.copy(data / name, tables / name)
    report = build(
        BuildSettings(data=tables, store=store, jobs=1, method=("centroid",), landmarks=(3,))
    )
    assert set(report.made) == {
        "masks/centroid",
        "landmarks/centroid/anatomical-3/points",
        "landmarks/centroid/anatomical-3/gaussian",
    }
    after = read_all(store)
    assert set(after) - set(before) == set(report.made)
    assert_same({array: after[array] for array in before}, before)
    assert EchoStore(store).methods() == ["chords", "centroid"]
    again = build_store(
        data, tmp_path / f"at-once.{suffix}", method=("chords", "centroid"), landmarks=(3, 7)
    )
    assert_same({array: read_all(again)[array] for array in after}, after)


@pytest.mark.parametrize("suffix", FORMATS)
def test_prune_removes_what_is_not_requested(data: Path, tmp_path: Path, suffix: str) -> None:
    plain = build_store(data, tmp_path / f"plain.{suffix}")
    store = build_store(data, tmp_path / f"store.{suffix}", method=("chords", "convexhull"))
    kept = build(BuildSettings(data=data, store=store, jobs=1))
    assert "masks/convexhull" in kept.kept
    report = build(BuildSettings(data=data, store=store, jobs=1, prune=True))
    assert report.made == ()
    assert report.dropped == (
        "landmarks/convexhull/anatomical-7/gaussian",
        "landmarks/convexhull/anatomical-7/points",
        "masks/convexhull",
    )
    assert describe_report(report)[0] == f"dropped {', '.join(report.dropped)}"
    assert file_bytes(store) == file_bytes(plain)


def test_a_damaged_store_is_not_converted(data: Path, tmp_path: Path) -> None:
    store = build_store(data, tmp_path / "store.zarr")
    flip_chunk(store, "frames", "c.0.0.0")
    with pytest.raises(StoreDamagedError, match=r"frames chunk c\.0\.0\.0.*--check"):
        convert(store, tmp_path / "store.h5")
    assert not (tmp_path / "store.h5").exists()


def test_a_store_is_never_converted_over_another(data: Path, tmp_path: Path) -> None:
    store = build_store(data, tmp_path / "store.zarr")
    other = build_store(data, tmp_path / "other.h5", method=("centroid",))
    before = other.read_bytes()
    for target in (store, other):
        with pytest.raises(SettingsError, match=r"is a store already"):
            convert(store, target)
    assert other.read_bytes() == before


def test_a_limit_on_file_size_is_one_message_and_loses_nothing(data: Path, tmp_path: Path) -> None:
    store = build_store(data, tmp_path / "store.zarr")
    target = tmp_path / "store.h5"
    # A limit on the file's size stops HDF5 within a write, as a full disk does.
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000)); "
        "from echo_prep.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "convert", str(store), str(target)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith(f"error: file too large at {target}.partial/")
    assert not target.exists()
    convert(store, target)
    assert_same(read_all(target), read_all(store))


def test_format_and_name_must_agree(tmp_path: Path) -> None:
    for name, chosen in (("store.zarr", "hdf5"), ("store", "hdf5"), ("store.h5", "zarr")):
        with pytest.raises(SettingsError, match=r"contradict each other"):
            BuildSettings(store=tmp_path / name, format=chosen).target()
    assert BuildSettings(format="hdf5").target() == Path("cache/echonet.h5")
    assert BuildSettings(store=Path("a.HDF5")).target() == Path("a.HDF5")


@pytest.mark.parametrize("suffix", FORMATS)
def test_info_counts_rows_by_split_and_reason(data: Path, tmp_path: Path, suffix: str) -> None:
    store = build_store(data, tmp_path / f"store.{suffix}")
    info = store_info(store)
    assert (info["rows"], info["usable"], info["videos"], info["traced"]) == (24, 22, 11, 24)
    # Video 5 is of the second split of four: TRAIN.
    assert info["splits"] == {
        "TRAIN": {"ED": 5, "ES": 5, "unknown": 0},
        "VAL": {"ED": 3, "ES": 3, "unknown": 0},
        "TEST": {"ED": 3, "ES": 3, "unknown": 0},
    }
    assert info["left_out"] == {"missing": 2}
    assert info["stages"]["frames"]["uncompressed"] == 24 * 112 * 112 + 24
    assert info["bytes"] == sum(len(content) for content in file_bytes(store).values())
    lines = "\n".join(describe_info(info))
    assert "24 of 24 traced frames, 22 usable, from 11 videos, 112x112 pixels" in lines
    done = CliRunner().invoke(cli, ["info", str(store), "--json"])
    assert json.loads(done.output) == json.loads(json.dumps(info))
