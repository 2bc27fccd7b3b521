"""Reading a store that is a Zarr v3 folder."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from echo_common.errors import StoreDamagedError, StoreError
from echo_common.regular_file import read_regular
from echo_common.store import schema
from echo_common.store.container import CHECKSUM_BYTES, REPAIR, Container, check_spec
from echo_common.store.manifest import Manifest, parse_manifest

GROUP = '{"attributes": {}, "node_type": "group", "zarr_format": 3}\n'
"""Metadata of a Zarr group without attributes."""

_NO_FILE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.ELOOP})
"""Errors of opening a path at which there is nothing, a folder, a pipe or a device."""

_ANY_MANIFEST = f"{schema.STATUS}/{schema.MANIFEST}"


class ZarrContainer(Container):
    """A store that is a folder in the Zarr v3 format; see `echo_common.store.container`.

    Chunks are read from their files and not through the zarr package, whose
    reader takes several times as long (see `benchmarks/prep.py`) and returns
    zeros for a missing chunk.
    """

    format = "zarr"

    def __init__(self, path: Path) -> None:
        self.path = path
        # A store without its root is damaged, but it is a store.
        if not any((path / file).is_file() for file in ("zarr.json", _ANY_MANIFEST)):
            raise StoreError(
                f"{path} is not a store: it has no zarr.json; give the path of a store built by "
                "echo-prep build"
            )

    def attributes(self) -> dict[str, Any]:
        return dict(self._metadata(self.path, "attributes")["attributes"])

    def arrays(self) -> list[str]:
        found = []
        # Also below links, if a folder was moved to a larger disk; no path of the schema is longer
        # than four names, so a link to a folder above it is no endless loop.
        waiting = ["frames", "index", "tracing", "masks", "landmarks"]
        while waiting:
            path = waiting.pop()
            with contextlib.suppress(OSError), os.scandir(self.path / path) as entries:
                names = [entry.name for entry in entries]
                if schema.is_array_path(path) and schema.MANIFEST in names:
                    found.append(path)
                elif path.count("/") < 3:
                    waiting += [f"{path}/{name}" for name in names if "." not in name]
        return sorted(found)

    def manifest(self, array: str) -> Manifest | None:
        path = self._folder(array) / schema.MANIFEST
        try:
            content = read_regular(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno not in _NO_FILE:
                raise
            raise StoreDamagedError(f"{path} is not a regular file; move it away") from error
        return parse_manifest(content, path)

    def spec(self, array: str) -> tuple[schema.ArraySpec, int]:
        table = self._metadata(self._folder(array), "shape")
        try:
            dtype = {"string": "str"}.get(table["data_type"], table["data_type"])
            chunk = table["chunk_grid"]["configuration"]["chunk_shape"]
            codecs = [codec["name"] for codec in table["codecs"]]
            attributes = {k: v for k, v in table["attributes"].items() if k != "stage_key"}
            spec = schema.ArraySpec(
                path=array,
                shape=tuple(int(length) for length in table["shape"]),
                dtype=dtype,
                dimensions=tuple(table["dimension_names"]),
                attributes=attributes,
            )
            rows = int(chunk[0])
            check_spec(spec, rows)
            sound = list(chunk[1:]) == list(spec.shape[1:])
        except (
            KeyError,
            TypeError,
            ValueError,
            AttributeError,
            IndexError,
            OverflowError,
        ) as error:
            raise self._bad_metadata(self._folder(array), error) from error
        if codecs != ["vlen-utf8" if dtype == "str" else "bytes", "blosc", "crc32c"] or not sound:
            raise self._bad_metadata(self._folder(array), f"codecs {codecs}, chunks {chunk}")
        return spec, rows

    def metadata(self, array: str) -> str:
        try:
            return hashlib.sha256(read_regular(self._folder(array) / "zarr.json")).hexdigest()
        except OSError as error:
            raise self._bad_metadata(self._folder(array), error) from error

    def sizes(self, array: str) -> dict[str, int]:
        try:
            with os.scandir(self._folder(array)) as entries:
                return {
                    entry.name: entry.stat().st_size
                    for entry in entries
                    if schema.is_chunk_name(entry.name) and entry.is_file()
                }
        except (FileNotFoundError, NotADirectoryError):
            return {}

    def raw(self, array: str, chunk: str) -> bytes:
        try:
            return read_regular(self._folder(array) / chunk)
        except OSError as error:
            if error.errno not in _NO_FILE:
                raise
            raise LookupError(chunk) from error

    def decode(self, raw: bytes, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        from numcodecs import blosc

        try:
            content = blosc.decompress(memoryview(raw)[:-CHECKSUM_BYTES])
        except RuntimeError as error:
            raise ValueError(str(error)) from error
        if dtype == "str":
            return _decode_strings(content, shape)
        return np.frombuffer(content, dtype=np.dtype(dtype).newbyteorder("<")).reshape(shape)

    def decode_into(self, raw: bytes, out: np.ndarray) -> None:
        from numcodecs import blosc

        content = memoryview(raw)[:-CHECKSUM_BYTES]
        # The size in Blosc's header must match: Blosc would fill only a part of a larger array.
        if int.from_bytes(content[4:8], "little") != out.nbytes or sys.byteorder != "little":
            super().decode_into(raw, out)
            return
        try:
            blosc.decompress(content, out)
        except RuntimeError as error:
            raise ValueError(str(error)) from error

    def newer_chunks(self, array: str) -> set[str]:
        folder = self._folder(array)
        written = (folder / schema.MANIFEST).stat().st_mtime_ns
        with os.scandir(folder) as entries:
            return {
                entry.name
                for entry in entries
                if schema.is_chunk_name(entry.name)
                and entry.is_file()
                and entry.stat().st_mtime_ns > written
            }

    def written_at(self, array: str) -> float:
        return (self._folder(array) / schema.MANIFEST).stat().st_mtime

    def broken_groups(self, arrays: Collection[str]) -> list[str]:
        groups = {str(parent) for array in arrays for parent in Path(array).parents} - {"."}
        return [group for group in sorted(groups) if not is_group(self.path / group)]

    def _folder(self, array: str) -> Path:
        """Folder of an array, whose path may come from a file."""
        if not schema.is_array_path(array):
            raise StoreDamagedError(f"{self.path}: {array!r} is no array of {schema.SCHEMA}")
        return self.path / array

    def _metadata(self, folder: Path, needed: str) -> dict[str, Any]:
        try:
            table = json.loads(read_regular(folder / "zarr.json"))
            if not isinstance(table[needed], dict | list):
                raise TypeError(f"{needed} is neither a list nor a table")
            return dict(table)
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise self._bad_metadata(folder, error) from error

    def _bad_metadata(self, folder: Path, reason: object) -> StoreDamagedError:
        path = folder / "zarr.json"
        return StoreDamagedError(f"{path} does not follow the schema ({reason}); {REPAIR}")


def is_group(folder: Path) -> bool:
    """Whether a folder has the metadata of a plain Zarr group."""
    try:
        return read_regular(folder / "zarr.json") == GROUP.encode()
    except OSError:
        return False


def _decode_strings(content: bytes, shape: tuple[int, ...]) -> np.ndarray:
    from numcodecs.vlen import VLenUTF8

    # Before memory is allocated for them: the count in a file may be anything.
    count = int.from_bytes(content[:4], "little")
    if count != math.prod(shape):
        raise ValueError(f"{count} strings instead of {math.prod(shape)}")
    texts = VLenUTF8().decode(content)
    return np.array(texts, dtype=np.dtypes.StringDType()).reshape(shape)
