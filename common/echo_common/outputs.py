"""What a command may write, replace and delete: every output path is decided here.

- A name that comes from a file (a store, a run, a CSV, a header) never leaves
  its folder: `descendant`.
- An output is never an input, through whatever spelling: `refuse_inputs`.
- A file that this software did not write is not replaced: `replace_file`
  recognises a mark inside the file, and `echo_common.output_folder` keeps a
  record of the files that it wrote.
- A folder is deleted only if it carries the mark of `echo_common.marked_folder`.
"""

from __future__ import annotations

import hashlib
import os
import stat
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath

from echo_common import atomic
from echo_common.errors import OutputError

SOFTWARE = "echo-lv-segmentation"
"""What a mark says: in a folder's record, and in the metadata of PNG and HTML files."""

MOVE_AWAY = "move it away, since the command needs this name"
"""What to do about somebody else's file, if the command has no option to replace it."""

_NAME_BYTES = 200
"""Longest name that is derived from another; file systems take 255 bytes, suffixes included."""

_WINDOWS_DEVICES = frozenset(
    {"CON", "PRN", "AUX", "NUL"}
    | {f"{port}{number}" for port in ("COM", "LPT") for number in range(1, 10)}
)


def name_fault(name: str) -> str | None:
    """Say why a text is no plain file name, on any system, or None if it is one."""
    if not name.strip():
        return "it is empty"
    if "/" in name or "\\" in name or name in (".", "..") or "\0" in name:
        return "it holds a path"
    if not name.isprintable():
        return "it has characters that cannot be printed"
    if any(letter in '<>:"|?*' for letter in name) or name[-1] in ". ":
        return "it has a character that Windows does not allow in a file name"
    if name.split(".")[0].rstrip().upper() in _WINDOWS_DEVICES:
        return "it is the name of a device on Windows"
    return None


def output_name(name: str) -> str:
    """Derive a file name that every system takes from any text; a sound name is not changed.

    Letters that a file name may not have become underscores. A name that had
    to change, or that is too long, gets six digits of its SHA-256, so that two
    names never become one.
    """
    sound = name_fault(name) is None
    if sound and len(name.encode()) <= _NAME_BYTES:
        return name
    digest = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:6]
    letters = (
        letter if letter.isprintable() and letter not in '/\\<>:"|?*' else "_" for letter in name
    )
    text = "".join(letters).encode()[: _NAME_BYTES - 7].decode(errors="ignore").strip(". ")
    # In front of the first dot, where Windows looks for the name of a device.
    stem, dot, rest = text.partition(".")
    return f"{stem}-{digest}{dot}{rest}"


def descendant(folder: Path, path: str) -> Path:
    """Join a relative path that comes from a file to its folder.

    Parameters
    ----------
    path : str
        Plain names with ``/`` between them, such as ``masks/chords``.

    Raises
    ------
    OutputError
        If a part of it is no plain name, so that it could lead out of the folder.
    """
    for part in path.split("/"):
        if reason := name_fault(part):
            raise OutputError(f"{path!r} in {folder} is not a path inside it: {reason}")
    return folder / PurePosixPath(path)


def resolve_output(path: Path) -> Path:
    """Follow a link at a path that a user gave for an output, and check its name.

    Other files that belong to the output get their names from it.

    Raises
    ------
    OutputError
        If no file on any system could have the name.
    """
    if "\0" not in str(path) and path.is_symlink():
        path = Path(os.path.realpath(path))
    if reason := name_fault(path.name) or ("it holds a NUL" if "\0" in str(path) else None):
        raise OutputError(f"nothing can be written at {str(path)!r} by its name: {reason}")
    return path


class Inputs:
    """Files and folders that a command reads; nothing may be written over them."""

    def __init__(self, paths: Iterable[Path]) -> None:
        # Looked up, since a command may read thousands of files and write thousands.
        self._paths: dict[Path, Path] = {}
        self._above: dict[Path, Path] = {}
        self._files: dict[tuple[int, int], Path] = {}
        for path in paths:
            spelled = _uniform(path)
            self._paths[spelled] = path
            self._above.update(dict.fromkeys(spelled.parents, path))
            if identity := _identity(path):
                self._files[identity] = path

    def refuse(self, target: Path) -> None:
        """Check that writing to a path changes no input.

        Links, another case and another Unicode form of the same name count as
        the same file. An input folder protects what is in it.

        Raises
        ------
        OutputError
            If the target is an input, is inside one, or has one inside it.
        """
        spelled = _uniform(target)
        for path in (spelled, *spelled.parents):
            if path in self._paths:
                raise _over_input(target, self._paths[path])
        if spelled in self._above:
            raise _over_input(target, self._above[spelled])
        identity = _identity(target)
        if identity in self._files:
            raise OutputError(
                f"{target} is the same file as the input {self._files[identity]}; give another "
                "name or folder for the output"
            )


def refuse_inputs(target: Path, inputs: Iterable[Path]) -> None:
    """Check that writing to a path changes no input; see `Inputs.refuse`."""
    Inputs(inputs).refuse(target)


def check_replaceable(
    path: Path,
    *,
    force: bool,
    is_own: Callable[[Path], bool],
    remedy: str = "give another name, or --force to replace it",
) -> None:
    """Check that a file may be written at a path.

    Parameters
    ----------
    force : bool
        Whether a regular file that somebody else wrote may be replaced.
    is_own : callable
        Whether this software wrote the file that is there.
    remedy : str
        What the user can do about a file that may not be replaced.

    Raises
    ------
    OutputError
        If a folder, a device or a pipe is there, or a file that may not be
        replaced.
    """
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return
    if stat.S_ISDIR(mode):
        raise OutputError(f"{path} is a folder, where a file has to be written; move it away")
    if not stat.S_ISREG(mode):
        kind = "a link" if stat.S_ISLNK(mode) else "not a regular file"
        raise OutputError(f"{path} is {kind}, which is not replaced; give another name")
    if not force and not is_own(path):
        raise OutputError(f"{path} is there already and was not written by this command; {remedy}")


def replace_file(path: Path, content: bytes, *, mark: bytes, force: bool = False) -> None:
    """Write a file on its own, such as a report, and replace only an older one of its kind.

    Parameters
    ----------
    content : bytes
        Holds `mark` in its first 4,096 bytes.
    mark : bytes
        What tells an older file of this kind from somebody else's.
    force : bool
        Replace any regular file.

    Raises
    ------
    OutputError
        As `check_replaceable`.
    """
    if mark not in content[:4096]:
        raise ValueError(f"the content of {path} does not hold its own mark")
    check_replaceable(path, force=force, is_own=lambda file: has_mark(file, mark))
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(path, content)


def has_mark(path: Path, mark: bytes) -> bool:
    """Whether the first 4,096 bytes of a file hold a mark."""
    with path.open("rb") as file:
        return mark in file.read(4096)


def _uniform(path: Path) -> Path:
    """A path as it resolves, without case and in one Unicode form."""
    return Path(unicodedata.normalize("NFC", os.path.realpath(path)).casefold())


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode of a file; None if there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def _over_input(target: Path, source: Path) -> OutputError:
    return OutputError(
        f"{target} would be written over the input {source}; give another name or folder for the "
        "output"
    )
