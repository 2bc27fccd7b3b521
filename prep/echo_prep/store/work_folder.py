"""The work folder of a build: chunks on their way into the store.

It stands beside the store, on the same file system, so that what is complete
moves into the store by a rename. Until then no reader sees it. Its arrays are
Zarr, whatever the store's own format, so that workers can write side by side.
The zarr package is imported where it is used: it takes a third of a second, and
neither workers nor a build with nothing to do need it.

Nothing here is flushed to the disk chunk by chunk, which took most of a build's
time: a chunk counts where its bytes have the digest of its record, be it after
a kill or after a power cut, and all are flushed together before they move.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from echo_common import atomic
from echo_common.store.schema import CHUNK_FRAMES, ArraySpec, chunk_name
from echo_prep.store.chunk_encoding import codecs, encode_chunk, fill_value

Notes = dict[str, list[Any]]
"""What making a chunk found, by kind."""

_FLUSHES = 32
"""Files that are flushed side by side: a file system writes its journal once for all of them."""


def work_path(store: Path) -> Path:
    """Where a store's work folder stands."""
    return store.with_name(store.name + ".partial")


class WorkFolder:
    """Arrays that are being made, and the records of their finished chunks.

    Parameters
    ----------
    root : Path
        From `work_path`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def begin(self, array: ArraySpec, key: str) -> None:
        """Declare an array; what is left of a build with another key is removed."""
        folder = self.folder(array.path)
        if self._key(folder) == key:
            return
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(self._records(array.path), ignore_errors=True)
        self._records(array.path).mkdir(parents=True)
        create_array(folder, array, key)

    def lacking(self, arrays: Iterable[ArraySpec], key: str, numbers: Iterable[int]) -> list[int]:
        """Which of these chunks are not, in each of the arrays, what a record says."""
        paths = [array.path for array in arrays]
        return [
            number
            for number in numbers
            if not all(self._holds(path, key, number) for path in paths)
        ]

    def put(
        self, array: ArraySpec, key: str, number: int, content: np.ndarray, notes: Notes
    ) -> None:
        """Write one chunk of an array, then note its digest and what was found on the way."""
        name = chunk_name(number, len(array.shape))
        packed = encode_chunk(array, content, CHUNK_FRAMES)
        with (self.folder(array.path) / name).open("wb") as file:
            file.write(packed)
        chunk: dict[str, Any] = digest(packed)
        if notes:
            chunk["notes"] = notes
        text = json.dumps({"key": key, "name": name, "chunk": chunk}, sort_keys=True)
        atomic.write_text(self._records(array.path) / f"{number}.json", text, durable=False)

    def forget(self, array: ArraySpec, number: int) -> None:
        """Let a chunk count as not made."""
        (self._records(array.path) / f"{number}.json").unlink(missing_ok=True)

    def flush(self, chunks: Iterable[tuple[str, str]]) -> None:
        """Flush chunks to the disk, each given by its array's path and its name."""
        files = [self.folder(path) / name for path, name in chunks]
        with concurrent.futures.ThreadPoolExecutor(_FLUSHES) as pool:
            for _ in pool.map(atomic.fsync_path, files):
                pass

    def start(self, number: int) -> Path:
        """Leave a mark that a chunk is being made; it outlives a worker that is killed."""
        mark = self.root / "started" / str(number)
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
        return mark

    def started(self) -> list[int]:
        """Chunks whose mark is there, which is then taken away."""
        folder = self.root / "started"
        marks = [int(mark.name) for mark in folder.iterdir()] if folder.is_dir() else []
        shutil.rmtree(folder, ignore_errors=True)
        return sorted(marks)

    def chunks(self, path: str, key: str, numbers: Iterable[int]) -> dict[str, dict[str, Any]]:
        """Manifest entries of these chunks, by name.

        Raises
        ------
        RuntimeError
            If a chunk has no record: a defect of the caller.
        """
        found: dict[str, dict[str, Any]] = {}
        for number in numbers:
            record = self._read_record(path, key, number)
            if record is None:
                raise RuntimeError(f"chunk {number} of {path} has no record")
            found[record["name"]] = record["chunk"]
        return found

    def read_rows(self, path: str, start: int, stop: int) -> np.ndarray:
        """Content of rows that have been written."""
        import zarr

        node = zarr.open_array(self.folder(path), mode="r")
        return np.asarray(node[start:stop])

    def folder(self, path: str) -> Path:
        """Folder of an array."""
        return self.root / "arrays" / path

    def remove(self) -> None:
        """Remove the work folder with all that is in it."""
        shutil.rmtree(self.root, ignore_errors=True)

    def _records(self, path: str) -> Path:
        return self.root / "records" / path

    def _key(self, folder: Path) -> str | None:
        try:
            return str(json.loads((folder / "zarr.json").read_text())["attributes"]["stage_key"])
        except (OSError, ValueError, KeyError):
            return None

    def _holds(self, path: str, key: str, number: int) -> bool:
        record = self._read_record(path, key, number)
        if record is None:
            return False
        found = digest((self.folder(path) / record["name"]).read_bytes())
        return found["sha256"] == record["chunk"]["sha256"]

    def _read_record(self, path: str, key: str, number: int) -> dict[str, Any] | None:
        try:
            record = json.loads((self._records(path) / f"{number}.json").read_text())
            if record["key"] != key:
                return None
            # A chunk that has moved into the store, or that a power cut took, is not there.
            size = (self.folder(path) / record["name"]).stat().st_size
            return dict(record) if size == record["chunk"]["bytes"] else None
        except (OSError, ValueError, KeyError, TypeError):
            return None


def digest(content: bytes) -> dict[str, Any]:
    """What a manifest says of a chunk with these bytes."""
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def create_array(folder: Path, array: ArraySpec, key: str) -> None:
    """Write the metadata of an array, and no chunk."""
    import zarr

    dtype: Any = np.dtypes.StringDType() if array.dtype == "str" else np.dtype(array.dtype)
    zarr.create_array(
        folder,
        shape=array.shape,
        chunks=(CHUNK_FRAMES, *array.shape[1:]),
        dtype=dtype,
        compressors=codecs(),
        fill_value=fill_value(array),
        dimension_names=array.dimensions,
        # Sorted, so that a store converted there and back has the same bytes.
        attributes=dict(sorted({**array.attributes, "stage_key": key}.items())),
        # One flat folder an array, and every chunk a file: what is not there is missing.
        chunk_key_encoding={"name": "default", "separator": "."},
        zarr_format=3,
    )
