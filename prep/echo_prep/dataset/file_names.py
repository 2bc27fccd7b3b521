"""Video names in a CSV file, and the file that each may refer to.

A data set is untrusted input: no name in it can open a path outside the data
set's own folder of videos.
"""

from __future__ import annotations

import stat
from pathlib import Path

from echo_common.errors import DataError

SUFFIX = ".avi"

_SHOWN = 80
"""Number of characters of a name that a message shows."""


class RefusedError(DataError):
    """The name refers to something that must not be opened."""


def unsafe_name(name: str) -> str | None:
    """Return why a video's name is refused, or None if it is a plain file name."""
    if not name.strip():
        return "the file name is empty"
    if "/" in name or "\\" in name or name in (".", "..") or "\0" in name:
        return "the file name contains a path; videos are read only from Videos/"
    if not name.isprintable():
        # Control characters can forge log lines; lone surrogates are bytes that are not UTF-8.
        return "the file name has characters that cannot be printed; save the CSV as UTF-8"
    return None


def shown_name(name: str) -> str:
    """Escape unprintable characters of a name and shorten it, for a one-line message."""
    text = name if name.isprintable() else ascii(name)[1:-1]
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def locate_video(folder: Path, name: str) -> Path:
    """Find the file of a video, which must be a regular file inside the folder.

    The folder itself may be a link, since archives are often kept on another
    disk; a link inside it may not lead outside.

    Parameters
    ----------
    folder : Path
        The data set's folder of videos.
    name : str
        The video's name without its suffix.

    Raises
    ------
    RefusedError
        If the name is not a plain file name, or the file is outside the
        folder or not a regular file.
    FileNotFoundError
        If the file does not exist.
    """
    if reason := unsafe_name(name):
        raise RefusedError(reason)
    path = folder / (name + SUFFIX)
    if stat.S_ISREG(path.lstat().st_mode):
        # Neither a link nor a path: resolving it, which takes time, is not necessary.
        return path
    home = folder.resolve()
    try:
        path = path.resolve(strict=True)
    except RuntimeError as error:
        raise RefusedError("the file is a link to itself") from error
    if not path.is_relative_to(home):
        raise RefusedError(f"the file is a link that leads outside {folder}")
    if not stat.S_ISREG(path.stat().st_mode):
        raise RefusedError("not a regular file")
    return path
