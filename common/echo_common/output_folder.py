"""A folder in which a command leaves files: one writer at a time, whole files, a record of them."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from echo_common import atomic
from echo_common.errors import OutputError
from echo_common.lock import exclusive
from echo_common.outputs import (
    check_replaceable,
    descendant,
    mark_folder,
    refuse_inputs,
    remove_tree,
)

RECORD_FOLDER = ".echo"
"""In an output folder: its lock, its record of files, and files that are being written."""

_RECORD = "files.json"


class OutputFolder:
    """A folder in which a command leaves files, and the record of those that it left.

    Use it as a context: inside it, no other process writes to the folder
    through this class.

    Parameters
    ----------
    folder : Path
        Made if it is not there.
    inputs : iterable of Path
        What the command reads; never written to.
    force : bool
        Replace files that this software did not write.

    Raises
    ------
    OutputError
        On entering, if the folder cannot be made or another process writes to it.
    """

    def __init__(self, folder: Path, *, inputs: Iterable[Path] = (), force: bool = False) -> None:
        self.folder = folder
        self._inputs = tuple(inputs)
        self._force = force
        self._hidden = folder / RECORD_FOLDER
        self._partial = self._hidden / "partial"
        self._record: dict[str, list[dict[str, Any]]] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        if self.folder.exists() and not self.folder.is_dir():
            raise OutputError(f"{self.folder} is not a folder; give another --out")
        self.folder.mkdir(parents=True, exist_ok=True)
        mark_folder(self._hidden, "record")
        with contextlib.ExitStack() as stack:
            stack.enter_context(
                exclusive(
                    self._hidden / "lock",
                    lambda holder: OutputError(
                        f"{holder} writes to {self.folder}; wait until it has finished, or give "
                        "another folder"
                    ),
                )
            )
            # What a killed process left half written.
            remove_tree(self._partial, "partial")
            mark_folder(self._partial, "partial")
            self._record = self._read_record()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        remove_tree(self._partial, "partial")
        self._stack.close()

    def claim(self, *names: str) -> None:
        """Check that files of these names may be written, before any work is done for them.

        Raises
        ------
        OutputError
            If one is an input, is no plain name, or is a file that may not be replaced.
        """
        for name in names:
            path = descendant(self.folder, name)
            refuse_inputs(path, self._inputs)
            check_replaceable(path, force=self._force, is_own=self._is_own)

    @contextlib.contextmanager
    def writer(self, name: str) -> Iterator[Path]:
        """Give a path to write a file to; it takes its name when the block ends without an error.

        The path has the same suffix, since some writers choose a format by it.
        """
        self.claim(name)
        temporary = self._partial / name
        yield temporary
        atomic.fsync_path(temporary)
        # Both contents are on record while the file is replaced: a kill leaves neither unknown.
        entry = _entry(temporary)
        self._record[name] = [entry, *self._record.get(name, [])[:1]]
        self._write_record()
        temporary.replace(self.folder / name)
        atomic.fsync_path(self.folder)

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write one file in one step."""
        with self.writer(name) as path:
            path.write_bytes(content)

    def write_text(self, name: str, content: str) -> None:
        """Write one file in one step, as UTF-8."""
        self.write_bytes(name, content.encode())

    def _is_own(self, path: Path) -> bool:
        return _entry(path) in self._record.get(path.name, [])

    def _read_record(self) -> dict[str, list[dict[str, Any]]]:
        try:
            record = json.loads((self._hidden / _RECORD).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        if not isinstance(record, dict):
            return {}
        return {name: entries for name, entries in record.items() if isinstance(entries, list)}

    def _write_record(self) -> None:
        atomic.write_text(self._hidden / _RECORD, json.dumps(self._record, indent=0) + "\n")


def _entry(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {
            "bytes": path.stat().st_size,
            "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
        }
