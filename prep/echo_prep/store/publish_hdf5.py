"""Putting an HDF5 store together: one process, a temporary name, flush, fsync, rename.

An HDF5 file that is written in place does not open after a kill, and its
bytes tell its history. So the file is always written whole, in one order: a
chunk that is sound in the old file is copied as it lies there.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from echo_common import atomic
from echo_common.store import schema
from echo_common.store.container import Container
from echo_common.store.manifest import Manifest, spec_digest, with_digest
from echo_common.store.schema import CHUNK_FRAMES, chunk_name
from echo_prep.store.delivery import Delivery, list_stages
from echo_prep.store.work_folder import WorkFolder, digest

GZIP_LEVEL = 1
"""Masks and heatmaps shrink to a hundredth at any level; this one is the fastest to write."""


def publish_hdf5(
    store: Path,
    work: WorkFolder,
    held: Container | None,
    deliveries: Sequence[Delivery],
    drops: bool,
    attributes: dict[str, Any],
) -> None:
    """Make an HDF5 store hold exactly these arrays; see `echo_prep.store.publish.publish`."""
    here = held is not None and held.path == store
    if held is not None and here and not drops and not any(one.changes for one in deliveries):
        stages = list_stages({one.spec.path: one.manifest for one in deliveries})
        root = with_digest({"schema": schema.SCHEMA, "stages": stages, **attributes})
        if held.attributes() == root:
            return
    work.root.mkdir(parents=True, exist_ok=True)
    temporary = work.root / "store.h5"
    temporary.unlink(missing_ok=True)
    with Sink(temporary) as sink:
        try:
            _assemble(sink, work, held, deliveries, attributes)
        except Exception:
            # A read of what was not written fails too, in any way; the cause is the write.
            sink.check()
            raise
        sink.check()
    atomic.fsync_path(temporary)
    temporary.replace(store)
    atomic.fsync_path(store.parent)


def _assemble(
    sink: Sink,
    work: WorkFolder,
    held: Container | None,
    deliveries: Sequence[Delivery],
    attributes: dict[str, Any],
) -> None:
    # The oldest format whose metadata has checksums everywhere.
    with h5py.File(sink, "w", libver=("v110", "v110")) as file:
        manifests = {}
        for one in sorted(deliveries, key=lambda one: one.spec.path):
            manifests[one.spec.path] = _write_array(file, work, held, one)
            sink.check()
        for path, manifest in manifests.items():
            _write_document(file, f"{schema.MANIFESTS}/{path}", manifest.json)
        root = with_digest(
            {"schema": schema.SCHEMA, "stages": list_stages(manifests), **attributes}
        )
        _write_document(file, schema.ROOT, json.dumps(root, indent=1, sort_keys=True) + "\n")
        file.attrs["schema"] = schema.SCHEMA
        file.flush()


def _write_array(
    file: h5py.File, work: WorkFolder, held: Container | None, one: Delivery
) -> Manifest:
    spec = one.spec
    node = _create_dataset(file, one, _text_width(work, held, one))
    chunks: dict[str, dict[str, Any]] = {}
    for number in range(-(-spec.shape[0] // CHUNK_FRAMES)):
        name = chunk_name(number, len(spec.shape))
        offset = (number * CHUNK_FRAMES, *[0] * (len(spec.shape) - 1))
        kept = held if held and held.format == "hdf5" and not one.fresh else None
        # Text is written anew as a whole, since a new name may need more width.
        if kept is not None and number not in one.made and spec.dtype != "str":
            node.id.write_direct_chunk(offset, kept.raw(spec.path, name))
        else:
            content = _rows(work, held, one, number)
            if spec.dtype == "str":
                content = np.array([str(name).encode() for name in content], dtype=node.dtype)
            node[offset[0] : offset[0] + len(content)] = content
            node.flush()
        chunks[name] = digest(bytes(node.id.read_direct_chunk(offset)[1]))
        if notes := one.manifest.chunks[name].get("notes"):
            chunks[name]["notes"] = notes
    metadata = spec_digest(spec, CHUNK_FRAMES)
    return dataclasses.replace(one.manifest, chunks=chunks, metadata=metadata)


def _create_dataset(file: h5py.File, one: Delivery, text_width: int) -> h5py.Dataset:
    spec = one.spec
    dtype: Any = (
        h5py.string_dtype("utf-8", text_width)
        if spec.dtype == "str"
        else np.dtype(spec.dtype).newbyteorder("<")
    )
    # Room for whole chunks: HDF5 wants none that is larger than the array could become.
    room = -(-spec.shape[0] // CHUNK_FRAMES) * CHUNK_FRAMES
    node = _group_of(file, spec.path).create_dataset(
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
    for name, value in sorted({**spec.attributes, "stage_key": one.key}.items()):
        node.attrs[name] = _fixed(value)
    node.attrs["dimension_names"] = _fixed(list(spec.dimensions))
    for axis, name in enumerate(spec.dimensions):
        node.dims[axis].label = name
    return node


def _fixed(value: Any) -> Any:
    """Text of a fixed width, which lies under the metadata's checksum; other values as they are."""
    texts = value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) for text in texts):
        return value
    encoded = [text.encode() for text in texts]
    dtype = h5py.string_dtype("utf-8", max(1, *map(len, encoded)))
    return np.array(encoded if isinstance(value, list) else encoded[0], dtype=dtype)


