"""A file that HDF5 writes to without ever being told that it failed.

HDF5 ends the whole process, or forgets the error, where a disk is full while
it closes a file. So what the system refuses is kept here, the rest of the
file goes nowhere, and whoever wrote it asks afterwards.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any


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
