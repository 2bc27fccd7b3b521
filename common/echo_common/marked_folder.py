"""Folders that a command may delete later with all that is in them: they carry its mark.

A folder without the mark is left alone, and a link is never followed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path

from echo_common.errors import OutputError
from echo_common.outputs import MOVE_AWAY, SOFTWARE

_MARK = "echo-folder.json"


def mark_folder(folder: Path, purpose: str) -> None:
    """Make a folder that `remove_tree` may delete later, with all that is in it.

    Raises
    ------
    OutputError
        If something without the mark is there already.
    """
    content = _mark_content(purpose)
    if is_marked(folder, purpose):
        return
    if os.path.lexists(folder) and not _is_unmarked(folder, content):
        raise OutputError(f"{folder} is there and was not made by this software; {MOVE_AWAY}")
    folder.mkdir(parents=True, exist_ok=True)
    # Not by a temporary file, which would be a stranger's to the next process if this one is
    # killed: a part of the mark is recognised instead.
    with (folder / _MARK).open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def is_marked(folder: Path, purpose: str) -> bool:
    """Whether `mark_folder` made this folder for this purpose; a link to one does not count."""
    if folder.is_symlink():
        return False
    try:
        found = json.loads((folder / _MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return bool(found == {"by": SOFTWARE, "purpose": purpose})


def _mark_content(purpose: str) -> bytes:
    return (json.dumps({"by": SOFTWARE, "purpose": purpose}) + "\n").encode()


def _is_unmarked(folder: Path, content: bytes) -> bool:
    """Whether a folder is empty, or has nothing but a part of its mark, as after a kill."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    names = [entry.name for entry in folder.iterdir()]
    return not names or (names == [_MARK] and content.startswith((folder / _MARK).read_bytes()))


def remove_tree(folder: Path, purpose: str) -> None:
    """Delete a folder that `mark_folder` made, the mark last; anything else is left alone.

    A link in it is removed, and what it leads to stays.
    """
    if not is_marked(folder, purpose):
        return
    for entry in folder.iterdir():
        if entry.name == _MARK:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        # What could not be deleted keeps its mark.
        if [entry.name for entry in folder.iterdir()] == [_MARK]:
            (folder / _MARK).unlink()
            folder.rmdir()
