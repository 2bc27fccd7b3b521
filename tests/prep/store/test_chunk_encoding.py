"""Chunks against those that the zarr package writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr

from echo_common.store.schema import ArraySpec
from echo_prep.store.chunk_encoding import codecs, encode_chunk, fill_value

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
    array = ArraySpec(path="x", shape=shape, dtype=dtype, dimensions=(), attributes={})
    written = zarr.create_array(
        tmp_path / "x",
        shape=shape,
        chunks=(ROWS, *shape[1:]),
        dtype=np.dtypes.StringDType() if dtype == "str" else np.dtype(dtype),
        compressors=codecs(),
        fill_value=fill_value(array),
        config={"write_empty_chunks": True},
    )
    written[:] = content
    (chunk,) = (path for path in (tmp_path / "x" / "c").rglob("*") if path.is_file())
    assert encode_chunk(array, content, ROWS) == chunk.read_bytes()


def test_a_chunk_of_zeros_is_written_like_any_other() -> None:
    array = ArraySpec(path="x", shape=(4, 9), dtype="uint8", dimensions=(), attributes={})
    packed = encode_chunk(array, np.zeros((4, 9), np.uint8), 4)
    assert len(packed) > 4 and packed == encode_chunk(array, np.zeros((4, 9), np.uint8), 4)


def test_large_chunks_are_the_same_every_time() -> None:
    # Of several blocks, which threads would end in any order.
    array = ArraySpec(
        path="x", shape=(64, 7, 112, 112), dtype="uint8", dimensions=(), attributes={}
    )
    content = np.random.default_rng(0).integers(0, 9, array.shape).astype(np.uint8)
    first = encode_chunk(array, content, 64)
    assert all(encode_chunk(array, content, 64) == first for _ in range(4))
