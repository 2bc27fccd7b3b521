"""The work folder of a build: finished chunks that are not in the store yet, and their records.

The folder is next to the store, on the same file system, so that a finished
array moves into the store by a rename. Readers never look at it. Its arrays
are in the Zarr format, whatever the format of the store, so that workers can
write at the same time.

Chunks are not flushed to the disk one by one, which would take most of a
build's time. A chunk counts if its bytes have the digest in its record, after
a kill as after a power cut, and all chunks are flushed together before they
move into the store.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numcodecs import blosc
from numcodecs.vlen import VLenUTF8

from echo_common import atomic
from echo_common.cli.command import describe_os_error
from echo_common.errors import EchoError, OutputError, StoreError
from echo_common.marked_folder import mark_folder, remove_tree
from echo_common.regular_file import read_regular
from echo_common.store.schema import (
    CHUNK_FRAMES,
    ArraySpec,
    chunk_name,
    chunk_number,
    is_chunk_name,
)

Notes = dict[str, list[Any]]
"""What was found while a chunk was made, such as frames that could not be read, by kind."""

_PURPOSE = "build"
"""What the mark of the folder says."""

_LEVEL = 5
"""Compression level of Blosc."""

_FLUSHES = 32
"""Files that are flushed at the same time; the file system then writes its journal once."""


def work_path(store: Path) -> Path:
    """Path of a store's work folder."""
    return store.with_name(store.name + ".partial")


@contextlib.contextmanager
def finished_work_kept() -> Iterator[None]:
    """Turn an error of the operating system into one that says that finished chunks are kept.

    Raises
    ------
    StoreError
        For every OSError that is not a message to the user already.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, EchoError) or error.errno is None:
            raise
        raise StoreError(f"{describe_os_error(error)} (finished chunks are kept)") from error


class WorkFolder:
    """Arrays of a build that is in progress, and the records of their finished chunks."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(self) -> None:
        """Make the folder, or take over the one that an interrupted build left.

        Raises
        ------
        OutputError
            If something else is at its path, or a link is in it, which nothing here makes.
        """
        mark_folder(self.root, _PURPOSE)
        for folder, folders, _ in os.walk(self.root):
            if links := [name for name in folders if (Path(folder) / name).is_symlink()]:
                raise OutputError(
                    f"{Path(folder) / links[0]} is a link, which a work folder never has; remove it"
                )

    def write_file(self, path: Path, text: str) -> None:
        """Replace a file of the store, or next to it, in one step, from a temporary file here."""
        atomic.write_text(path, text, folder=self.root)

    def declare(self, array: ArraySpec, key: str) -> None:
        """Create an array, unless it exists with this stage key; remove one with another key."""
        folder = self.array_folder(array.path)
        if _stage_key(folder) == key:
            return
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(self._records(array.path), ignore_errors=True)
        self._records(array.path).mkdir(parents=True)
        create_array(folder, array, key)

    def missing_chunks(
        self, arrays: Iterable[ArraySpec], key: str, numbers: Iterable[int]
    ) -> list[int]:
        """Of these chunks, those that are unfinished or damaged in one of the arrays."""
        paths = [array.path for array in arrays]
        return [
            number
            for number in numbers
            if not all(self._is_finished(path, key, number) for path in paths)
        ]

    def write_chunk(
        self, array: ArraySpec, key: str, number: int, content: np.ndarray, notes: Notes
    ) -> None:
        """Write a chunk of an array, then its record: the digest and the notes."""
        name = chunk_name(number, len(array.shape))
        encoded = encode_chunk(array, content)
        with (self.array_folder(array.path) / name).open("wb") as file:
            file.write(encoded)
        chunk: dict[str, Any] = digest(encoded)
        if notes:
            chunk["notes"] = notes
        text = json.dumps({"key": key, "name": name, "chunk": chunk}, sort_keys=True)
        atomic.write_text(self._records(array.path) / f"{number}.json", text, durable=False)

    def forget_chunk(self, array: ArraySpec, number: int) -> None:
        """Remove a chunk's record, so that the chunk is made again."""
        (self._records(array.path) / f"{number}.json").unlink(missing_ok=True)

    def chunk_entries(
        self, path: str, key: str, numbers: Iterable[int]
    ) -> dict[str, dict[str, Any]]:
        """Manifest entries of these chunks, which have to be finished, by chunk name."""
        entries: dict[str, dict[str, Any]] = {}
        for number in numbers:
            record = self._read_record(path, key, number)
            if record is None:
                raise RuntimeError(f"chunk {number} of {path} has no record")
            entries[record["name"]] = record["chunk"]
        return entries

    def flush(self, chunks: Iterable[tuple[str, str]]) -> None:
        """Flush chunks to the disk, each given by the path of its array and its name."""
        files = [self.array_folder(path) / name for path, name in chunks]
        try:
            with concurrent.futures.ThreadPoolExecutor(_FLUSHES) as pool:
                for _ in pool.map(atomic.fsync_path, files):
                    pass
        except RuntimeError:
            # No room for the stacks of threads.
            for file in files:
                atomic.fsync_path(file)

    def mark_started(self, number: int) -> Path:
        """Leave a file that says that a chunk is being made; it outlives a killed worker."""
        marker = self.root / "started" / str(number)
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.touch()
        return marker

    def take_started(self) -> list[int]:
        """Remove the files that `mark_started` left, and return the numbers of their chunks."""
        folder = self.root / "started"
        names = [marker.name for marker in folder.iterdir()] if folder.is_dir() else []
        numbers = [int(name) for name in names if name.isdecimal()]
        shutil.rmtree(folder, ignore_errors=True)
        return sorted(numbers)

    def read_rows(self, path: str, start: int, stop: int) -> np.ndarray:
        """Read rows of an array from its finished chunks."""
        # Imported here: it takes a third of a second, and workers do not need it.
        import zarr

        node = zarr.open_array(self.array_folder(path), mode="r")
        return np.asarray(node[start:stop])

    def array_folder(self, path: str) -> Path:
        """Folder of an array."""
        return self.root / "arrays" / path

    def remove(self) -> None:
        """Remove the work folder and everything in it."""
        remove_tree(self.root, _PURPOSE)

    def _records(self, path: str) -> Path:
        return self.root / "records" / path

    def _is_finished(self, path: str, key: str, number: int) -> bool:
        record = self._read_record(path, key, number)
        if record is None:
            return False
        found = digest(read_regular(self.array_folder(path) / record["name"]))
        return found["sha256"] == record["chunk"]["sha256"]

    def _read_record(self, path: str, key: str, number: int) -> dict[str, Any] | None:
        try:
            record = json.loads(read_regular(self._records(path) / f"{number}.json"))
            name, size = record["name"], record["chunk"]["bytes"]
            if record["key"] != key or not is_chunk_name(name) or chunk_number(name) != number:
                return None
            # A chunk is gone if it has moved into the store, or after a power cut.
            same = (self.array_folder(path) / name).stat().st_size == size
            return dict(record) if same and isinstance(record["chunk"]["sha256"], str) else None
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return None


