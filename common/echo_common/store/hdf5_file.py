"""Reading a store that is one HDF5 file; `cache/README.md` describes its layout."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from echo_common.errors import StoreDamagedError, StoreError
from echo_common.store import schema
from echo_common.store.container import CHECKSUM_BYTES, REPAIR, Container, check_spec
from echo_common.store.manifest import Manifest, parse_manifest, spec_digest

_FAULTS = (OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError)
"""Errors of h5py for a damaged file, depending on where the damage is."""

_TEXT_BYTES = 1 << 16
"""Longest text, and more than any name of a file."""

_DOCUMENT_BYTES = 1 << 30
"""Longest manifest."""


class Hdf5Container(Container):
    """A store that is one HDF5 file; see `echo_common.store.container`."""

    format = "hdf5"

    def __init__(self, path: Path) -> None:
        self.path = path
        if not h5py.is_hdf5(path):
            raise StoreError(
                f"{path} is not a store: it is neither a Zarr folder nor an HDF5 file; give the "
                "path of a store built by echo-prep build"
            )
        try:
            self.file = h5py.File(path, "r")
        except OSError as error:
            raise self._damaged("the file does not open", error) from error

    def attributes(self) -> dict[str, Any]:
        text = self._document(schema.ROOT)
        try:
            return dict(json.loads(text if text is not None else "none"))
        except (ValueError, TypeError, RecursionError) as error:
            raise self._damaged(f"{schema.ROOT} is not JSON", error) from error

    def arrays(self) -> list[str]:
        found: list[str] = []

        def visit(name: str, node: object) -> None:
            if isinstance(node, h5py.Dataset) and schema.is_array_path(name):
                found.append(name)

        try:
            if schema.MANIFESTS in self.file:
                self.file[schema.MANIFESTS].visititems(visit)
        except _FAULTS as error:
            raise self._damaged("the manifests cannot be listed", error) from error
        return sorted(found)

    def manifest(self, array: str) -> Manifest | None:
        path = f"{schema.MANIFESTS}/{array}"
        text = self._document(path)
        return None if text is None else parse_manifest(text, f"{self.path}: {path}")

    def spec(self, array: str) -> tuple[schema.ArraySpec, int]:
        node = self._dataset(array)
        try:
            text = h5py.check_string_dtype(node.dtype) is not None
            attributes = {name: _plain(value) for name, value in node.attrs.items()}
            dimensions = tuple(attributes.pop("dimension_names"))
            sound = list(attributes.pop("DIMENSION_LABELS")) == list(dimensions)
            attributes.pop("stage_key", None)
            filters = node.id.get_create_plist()
            order = [filters.get_filter(i)[0] for i in range(filters.get_nfilters())]
            sound &= order == [h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_FLETCHER32]
            sound &= node.chunks[1:] == node.shape[1:]
            spec = schema.ArraySpec(
                path=array,
                shape=node.shape,
                dtype="str" if text else node.dtype.name,
                dimensions=dimensions,
                attributes=attributes,
            )
            rows = int(node.chunks[0])
            check_spec(spec, rows)
        except _FAULTS as error:
            raise self._damaged(
                f"the declaration of {array} does not follow the schema", error
            ) from error
        if not sound:
            raise self._damaged(f"{array} has the filters {order} and chunks {node.chunks}", None)
        return spec, rows

    def metadata(self, array: str) -> str:
        return spec_digest(*self.spec(array))

    def sizes(self, array: str) -> dict[str, int]:
        found: dict[str, int] = {}
        try:
            node = self._dataset(array)
            rows, dimensions = node.chunks[0], len(node.shape)

            def note(chunk: Any) -> None:
                found[schema.chunk_name(chunk.chunk_offset[0] // rows, dimensions)] = chunk.size

            node.id.chunk_iter(note)
        except _FAULTS as error:
            raise self._damaged(f"the chunks of {array} cannot be listed", error) from error
        return found

    def raw(self, array: str, chunk: str) -> bytes:
        node = self._dataset(array)
        offset = (schema.chunk_number(chunk) * node.chunks[0], *[0] * (len(node.shape) - 1))
        try:
            skipped, content = node.id.read_direct_chunk(offset)
        except _FAULTS as error:
            raise LookupError(chunk) from error
        # If a chunk skips a filter, its bytes have another meaning.
        return b"" if skipped else bytes(content)

    def decode(self, raw: bytes, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        # A chunk may claim to hold any amount.
        most = int(np.prod(shape)) * (_TEXT_BYTES if dtype == "str" else np.dtype(dtype).itemsize)
        try:
            content = zlib.decompressobj().decompress(memoryview(raw)[:-CHECKSUM_BYTES], most + 1)
        except zlib.error as error:
            raise ValueError(str(error)) from error
        if dtype == "str":
            width = len(content) // int(np.prod(shape))
            cells = np.frombuffer(content, dtype=f"S{width}")
            words = [cell.decode() for cell in cells]
            return np.array(words, dtype=np.dtypes.StringDType()).reshape(shape)
        return np.frombuffer(content, dtype=np.dtype(dtype).newbyteorder("<")).reshape(shape)

    def written_at(self, array: str) -> float:
        return self.path.stat().st_mtime

    def close(self) -> None:
        self.file.close()

    def _dataset(self, array: str) -> Any:
        try:
            node = self._node(array)
        except _FAULTS as error:
            raise self._damaged(f"{array} is missing", error) from error
        if not isinstance(node, h5py.Dataset) or node.chunks is None:
            raise self._damaged(f"{array} is not a chunked dataset", None)
        return node

    def _document(self, path: str) -> bytes | None:
        try:
            node = self._node(path)
            if node is not None and node.size > _DOCUMENT_BYTES:
                raise ValueError(f"{node.size} bytes")
            return None if node is None else bytes(node[...])
        except _FAULTS as error:
            raise self._damaged(f"{path} cannot be read", error) from error

    def _node(self, path: str) -> Any:
        """Object at a path, or None; a link, which may lead to another file, is not followed."""
        node = self.file
        for name in path.split("/"):
            link = node.get(name, getlink=True)
            if link is None:
                return None
            if not isinstance(link, h5py.HardLink):
                raise ValueError(f"{name} is a link")
            node = node[name]
        return node

    def _damaged(self, what: str, error: Exception | None) -> StoreDamagedError:
        because = f" ({error})" if error is not None else ""
        return StoreDamagedError(f"{self.path}: {what}{because}; {REPAIR}")


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return value.decode()
    return value.item() if isinstance(value, np.generic) else value
