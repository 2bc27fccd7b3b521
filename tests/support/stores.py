"""Stores of small data sets, and ways to damage them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import h5py
import numpy as np

import echo_prep.build.stages
import echo_prep.build.worker
import echo_prep.store.convert
import echo_prep.store.publish_hdf5
import echo_prep.store.work_folder
from echo_common.cli.settings import replace
from echo_common.store.reader import EchoStore
from echo_prep.build.build import build
from echo_prep.settings import BuildSettings
from echo_prep.store.convert import convert

_CHUNKED = (
    echo_prep.build.worker,
    echo_prep.store.convert,
    echo_prep.store.publish_hdf5,
    echo_prep.build.stages,
    echo_prep.store.work_folder,
)
"""Modules that import the number of rows per chunk."""

HEATMAPS = "landmarks/chords/anatomical-7/gaussian"


def build_store(data: Path, store: Path, **options: Any) -> Path:
    """Build a store with one worker."""
    build(replace(BuildSettings(data=data, store=store, jobs=1), **options))
    return store


@contextlib.contextmanager
def chunks_of(rows: int) -> Iterator[None]:
    """Within the block, divide the arrays of stores into chunks of the given number of rows."""
    with contextlib.ExitStack() as stack:
        for module in _CHUNKED:
            stack.enter_context(mock.patch.object(module, "CHUNK_FRAMES", rows))
        yield


def build_in_small_chunks(data: Path, store: Path, **options: Any) -> None:
    """Build a store of a few videos with several chunks."""
    with chunks_of(4):
        build_store(data, store, **options)


def convert_in_small_chunks(source: Path, target: Path) -> None:
    """Convert a store of a few videos with several chunks."""
    with chunks_of(4):
        convert(source, target)


def read_all(store: Path) -> dict[str, np.ndarray]:
    """Every array of a store, by path."""
    opened = EchoStore(store)
    content = {array: opened.read(array) for array in sorted(opened.manifests)}
    opened.container.close()
    return content


def assert_same(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> None:
    """Check that two stores contain the same arrays with the same types and values."""
    assert first.keys() == second.keys()
    for array, values in first.items():
        assert values.dtype == second[array].dtype, array
        np.testing.assert_array_equal(values, second[array], err_msg=array)


def file_bytes(store: Path) -> dict[str, bytes]:
    """Content of each file of a store, by its relative path."""
    if store.is_file():
        return {"": store.read_bytes()}
    return {
        str(file.relative_to(store)): file.read_bytes()
        for file in sorted(store.rglob("*"))
        if file.is_file()
    }


def flip_chunk(store: Path, array: str, chunk: str) -> None:
    """Flip one bit in the middle of a chunk, without changing its size and times."""
    if store.is_dir():
        _flip(store / array / chunk, None)
        return
    with h5py.File(store) as file:
        node = file[array]
        first = int(chunk.split(".")[1]) * node.chunks[0]
        info = node.id.get_chunk_info_by_coord((first, *[0] * (node.ndim - 1)))
        offset = info.byte_offset + info.size // 2
    _flip(store, offset)


def _flip(path: Path, offset: int | None) -> None:
    times = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if offset is None else offset] ^= 16
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def empty_folder(folder: Path) -> None:
    """Remove everything in a folder."""
    shutil.rmtree(folder)
    folder.mkdir()


def copy_store(store: Path, folder: Path) -> None:
    """Replace a folder with a copy of the folder that contains a store."""
    shutil.rmtree(folder)
    shutil.copytree(store.parent, folder)


def assert_same_folder(folder: Path, expected: dict[str, bytes]) -> None:
    """Check that a folder contains exactly the expected files.

    Times in the record of a store's videos may differ, and a video that it lacks is compared later.
    """
    files = file_bytes(folder)
    assert sorted(files) == sorted(expected)
    for name, content in expected.items():
        if name.endswith(".videos.json"):
            found, wanted = json.loads(files[name]), json.loads(content)
            assert found["videos"].keys() <= wanted["videos"].keys()
            assert found["store"] == wanted["store"]
        else:
            assert files[name] == content, name
