"""cache/README.md, followed with nothing but zarr, h5py and the standard library."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import zarr

from support.datasets import frame_pattern
from support.stores import HEATMAPS, build_store

DTYPES = {
    "frames": "uint8",
    "index/video": "str",
    "index/frame": "int32",
    "index/phase": "uint8",
    "index/split": "uint8",
    "index/status": "uint8",
    "index/ef": "float32",
    "index/edv": "float32",
    "index/esv": "float32",
    "index/fps": "float32",
    "tracing/long_axis": "float32",
    "tracing/contour": "float32",
    "masks/chords": "uint8",
    "landmarks/chords/anatomical-7/points": "float32",
    HEATMAPS: "uint8",
}


@pytest.fixture(scope="module")
def zarr_store(small_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_store(small_dataset, tmp_path_factory.mktemp("format") / "store.zarr")


@pytest.fixture(scope="module")
def hdf5_store(small_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_store(small_dataset, tmp_path_factory.mktemp("format") / "store.h5")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _digest(table: dict[str, Any]) -> str:
    return _sha256(json.dumps(table, sort_keys=True, separators=(",", ":")).encode())


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value]
    return value.decode() if isinstance(value, bytes) else getattr(value, "item", lambda: value)()


def test_the_tree_and_every_digest_of_a_zarr_store(zarr_store: Path) -> None:
    root = json.loads((zarr_store / "zarr.json").read_text())["attributes"]
    assert root["schema"] == "echo-store/1"
    assert root.pop("digest") == _digest(root)
    listed = {
        array: digest
        for stage in root["stages"].values()
        for array, digest in stage["arrays"].items()
    }
    assert listed.keys() == DTYPES.keys()
    for array, digest in listed.items():
        text = (zarr_store / array / "manifest.json").read_bytes()
        assert _sha256(text) == digest
        manifest = json.loads(text)
        assert manifest.pop("digest") == _digest(manifest)
        declaration = (zarr_store / array / "zarr.json").read_bytes()
        assert manifest["metadata"] == _sha256(declaration)
        assert json.loads(declaration)["attributes"]["stage_key"] == manifest["key"]
        files = {file.name for file in (zarr_store / array).iterdir()}
        assert files == {"zarr.json", "manifest.json", *manifest["chunks"]}
        for name, chunk in manifest["chunks"].items():
            content = (zarr_store / array / name).read_bytes()
            assert (len(content), _sha256(content)) == (chunk["bytes"], chunk["sha256"])


def test_the_tree_and_every_digest_of_an_hdf5_store(hdf5_store: Path) -> None:
    with h5py.File(hdf5_store) as file:
        root = json.loads(file["manifests/root"][...].tobytes())
        assert file.attrs["schema"] == root["schema"] == "echo-store/1"
        assert root.pop("digest") == _digest(root)
        listed = {
            array: digest
            for stage in root["stages"].values()
            for array, digest in stage["arrays"].items()
        }
        assert listed.keys() == DTYPES.keys()
        for array, digest in listed.items():
            text = file[f"manifests/{array}"][...].tobytes()
            assert _sha256(text) == digest
            node = file[array]
            attributes = {name: _plain(value) for name, value in node.attrs.items()}
            declared = {
                "path": array,
                "shape": list(node.shape),
                "dtype": DTYPES[array],
                "dimensions": attributes.pop("dimension_names"),
                "attributes": attributes,
                "chunk_rows": 128,
            }
            assert attributes.pop("DIMENSION_LABELS") == declared["dimensions"]
            assert attributes.pop("stage_key") == json.loads(text)["key"]
            assert json.loads(text)["metadata"] == _digest(declared)
            assert (node.compression, node.fletcher32) == ("gzip", True)
            assert node.chunks == (128, *node.shape[1:])
            chunks = json.loads(text)["chunks"]
            assert len(chunks) == node.id.get_num_chunks() == 1
            (chunk,) = chunks.values()
            _, content = node.id.read_direct_chunk((0,) * node.ndim)
            assert (len(content), _sha256(content)) == (chunk["bytes"], chunk["sha256"])


def test_values_through_plain_zarr(zarr_store: Path) -> None:
    group = zarr.open_group(zarr_store, mode="r")
    video, number = group["index/video"][...], group["index/frame"][...]
    # The rows: by the video's place in FileList.csv, then by frame number.
    assert list(video) == sorted(video)
    assert all(np.diff(number)[::2] > 0)
    assert list(group["index/split"][::2]) == [0, 0, 1, 2] * 3
    assert not group["index/status"][...].any()
    # Of each video's two traces the larger is ED, whichever comes first.
    area = group["masks/chords"][...].sum(axis=(1, 2), dtype=int).reshape(-1, 2)
    phase = group["index/phase"][...].reshape(-1, 2)
    np.testing.assert_array_equal(phase[:, 0], (area[:, 0] < area[:, 1]).astype(int))
    np.testing.assert_array_equal(phase.sum(axis=1), 1)
    for row in (0, 7, 23):
        wanted = frame_pattern(row // 2, int(number[row])).astype(int)
        # Motion-JPEG is lossy.
        assert np.abs(group["frames"][row].astype(int) - wanted).mean() < 2
    heatmaps = group[HEATMAPS]
    assert heatmaps.attrs["scale"] == 1 / 255
    points = group["landmarks/chords/anatomical-7/points"][...]
    # Landmark 3 is the arc's apex, at most 2 px below the traced one.
    assert (np.abs(points[:, 3] - group["tracing/long_axis"][:, 0]) < 2).all()
    # A heatmap's peak is at its own landmark, x along the last axis.
    peaks = heatmaps[...].reshape(24, 7, -1).argmax(axis=2)
    found = np.stack([peaks % 112, peaks // 112], axis=2)
    assert np.abs(found - points).max() <= 1
    assert group["index/phase"].attrs["flag_meanings"] == "ED ES unknown"
