"""Writing an HDF5 store: one process, a temporary name, flush, fsync, rename.

An HDF5 file that is modified in place does not open after a kill, and its
bytes depend on its history. So the file is always written completely, in a
fixed order; chunks that are sound in the old file are copied without decoding.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from echo_common import atomic
from echo_common.store import schema
from echo_common.store.container import Container
from echo_common.store.manifest import Manifest, spec_digest, stage_table, with_digest
from echo_common.store.schema import CHUNK_FRAMES, chunk_name
from echo_prep.store.delivery import Delivery
from echo_prep.store.work_folder import WorkFolder, digest

GZIP_LEVEL = 1
"""Masks and heatmaps shrink to a hundredth at any level; this one is the fastest to write."""


def publish_hdf5(
    store: Path,
    work: WorkFolder,
    source: Container | None,
    deliveries: Sequence[Delivery],
    removes: bool,
    attributes: dict[str, Any],
) -> dict[str, Manifest]:
    """Make an HDF5 store contain exactly these arrays; see `echo_prep.store.publish.publish`.

    Nothing is written if nothing is removed and the store has this content already.
    """
    if source is not None and source.path == store and not removes:
        unchanged = not any(delivery.changes_store for delivery in deliveries)
        manifests = {delivery.spec.path: delivery.manifest for delivery in deliveries}
        if unchanged and source.attributes() == _root_attributes(manifests, attributes):
            return manifests
    temporary = work.root / "store.h5"
    temporary.unlink(missing_ok=True)
    with contextlib.closing(CheckedFile(temporary)) as file:
        try:
            manifests = _assemble(file, work, source, deliveries, attributes)
        except Exception:
            # After a failed write, reading fails too, with any error; the write is the cause.
            file.check()
            raise
        file.check()
    atomic.fsync_path(temporary)
    temporary.replace(store)
    atomic.fsync_path(store.parent)
    return manifests


def _root_attributes(manifests: dict[str, Manifest], attributes: dict[str, Any]) -> dict[str, Any]:
    return with_digest({"schema": schema.SCHEMA, "stages": stage_table(manifests), **attributes})


def _assemble(
    target: CheckedFile,
    work: WorkFolder,
    source: Container | None,
    deliveries: Sequence[Delivery],
    attributes: dict[str, Any],
) -> dict[str, Manifest]:
    # The oldest format in which all metadata has checksums.
    with h5py.File(target, "w", libver=("v110", "v110")) as file:
        manifests = {}
        for delivery in sorted(deliveries, key=lambda delivery: delivery.spec.path):
            manifests[delivery.spec.path] = _write_array(file, work, source, delivery)
            target.check()
        for path, manifest in manifests.items():
            _write_document(file, f"{schema.MANIFESTS}/{path}", manifest.json)
        root = _root_attributes(manifests, attributes)
        _write_document(file, schema.ROOT, json.dumps(root, indent=1, sort_keys=True) + "\n")
        file.attrs["schema"] = schema.SCHEMA
        file.flush()
        return manifests


def _write_array(
    file: h5py.File, work: WorkFolder, source: Container | None, delivery: Delivery
) -> Manifest:
    spec = delivery.spec
    dataset = _create_dataset(file, delivery, _text_width(work, source, delivery))
    chunks: dict[str, dict[str, Any]] = {}
    for number in range(-(-spec.shape[0] // CHUNK_FRAMES)):
        name = chunk_name(number, len(spec.shape))
        offset = (number * CHUNK_FRAMES, *[0] * (len(spec.shape) - 1))
        old = source if source and source.format == "hdf5" and not delivery.replaces else None
        # Text is always encoded again, since a new name may need a larger width.
        if old is not None and number not in delivery.new_chunks and spec.dtype != "str":
            dataset.id.write_direct_chunk(offset, old.raw(spec.path, name))
        else:
            content = _read_chunk(work, source, delivery, number)
            if spec.dtype == "str":
                content = np.array([str(text).encode() for text in content], dtype=dataset.dtype)
            dataset[offset[0] : offset[0] + len(content)] = content
            dataset.flush()
        chunks[name] = digest(bytes(dataset.id.read_direct_chunk(offset)[1]))
        if notes := delivery.manifest.chunks[name].get("notes"):
            chunks[name]["notes"] = notes
    metadata = spec_digest(spec, CHUNK_FRAMES)
    return dataclasses.replace(delivery.manifest, chunks=chunks, metadata=metadata)


def _create_dataset(file: h5py.File, delivery: Delivery, text_width: int) -> h5py.Dataset:
    spec = delivery.spec
    dtype: Any = (
        h5py.string_dtype("utf-8", text_width)
        if spec.dtype == "str"
        else np.dtype(spec.dtype).newbyteorder("<")
    )
    # Room for whole chunks: HDF5 allows no chunk that is larger than the array can become.
    room = -(-spec.shape[0] // CHUNK_FRAMES) * CHUNK_FRAMES
    dataset = _make_groups(file, spec.path).create_dataset(
        spec.path.rsplit("/", 1)[-1],
        shape=spec.shape,
        maxshape=(room, *spec.shape[1:]),
        chunks=(CHUNK_FRAMES, *spec.shape[1:]),
        dtype=dtype,
        compression="gzip",
        compression_opts=GZIP_LEVEL,
        fletcher32=True,
        fillvalue=np.nan if spec.dtype == "float32" else None,
    )
    for name, value in sorted({**spec.attributes, "stage_key": delivery.manifest.key}.items()):
        dataset.attrs[name] = _fixed_width(value)
    dataset.attrs["dimension_names"] = _fixed_width(list(spec.dimensions))
    for axis, name in enumerate(spec.dimensions):
        dataset.dims[axis].label = name
    return dataset


def _fixed_width(value: Any) -> Any:
    """Text with a fixed width, which the checksum of the metadata covers; other values as is."""
    texts = value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) for text in texts):
        return value
    encoded = [text.encode() for text in texts]
    dtype = h5py.string_dtype("utf-8", max(1, *map(len, encoded)))
    return np.array(encoded if isinstance(value, list) else encoded[0], dtype=dtype)


def _read_chunk(
    work: WorkFolder, source: Container | None, delivery: Delivery, number: int
) -> np.ndarray:
    """Rows of a chunk without its padding, from the work folder or from the source store."""
    spec, start = delivery.spec, number * CHUNK_FRAMES
    stop = min(start + CHUNK_FRAMES, spec.shape[0])
    if delivery.replaces or number in delivery.new_chunks or source is None:
        return work.read_rows(spec.path, start, stop)
    raw = source.raw(spec.path, chunk_name(number, len(spec.shape)))
    return source.decode(raw, (CHUNK_FRAMES, *spec.shape[1:]), spec.dtype)[: stop - start]


def _text_width(work: WorkFolder, source: Container | None, delivery: Delivery) -> int:
    # A fixed width, since HDF5 keeps text of variable length outside chunks and their checksums.
    if delivery.spec.dtype != "str":
        return 0
    lengths = (
        len(str(text).encode())
        for number in range(-(-delivery.spec.shape[0] // CHUNK_FRAMES))
        for text in _read_chunk(work, source, delivery, number)
    )
    return max(1, max(lengths, default=1))


def _write_document(file: h5py.File, path: str, text: str) -> None:
    content = np.frombuffer(text.encode(), dtype=np.uint8)
    _make_groups(file, path).create_dataset(
        path.rsplit("/", 1)[-1], data=content, chunks=content.shape, fletcher32=True
    )


def _make_groups(file: h5py.File, path: str) -> h5py.Group:
    """Create the groups above a path, and return the one that contains it."""
    group: h5py.Group = file["/"]
    for name in path.split("/")[:-1]:
        if name not in group:
            # Without times, so that the same store has the same bytes whenever it is built.
            plist = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
            plist.set_obj_track_times(False)
            h5py.h5g.create(group.id, name.encode(), gcpl=plist)
        group = group[name]
    return group


class CheckedFile:
    """A new binary file for h5py's ``fileobj`` driver, which keeps the first error of a write.

    HDF5 may crash if a write fails; here it fails only when `check` is called.

    Attributes
    ----------
    error : OSError or None
        The first error; nothing is written after it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # Unbuffered, so that an error belongs to the write that caused it.
        self._file = path.open("w+b", buffering=0)
        self.error: OSError | None = None

    def check(self) -> None:
        """Raise the error, if there is one, with the name of the file."""
        if self.error is not None:
            raise OSError(self.error.errno, self.error.strerror, str(self._path)) from self.error

    def write(self, content: Any) -> int:
        """Write all of the content, or keep the error."""
        rest = memoryview(content).cast("B")
        size = len(rest)
        try:
            # A disk that is nearly full accepts a part.
            while self.error is None and len(rest):
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self.error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        """Set the size, or keep the error."""
        try:
            return self._file.truncate(size) if self.error is None else 0
        except OSError as error:
            self.error = error
            return 0

    def readinto(self, buffer: Any) -> int:
        """See `io.RawIOBase`; h5py expects the buffer to be filled."""
        view = memoryview(buffer).cast("B")
        done = 0
        while done < len(view) and (count := self._file.readinto(view[done:])):
            done += count
        return done

    def __getattr__(self, name: str) -> Any:
        # All else that h5py needs is the file's own.
        return getattr(self._file, name)
