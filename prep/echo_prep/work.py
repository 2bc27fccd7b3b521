"""The work folder of a build: arrays on their way into the store.

It stands beside the store, on the same file system, so that an array that is
complete moves into the store by one rename. Until then no reader sees it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from echo_common import atomic
from echo_common.schema import MANIFEST
from echo_common.store import Manifest
from zarr.codecs import BloscCodec, Crc32cCodec

from echo_prep.stages import CHUNK_FRAMES, ArraySpec, Stage

GROUP = json.dumps({"attributes": {}, "node_type": "group", "zarr_format": 3}) + "\n"
"""Metadata of a group without attributes."""


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

    def begin(self, stage: Stage) -> None:
        """Declare a stage's arrays; what is left of a build with another key is removed."""
        for array in stage.arrays:
            folder = self._array(array.path)
            if self._key(folder) == stage.key:
                continue
            shutil.rmtree(folder, ignore_errors=True)
            shutil.rmtree(self._records(array.path), ignore_errors=True)
            self._records(array.path).mkdir(parents=True)
            _create_array(folder, array, stage.key)

    def missing(self, stage: Stage) -> list[int]:
        """Numbers of the chunks that the stage still lacks."""
        return [
            number
            for number in range(_chunk_count(stage.arrays[0]))
            if any(self._read_record(stage, array.path, number) is None for array in stage.arrays)
        ]

    def write_rows(self, path: str, start: int, stop: int, content: np.ndarray) -> str:
        """Write one chunk of an array, down to the disk; returns the chunk's file name."""
        node = zarr.open_array(self._array(path), mode="r+")
        # Opening forgets what creating asked for: a chunk of zeros is a file too.
        node = node.with_config({"write_empty_chunks": True})
        node[start:stop] = content
        name = ".".join(["c", str(start // CHUNK_FRAMES), *("0" for _ in node.shape[1:])])
        atomic.fsync_path(self._array(path) / name)
        return name

    def record(
        self, stage: Stage, path: str, number: int, name: str, notes: dict[str, list[Any]]
    ) -> None:
        """Note that a chunk is complete, with its digest and what was found on the way."""
        record = {"key": stage.key, "name": name, "notes": notes} | _digest(
            self._array(path) / name
        )
        text = json.dumps(record, sort_keys=True)
        atomic.write_text(self._records(path) / f"{number}.json", text)

    def manifest(self, stage: Stage, path: str, versions: dict[str, str]) -> Manifest:
        """Put the records of an array together.

        Raises
        ------
        RuntimeError
            If a chunk has no record: a defect of the caller.
        """
        chunks: dict[str, dict[str, Any]] = {}
        notes: dict[str, list[Any]] = {}
        for number in range(_chunk_count(stage.arrays[0])):
            record = self._read_record(stage, path, number)
            if record is None:
                raise RuntimeError(f"chunk {number} of {path} has no record")
            chunks[record["name"]] = {"bytes": record["bytes"], "sha256": record["sha256"]}
            for name, note in record["notes"].items():
                notes[name] = notes[name] + note if name in notes else note
        return Manifest(
            stage=stage.name,
            key=stage.key,
            parameters=stage.parameters,
            inputs=stage.inputs,
            chunks=chunks,
            notes=notes,
            versions=versions,
        )

    def publish(self, store: Path, path: str, manifest: Manifest) -> None:
        """Move a complete array into the store.

        The manifest goes in last, then one rename makes the array count. A
        kill between two steps leaves either the work folder's array whole or
        the store's.
        """
        folder = self._array(path)
        expected = {"zarr.json", *manifest.chunks}
        for file in folder.iterdir():
            # Half-written files of a killed worker do not belong to the array.
            if file.name not in expected:
                file.unlink()
        atomic.fsync_path(folder / "zarr.json")
        atomic.write_text(folder / MANIFEST, manifest.to_json())
        target = store / path
        make_groups(store, path)
        if target.exists():
            discarded = self.root / "discarded"
            shutil.rmtree(discarded, ignore_errors=True)
            target.rename(discarded)
            shutil.rmtree(discarded)
        folder.rename(target)
        atomic.fsync_path(target.parent)

    def remove(self) -> None:
        """Remove the work folder with all that is in it."""
        shutil.rmtree(self.root, ignore_errors=True)

    def _array(self, path: str) -> Path:
        return self.root / "arrays" / path

    def _records(self, path: str) -> Path:
        return self.root / "records" / path

    def _key(self, folder: Path) -> str | None:
        try:
            return str(json.loads((folder / "zarr.json").read_text())["attributes"]["stage_key"])
        except (OSError, ValueError, KeyError):
            return None

    def _read_record(self, stage: Stage, path: str, number: int) -> dict[str, Any] | None:
        try:
            record = json.loads((self._records(path) / f"{number}.json").read_text())
        except (OSError, ValueError):
            return None
        return record if record["key"] == stage.key else None


def make_groups(store: Path, path: str) -> None:
    """Make the groups above an array, where they are not there yet."""
    parent = store
    for part in path.split("/")[:-1]:
        parent = parent / part
        parent.mkdir(exist_ok=True)
        if not (parent / "zarr.json").exists():
            atomic.write_text(parent / "zarr.json", GROUP)


def array_is_whole(array: Path, manifest: Manifest) -> bool:
    """Whether every chunk that a manifest lists is there with the digest that it lists."""
    try:
        return all(_digest(array / name) == chunk for name, chunk in manifest.chunks.items())
    except OSError:
        return False


def _digest(path: Path) -> dict[str, Any]:
    content = path.read_bytes()
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _chunk_count(array: ArraySpec) -> int:
    return -(-array.shape[0] // CHUNK_FRAMES)


def _create_array(folder: Path, array: ArraySpec, key: str) -> None:
    dtype: Any = np.dtypes.StringDType() if array.dtype == "str" else np.dtype(array.dtype)
    zarr.create_array(
        folder,
        shape=array.shape,
        chunks=(CHUNK_FRAMES, *array.shape[1:]),
        dtype=dtype,
        # LZ4 reads back faster than a disk delivers; crc32c makes a flipped bit an error.
        compressors=[BloscCodec(cname="lz4", clevel=5, shuffle="noshuffle"), Crc32cCodec()],
        fill_value=np.nan if array.dtype == "float32" else "" if array.dtype == "str" else 0,
        dimension_names=array.dimensions,
        attributes={**array.attributes, "stage_key": key},
        # One flat folder an array, and every chunk a file: what is not there is missing.
        chunk_key_encoding={"name": "default", "separator": "."},
        config={"write_empty_chunks": True},
        zarr_format=3,
    )
