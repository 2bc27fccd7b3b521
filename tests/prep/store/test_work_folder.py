"""Chunks of the work folder against those that the zarr package writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr

from echo_common.store.schema import ArraySpec
from echo_prep.store.work_folder import create_array, encode_chunk
from support.stores import chunks_of

ROWS = 16


@pytest.mark.parametrize("rows", [1, ROWS - 3, ROWS])
@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32", "str"])
def test_the_bytes_are_those_of_zarr(tmp_path: Path, dtype: str, rows: int) -> None:
    rng = np.random.default_rng(rows)
    shape = (rows,) if dtype == "str" else (rows, 40, 50)
    values = rng.integers(0, 200, shape) * (rng.random(shape) < 0.3)
    content = np.array([f"Vidéo {value}" for value in values], dtype=object)
    if dtype != "str":
        content = values.astype(dtype)
    array = ArraySpec(
        path="x", shape=shape, dtype=dtype, dimensions=("frame", "y", "x")[: len(shape)]
    )
    with chunks_of(ROWS), zarr.config.set({"array.write_empty_chunks": True}):
        create_array(tmp_path / "x", array, "key")
        zarr.open_array(tmp_path / "x", mode="r+")[:] = content
        (chunk,) = (tmp_path / "x").glob("c.*")
        assert encode_chunk(array, content) == chunk.read_bytes()


def test_a_chunk_of_zeros_is_written() -> None:
    array = ArraySpec(path="x", shape=(4, 9), dtype="uint8", dimensions=("frame", "x"))
    with chunks_of(4):
        packed = encode_chunk(array, np.zeros((4, 9), np.uint8))
        assert len(packed) > 4 and packed == encode_chunk(array, np.zeros((4, 9), np.uint8))


def test_large_chunks_are_the_same_every_time() -> None:
    # Several blocks, which threads would end in any order.
    array = ArraySpec(
        path="x", shape=(64, 7, 112, 112), dtype="uint8", dimensions=("frame", "landmark", "y", "x")
    )
    content = np.random.default_rng(0).integers(0, 9, array.shape).astype(np.uint8)
    with chunks_of(64):
        first = encode_chunk(array, content)
        assert all(encode_chunk(array, content) == first for _ in range(4))
