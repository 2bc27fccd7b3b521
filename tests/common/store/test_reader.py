"""The store's reader returns what other readers see, and an error for every kind of damage."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray
import zarr

from echo_common.errors import (
    NotInStoreError,
    StoreDamagedError,
    StoreError,
    StoreNotFoundError,
)
from echo_common.store import schema
from echo_common.store.manifest import parse_manifest, with_digest
from echo_common.store.reader import EchoStore
from support.datasets import small_videos, write_small_dataset
from support.stores import HEATMAPS, build_store, flip_chunk

FORMATS = ("zarr", "h5")
VIDEOS = 70
"""Two chunks of rows: 140 rows, and 128 a chunk."""


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("stores")
    data = write_small_dataset(root / "data", small_videos(VIDEOS))
    return {suffix: build_store(data, root / f"store.{suffix}") for suffix in FORMATS}


@pytest.fixture(params=FORMATS)
def store(request: pytest.FixtureRequest, stores: dict[str, Path]) -> Path:
    return stores[request.param]


@pytest.fixture
def copy(store: Path, tmp_path: Path) -> Path:
    """A store that may be damaged."""
    target = tmp_path / store.name
    if store.is_dir():
        shutil.copytree(store, target)
    else:
        shutil.copy2(store, target)
    return target


def test_arrays_equal_those_of_other_readers(stores: dict[str, Path]) -> None:
    group = zarr.open_group(stores["zarr"], mode="r")
    with h5py.File(stores["h5"]) as file:
        for suffix in FORMATS:
            opened = EchoStore(stores[suffix])
            assert len(opened.manifests) == 15
            for array in opened.manifests:
                values = opened.read(array)
                node = file[array]
                other = node.asstr()[...] if array == "index/video" else node[...]
                np.testing.assert_array_equal(values, np.asarray(group[array][...]), array)
                np.testing.assert_array_equal(values, other.astype(values.dtype), array)


def test_rows_are_slices_of_the_array(store: Path) -> None:
    # The path as a word will do.
    opened = EchoStore(str(store))
    assert opened.path == store
    assert (opened.rows, opened.chunk_rows) == (2 * VIDEOS, 128)
    assert opened.shape(HEATMAPS) == (2 * VIDEOS, 7, 112, 112)
    for array in ("frames", "index/video", schema.CONTOUR):
        whole = opened.read(array)
        for start, stop in ((0, 0), (0, 128), (100, 130), (128, 140), (139, 140), (0, 140)):
            np.testing.assert_array_equal(
                opened.read_rows(array, start, stop), whole[start:stop], f"{array} {start}:{stop}"
            )
    for start, stop in ((-1, 3), (5, 4), (0, 141)):
        with pytest.raises(IndexError):
            opened.read_rows("frames", start, stop)


def test_xarray_reads_names_of_dimensions(stores: dict[str, Path]) -> None:
    opened = xarray.open_zarr(
        stores["zarr"], group="landmarks/chords/anatomical-7", consolidated=False
    )
    assert opened["gaussian"].dims == ("frame", "landmark", "y", "x")
    with h5py.File(stores["h5"]) as file:
        node = file[HEATMAPS]
        assert [dim.label for dim in node.dims] == ["frame", "landmark", "y", "x"]


def test_methods_landmarks_and_falloffs_of_a_store(store: Path) -> None:
    opened = EchoStore(store)
    (landmarks,) = opened.landmark_sets()
    assert landmarks == schema.LandmarkSet(method="chords", identity="anatomical", count=7)
    assert opened.methods() == ["chords"]
    assert opened.falloffs(landmarks) == ["gaussian"]
    assert "frames" in opened
    assert "masks/centroid" not in opened
    assert opened.require_mask("chords") == "masks/chords"
    assert opened.require_landmarks(landmarks, "gaussian") == HEATMAPS


def test_the_error_gives_the_command_that_adds_what_is_missing(store: Path) -> None:
    opened = EchoStore(store)
    eleven = schema.LandmarkSet(method="convexhull", identity="angle", count=11)
    with pytest.raises(NotInStoreError) as masks:
        opened.require_mask("centroid")
    assert str(masks.value).endswith(f": echo-prep build --store {store} --method centroid")
    with pytest.raises(NotInStoreError) as heatmaps:
        opened.require_landmarks(eleven, "euclidean")
    assert str(heatmaps.value).endswith(
        f": echo-prep build --store {store} --method convexhull --identity angle --landmarks 11 "
        "--falloff euclidean"
    )
    with pytest.raises(NotInStoreError, match="no array masks/none; it has frames,"):
        opened.read("masks/none")


@pytest.mark.parametrize("array", ["frames", "index/video", "index/status", HEATMAPS])
def test_a_flipped_bit_is_an_error_only_for_its_rows(copy: Path, array: str) -> None:
    whole = EchoStore(copy).read(array)
    flip_chunk(copy, array, schema.chunk_name(1, whole.ndim))
    opened = EchoStore(copy)
    np.testing.assert_array_equal(opened.read_rows(array, 0, 128), whole[:128])
    with pytest.raises(StoreDamagedError, match=rf"chunk c\.1.* of {array} was altered.*--check"):
        opened.read(array)


def test_a_missing_or_truncated_chunk_is_an_error(stores: dict[str, Path], tmp_path: Path) -> None:
    copy = shutil.copytree(stores["zarr"], tmp_path / "copy.zarr")
    (copy / "frames" / "c.0.0.0").unlink()
    chunk = copy / "masks" / "chords" / "c.1.0.0"
    chunk.write_bytes(chunk.read_bytes()[:-1])
    opened = EchoStore(copy)
    with pytest.raises(StoreDamagedError, match=r"chunk c\.0\.0\.0 of frames is missing"):
        opened.read("frames")
    with pytest.raises(StoreDamagedError, match=r"chunk c\.1\.0\.0 of masks/chords has \d+ bytes"):
        opened.read("masks/chords")


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("zarr.json", b"echo-store/1", b"echo-store/9"),
        ("zarr.json", b"stages", b"stagez"),
        ("frames/zarr.json", b"uint8", b"int8"),
        ("frames/zarr.json", b'"y"', b'"z"'),
        ("frames/zarr.json", b"blosc", b"gzip"),
        ("frames/manifest.json", b'"sha256": "', b'"sha256": "0'),
        ("index/status/manifest.json", b'"stage"', b'"stagf"'),
        ("index/split/manifest.json", b"{", b""),
    ],
)
def test_altered_metadata_is_an_error(
    stores: dict[str, Path], tmp_path: Path, file: str, old: bytes, new: bytes
) -> None:
    copy = shutil.copytree(stores["zarr"], tmp_path / "copy.zarr")
    content = (copy / file).read_bytes()
    assert old in content
    (copy / file).write_bytes(content.replace(old, new, 1))
    with pytest.raises(StoreError, match=r"run the same echo-prep build|build the store again"):
        EchoStore(copy)


def test_an_hdf5_file_truncated_at_any_length_is_an_error(
    stores: dict[str, Path], tmp_path: Path
) -> None:
    content = stores["h5"].read_bytes()
    for tenth in range(10):
        cut = tmp_path / f"cut-{tenth}.h5"
        cut.write_bytes(content[: len(content) * tenth // 10])
        with pytest.raises(StoreError):
            EchoStore(cut)


def test_what_is_not_a_store_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFoundError, match=r"echo-prep build --store"):
        EchoStore(tmp_path / "none.zarr")
    with pytest.raises(StoreError, match=r"has no zarr\.json"):
        EchoStore(tmp_path)
    (tmp_path / "text.h5").write_text("not HDF5")
    with pytest.raises(StoreError, match="neither a Zarr folder nor an HDF5 file"):
        EchoStore(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["frames"] = np.zeros(3)
    with pytest.raises(StoreError):
        EchoStore(tmp_path / "other.h5")


@pytest.mark.parametrize("change", ["rebuilt", "pruned"])
def test_a_store_that_changes_while_it_is_open_is_noticed(tmp_path: Path, change: str) -> None:
    data = write_small_dataset(tmp_path / "data", small_videos(2))
    build_store(data, tmp_path / "s.zarr", method=("chords", "centroid"), masks_only=True)
    opened = EchoStore(tmp_path / "s.zarr")
    masks = opened.read("masks/chords")
    options = {"truncate": True} if change == "rebuilt" else {"method": ("centroid",)}
    build_store(data, opened.path, masks_only=True, prune=True, **options)
    with pytest.raises(StoreError, match="written again or removed since this process opened"):
        opened.read("masks/chords")
    if change == "rebuilt":
        assert (EchoStore(opened.path).read("masks/chords") != masks).any()


@pytest.mark.parametrize("field", ["stage", "key", "metadata", "parameters", "inputs", "versions"])
def test_a_manifest_has_the_types_of_the_schema(stores: dict[str, Path], field: str) -> None:
    text = (stores["zarr"] / "frames" / "manifest.json").read_text()
    assert parse_manifest(text, "here").stage == "frames"
    altered = with_digest({**json.loads(text), field: {"": {}} if field != "parameters" else []})
    with pytest.raises(StoreDamagedError, match="here is not a manifest"):
        parse_manifest(json.dumps(altered), "here")


def test_arrays_are_read_without_threads(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = EchoStore(store).read(schema.FRAMES)

    def refuse(*arguments: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", refuse)
    np.testing.assert_array_equal(EchoStore(store).read(schema.FRAMES), expected)
