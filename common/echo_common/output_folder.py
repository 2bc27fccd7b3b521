"""A folder in which a command leaves files: one writer at a time, whole files, a record of them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Self

from echo_common import atomic
from echo_common.errors import EchoError, OutputError
from echo_common.lock import exclusive
from echo_common.marked_folder import mark_folder, remove_tree
from echo_common.outputs import Inputs, check_replaceable, descendant
from echo_common.regular_file import open_regular, read_regular

RECORD_FOLDER = ".echo"
"""In an output folder: its lock, its record of files, and files that are being written."""

RECORD = "files.sha256"
"""In `RECORD_FOLDER`: a line for each file that was written, as sha256sum writes it."""

_LINE = re.compile(r"([0-9a-f]{64})  (.+)")


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
    locked : callable, optional
        Returns the error to raise if another process writes to the folder,
        given the name of that process.
    remedy : str
        What the user can do about a file that may not be replaced.

    Raises
    ------
    OutputError
        On entering, if the folder is an input, it cannot be made, or another
        process writes to it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        inputs: Iterable[Path] = (),
        force: bool = False,
        locked: Callable[[str], EchoError] | None = None,
        remedy: str = "give another name, or --force to replace it",
    ) -> None:
        self.folder = folder
        self._inputs = Inputs(inputs)
        self._force = force
        self._locked = locked or self._is_locked
        self._remedy = remedy
        self._hidden = folder / RECORD_FOLDER
        self._partial = self._hidden / "partial"
        self._record: dict[str, set[str]] = {}
        self._is_new = False
        self._written: dict[str, tuple[int, ...]] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._inputs.refuse(self._hidden)
        if not self.folder.is_dir():
            if self.folder.is_symlink():
                raise OutputError(
                    f"{self.folder} is a link to something that is no folder; give another folder"
                )
            if self.folder.exists():
                raise OutputError(f"{self.folder} is not a folder; give another one")
        self._is_new = not self.folder.is_dir()
        self.folder.mkdir(parents=True, exist_ok=True)
        mark_folder(self._hidden, "record")
        with contextlib.ExitStack() as stack:
            stack.enter_context(exclusive(self._hidden / "lock", self._locked))
            # What a killed process left half written.
            remove_tree(self._partial, "partial")
            mark_folder(self._partial, "partial")
            self._record = self._read_record()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        remove_tree(self._partial, "partial")
        if error is not None and self._is_new and not self._record:
            # Nothing came of it.
            remove_tree(self._hidden, "record")
            with contextlib.suppress(OSError):
                self.folder.rmdir()
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
            self._inputs.refuse(path)
            check_replaceable(path, force=self._force, is_own=self._is_own, remedy=self._remedy)

    def adopt(self, *names: str) -> None:
        """Count files of an earlier version, which kept no record, as written by this software.

        Nothing changes if there is a record. The caller has recognised the
        files by their content.
        """
        if not self._record:
            paths = [self.folder / name for name in names]
            files = [path for path in paths if path.is_file() and not path.is_symlink()]
            self._add_to_record({path.name: _digest(path) for path in files})

    @contextlib.contextmanager
    def writer(self, name: str) -> Iterator[Path]:
        """Give a path to write a file to; it takes its name when the block ends without an error.

        The path has the same suffix, since some writers choose a format by it.
        """
        self.claim(name)
        temporary, target = self._partial / name, self.folder / name
        try:
            yield temporary
            atomic.fsync_path(temporary)
            # On record before the file has its name: a kill leaves no file of unknown origin.
            self._add_to_record({name: _digest(temporary)})
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        self._written[name] = _state(target)
        atomic.fsync_path(self.folder)

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write one file in one step."""
        with self.writer(name) as path:
            path.write_bytes(content)

    def write_text(self, name: str, content: str) -> None:
        """Write one file in one step, as UTF-8."""
        self.write_bytes(name, content.encode())

    def _is_own(self, path: Path) -> bool:
        # What this process wrote is not read again, since checkpoints are large.
        if self._written.get(path.name) == _state(path):
            return True
        known = self._record.get(path.name)
        return known is not None and _digest(path) in known

    def _is_locked(self, holder: str) -> EchoError:
        return OutputError(
            f"{holder} writes to {self.folder}; wait until it has finished, or give another folder"
        )

    def _read_record(self) -> dict[str, set[str]]:
        try:
            text = read_regular(self._hidden / RECORD).decode(errors="replace")
        except OSError:
            return {}
        record: dict[str, set[str]] = {}
        for line in text.split("\n"):
            if match := _LINE.fullmatch(line):
                record.setdefault(match[2], set()).add(match[1])
        return record

    def _add_to_record(self, digests: Mapping[str, str]) -> None:
        """Append lines: a record of thousands of files is not written again for each of them."""
        lines = "".join(f"{digest}  {name}\n" for name, digest in digests.items())
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        # A run from elsewhere may hold a link or a pipe here.
        handle = os.open(self._hidden / RECORD, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
        with os.fdopen(handle, "ab") as file:
            # The first line end closes a line that a killed process left half written.
            file.write(f"\n{lines}".encode())
            file.flush()
            os.fsync(file.fileno())
        for name, digest in digests.items():
            self._record.setdefault(name, set()).add(digest)


def _digest(path: Path) -> str:
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _state(path: Path) -> tuple[int, ...]:
    found = path.lstat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