def digest(content: bytes) -> dict[str, Any]:
    """Manifest entry of a chunk with these bytes."""
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def create_array(folder: Path, array: ArraySpec, key: str) -> None:
    """Write the Zarr metadata of an array, and no chunk."""
    # Imported here: it takes a third of a second, and workers do not need it.
    import zarr
    from zarr.codecs import BloscCodec, Crc32cCodec

    dtype: Any = np.dtypes.StringDType() if array.dtype == "str" else np.dtype(array.dtype)
    zarr.create_array(
        folder,
        shape=array.shape,
        chunks=(CHUNK_FRAMES, *array.shape[1:]),
        dtype=dtype,
        # LZ4 decompresses faster than disks deliver; crc32c makes a flipped bit an error.
        compressors=[BloscCodec(cname="lz4", clevel=_LEVEL, shuffle="noshuffle"), Crc32cCodec()],
        fill_value=_fill_value(array),
        dimension_names=array.dimensions,
        # Sorted, so that a store converted to HDF5 and back has the same bytes.
        attributes=dict(sorted({**array.attributes, "stage_key": key}.items())),
        # All files of an array in one folder, and a file for every chunk.
        chunk_key_encoding={"name": "default", "separator": "."},
        zarr_format=3,
    )


def encode_chunk(array: ArraySpec, content: np.ndarray) -> bytes:
    """Encode a chunk as the zarr package does: Blosc, then a crc32c at the end.

    zarr's own writer takes several times as long for chunks of this size
    (`benchmarks/prep.py` measures both).

    Parameters
    ----------
    content : ndarray, (row, …)
        Of the array's type. The last chunk of an array may have fewer rows
        than the others; it is padded with the fill value.
    """
    padding = CHUNK_FRAMES - len(content)
    if array.dtype == "str":
        texts = [str(text) for text in content] + [""] * padding
        plain: Any = VLenUTF8().encode(np.array(texts, dtype=object))
        item_size = 1
    else:
        plain = np.ascontiguousarray(content, dtype=np.dtype(array.dtype).newbyteorder("<"))
        item_size = plain.itemsize
        if padding:
            rest = np.full((padding, *array.shape[1:]), _fill_value(array), plain.dtype)
            plain = np.concatenate([plain, rest])
    # With threads, the order of blocks in the chunk would depend on which thread ends first.
    blosc.use_threads = False
    packed: bytes = blosc.compress(plain, b"lz4", _LEVEL, blosc.NOSHUFFLE, typesize=item_size)
    return packed + google_crc32c.value(packed).to_bytes(4, "little")


def _fill_value(array: ArraySpec) -> Any:
    return {"float32": np.nan, "str": ""}.get(array.dtype, 0)


def _stage_key(folder: Path) -> str | None:
    try:
        return str(json.loads(read_regular(folder / "zarr.json"))["attributes"]["stage_key"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
