"""Replacing files in one step: no reader sees a partial file, and a power cut loses none.

In the order that survives a crash: write a temporary file in the target's own
directory, fsync it, rename it over the target, fsync the directory. (A rename
across file systems would be a copy.)
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from echo_common.errors import OutputError


def fsync_path(path: Path) -> None:
    """Flush a file or a directory to the disk.

    Raises
    ------
    OSError
        If the path cannot be opened or flushed.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(
    path: Path, content: bytes, durable: bool = True, folder: Path | None = None
) -> None:
    """Replace the content of a file in one step.

    Parameters
    ----------
    path : Path
        The target; its directory must exist. An existing file is unchanged
        until the new one is complete on the disk.
    durable : bool
        Whether the file is flushed to the disk. If not, a power cut may leave
        an older file, an empty one or none; a kill of the process does not.
    folder : Path, optional
        Where the temporary file is, on the same file system; by default, next
        to the target. A killed process leaves it there.

    Raises
    ------
    OutputError
        If a device, a pipe or a folder is at the path: renaming a file over a
        device would replace it for the whole system.
    """
    if path.exists() and not path.is_symlink() and not path.is_file():
        raise OutputError(f"{path} is not a regular file, and is not replaced; give another name")
    handle, name = tempfile.mkstemp(
        prefix=f".{path.name}.", suffix=".tmp", dir=folder or path.parent
    )
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        # mkstemp makes private files; the result should follow the user's umask.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        fsync_path(path.parent)


def write_text(path: Path, content: str, durable: bool = True, folder: Path | None = None) -> None:
    """Replace the content of `path` in one step, as UTF-8; see `write_bytes`."""
    write_bytes(path, content.encode(), durable, folder)


def _umask() -> int:
    # The umask can only be read by setting it; commands write files from one thread.
    mask = os.umask(0)
    os.umask(mask)
    return mask
