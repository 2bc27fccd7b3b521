"""Notice videos that changed since a store was built, also if they kept their size.

A video's size is part of the store. Its times and its inode are kept in a
record next to the store, since nothing in a store depends on the clock. If they
differ, the traced frames are read and compared with those of the store.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from echo_common import atomic
from echo_common.errors import EchoError
from echo_common.outputs import MOVE_AWAY, SOFTWARE, check_replaceable
from echo_common.regular_file import read_regular
from echo_common.store import schema
from echo_common.store.manifest import Manifest
from echo_common.store.reader import EchoStore
from echo_prep.build.plan import source_frame
from echo_prep.dataset.frame_source import FrameSource, RefusedError, Stamp
from echo_prep.dataset.video import read_frames

_MARK = {"by": SOFTWARE, "purpose": "videos of a store"}


def record_path(store: Path) -> Path:
    """Path of the record of a store's videos: next to the store."""
    return store.with_name(store.name + ".videos.json")


class VideoRecord:
    """The stamps that videos had when their frames were read or compared.

    Parameters
    ----------
    path : Path
        Of the record; a missing or unreadable one is empty.
    """

    def __init__(self, path: Path, videos: FrameSource) -> None:
        self._path, self._videos = path, videos
        self._store, self._stamps = _read(path) or ("", {})
        self._is_new = False

    def note(self, names: Iterable[str]) -> None:
        """Take the stamps of videos that are about to be read."""
        now = self._videos.stamps(names)
        self._stamps.update({name: stamp for name, stamp in now.items() if stamp is not None})
        self._is_new = True

    def take(self, other: VideoRecord, names: Iterable[str]) -> None:
        """Take the stamps of some videos from another record, and those that this one lacks."""
        stamps = other._stamps
        given = {name: stamps[name] for name in names if name in stamps}
        self._stamps = {**stamps, **self._stamps, **given}
        self._is_new = True

    def changed_since(self, sizes: dict[int, list[tuple[str, int | None]]]) -> set[int]:
        """Find the chunks of an interrupted build with a video that changed since `noted_sizes`."""
        now = self._videos.stamps(_names(sizes))
        return {
            number
            for number, noted in sizes.items()
            for name, size in noted
            # A video that is gone is no reason to lose its rows.
            if (stamp := now[name]) and (stamp[0] != size or self._stamps.get(name) != stamp)
        }

    def changed_chunks(self, store: Path, manifests: dict[str, Manifest], check: bool) -> set[int]:
        """Find the chunks of a store with a video that changed.

        Parameters
        ----------
        manifests : dict of str to Manifest
            Of the arrays `index/status`, whose notes have the sizes, and `frames`.
        check : bool
            Compare the frames of every video.
        """
        sizes = noted_sizes(manifests[schema.STATUS].chunks)
        now = self._videos.stamps(_names(sizes))
        if self._store != frames_digest(manifests):
            # There is no record, or that of another store which was at this path.
            self._stamps = {}
        changed, suspects = set(), set()
        for number, noted in sizes.items():
            for name, size in noted:
                stamp = now[name]
                if stamp is not None and stamp[0] != size:
                    changed.add(number)
                elif stamp is not None and (check or self._stamps.get(name) != stamp):
                    suspects.add(name)
        if suspects:
            try:
                same, different = _compare(store, self._videos, suspects)
            except EchoError:
                # A store whose rows are damaged is compared after it has been repaired.
                return changed
            changed |= different
            self._stamps.update({name: stamp for name in same if (stamp := now[name])})
            self._is_new = True
        return changed

    def save(self, store: str, folder: Path | None = None) -> None:
        """Write the record, if there is anything new.

        Parameters
        ----------
        store : str
            From `frames_digest`, of the store that the record belongs to.
        folder : Path, optional
            Folder of the temporary file; see `echo_common.atomic`.

        Raises
        ------
        OutputError
            If somebody else's file is at the path.
        OSError
            If it cannot be written.
        """
        if self._is_new or self._store != store:
            check_replaceable(self._path, force=False, is_own=is_record, remedy=MOVE_AWAY)
            stamps = dict(sorted(self._stamps.items()))
            text = json.dumps({**_MARK, "store": store, "videos": stamps})
            atomic.write_text(self._path, text + "\n", folder=folder)
            self._store, self._is_new = store, False


def frames_digest(manifests: dict[str, Manifest]) -> str:
    """Digest of a store's frames and their status, by which a record belongs to the store."""
    entries = [manifests[array].chunks for array in (schema.STATUS, schema.FRAMES)]
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()


def noted_sizes(chunks: dict[str, dict[str, Any]]) -> dict[int, list[tuple[str, int | None]]]:
    """Names and sizes of the videos of each chunk, from entries of the manifest of the status."""
    return {
        schema.chunk_number(name): chunk["notes"]["sizes"]
        for name, chunk in chunks.items()
        if "sizes" in chunk.get("notes", {})
    }


def _names(sizes: dict[int, list[tuple[str, int | None]]]) -> list[str]:
    return [name for noted in sizes.values() for name, _ in noted]


def _compare(store: Path, videos: FrameSource, suspects: set[str]) -> tuple[set[str], set[int]]:
    """Compare frames with those of the store; returns equal videos, and chunks to make again."""
    opened = EchoStore(store)
    paths = (schema.VIDEO, schema.FRAME, schema.STATUS, schema.SOURCE_SHAPE, schema.SOURCE_SPACING)
    columns = {path: opened.read(path) for path in paths if path in opened}
    status, videos_of_rows = columns[schema.STATUS], columns[schema.VIDEO]
    height, width = opened.shape(schema.FRAMES)[1:]
    other: set[str] = set()
    chunks: set[int] = set()
    for start in range(0, len(status), opened.chunk_rows):
        stop = min(start + opened.chunk_rows, len(status))
        names = suspects & set(videos_of_rows[start:stop].tolist())
        if not names:
            continue
        try:
            frames = opened.read_rows(schema.FRAMES, start, stop)
        except EchoError:
            # The store's chunk is damaged, and nothing can be compared with it.
            chunks.add(start // opened.chunk_rows)
            other |= names
            continue
        for name in names:
            rows = start + np.flatnonzero(videos_of_rows[start:stop] == name)
            if not _is_readable(videos, name):
                other.add(name)
                continue
            shape, aspect = source_frame(columns, rows[0], (height, width))
            numbers = columns[schema.FRAME][rows].tolist()
            reads = read_frames(videos, name, numbers, shape, (height, width), aspect)
            if not all(
                read.status == status[row]
                and (read.pixels is None or np.array_equal(read.pixels, frames[row - start]))
                for row, read in zip(rows, reads, strict=True)
            ):
                other.add(name)
                chunks.add(start // opened.chunk_rows)
    return suspects - other, chunks


def _is_readable(videos: FrameSource, name: str) -> bool:
    # A video that cannot be opened any more is no reason to lose its rows.
    try:
        return all(os.access(path, os.R_OK) for path in videos.files(name))
    except (OSError, RefusedError):
        return False


def is_record(path: Path) -> bool:
    """Whether a file is a record that `VideoRecord` wrote, or somebody else's."""
    return _read(path) is not None


def _read(path: Path) -> tuple[str, dict[str, Stamp]] | None:
    try:
        record = json.loads(read_regular(path))
        if {key: record[key] for key in _MARK} != _MARK:
            return None
        return str(record["store"]), dict(record["videos"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