def _rows(work: WorkFolder, held: Container | None, one: Delivery, number: int) -> np.ndarray:
    """Content of a chunk's rows within the array, from the work folder or from the store."""
    spec, start = one.spec, number * CHUNK_FRAMES
    stop = min(start + CHUNK_FRAMES, spec.shape[0])
    if one.fresh or number in one.made or held is None:
        return work.read_rows(spec.path, start, stop)
    raw = held.raw(spec.path, chunk_name(number, len(spec.shape)))
    return held.decode(raw, (CHUNK_FRAMES, *spec.shape[1:]), spec.dtype)[: stop - start]


def _text_width(work: WorkFolder, held: Container | None, one: Delivery) -> int:
    # Fixed width, since text of any length lies where no filter, and so no checksum, reaches.
    if one.spec.dtype != "str":
        return 0
    numbers = range(-(-one.spec.shape[0] // CHUNK_FRAMES))
    lengths = (
        len(str(name).encode()) for number in numbers for name in _rows(work, held, one, number)
    )
    return max(1, max(lengths, default=1))


def _write_document(file: h5py.File, path: str, text: str) -> None:
    content = np.frombuffer(text.encode(), dtype=np.uint8)
    _group_of(file, path).create_dataset(
        path.rsplit("/", 1)[-1], data=content, chunks=content.shape, fletcher32=True
    )


def _group_of(file: h5py.File, path: str) -> h5py.Group:
    group: h5py.Group = file["/"]
    for name in path.split("/")[:-1]:
        if name not in group:
            # Without times: the same store has the same bytes whenever it is made.
            plist = h5py.h5p.create(h5py.h5p.GROUP_CREATE)
            plist.set_obj_track_times(False)
            h5py.h5g.create(group.id, name.encode(), gcpl=plist)
        group = group[name]
    return group


class Sink:
    """A new binary file for h5py's ``fileobj`` driver.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    error : OSError or None
        The first that came up; nothing was written after it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # Without a buffer: an error comes with its write, and not when nobody looks any more.
        self._file = path.open("w+b", buffering=0)
        self.error: OSError | None = None

    def check(self) -> None:
        """Raise the error, if there is one; it names the file."""
        if self.error is not None:
            raise OSError(self.error.errno, self.error.strerror, str(self._path)) from self.error

    def write(self, content: Any) -> int:
        """Write all of it, or note the error."""
        rest = memoryview(content).cast("B")
        size = len(rest)
        try:
            # A disk that is nearly full takes a part.
            while self.error is None and len(rest):
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self.error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        """Set the size, or note the error."""
        try:
            return self._file.truncate(size) if self.error is None else 0
        except OSError as error:
            self.error = error
            return 0

    def seek(self, offset: int, whence: int = 0) -> int:
        """See `io.RawIOBase`."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """See `io.RawIOBase`."""
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        """See `io.RawIOBase`; h5py asks for whole buffers."""
        view = memoryview(buffer).cast("B")
        done = 0
        while done < len(view) and (count := self._file.readinto(view[done:])):
            done += count
        return done

    def read(self, size: int = -1) -> bytes:
        """See `io.RawIOBase`; by this h5py knows a file."""
        return self._file.read(size) or b""

    def flush(self) -> None:
        """Nothing waits here."""

    def __enter__(self) -> Sink:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
