"""Names of videos: what a CSV may say, and the one file that it may mean.

A data set is somebody else's file. Nothing that stands in it can make this
software open a path outside the data set's own folder of videos.
"""

from __future__ import annotations

import stat
from pathlib import Path

from echo_common.errors import DataError

SUFFIX = ".avi"

_SHOWN = 80
"""Letters of a name that a message holds."""


class RefusedError(DataError):
    """A name leads to something that must not be opened."""


def unsafe_name(name: str) -> str | None:
    """Say why a video's name is refused, or None where it is a plain file name."""
    if not name.strip():
        return "the file name is empty"
    if "/" in name or "\\" in name or name in (".", "..") or "\0" in name:
        return "the file name holds a path, and a video is looked for in Videos/ alone"
    if not name.isprintable():
        # Control characters forge lines of a log; lone surrogates are bytes that are no UTF-8.
        return "the file name has characters that cannot be printed; save the CSV as UTF-8"
    return None


def shown_name(name: str) -> str:
    """Spell out what of a name cannot be printed, and shorten it, for a message of one line."""
    text = name if name.isprintable() else ascii(name)[1:-1]
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def locate_video(folder: Path, name: str) -> Path:
    """Find the file of a video, which must be a regular file inside the folder.

    The folder itself may be a link, as people keep archives on another disk;
    a link inside it may not lead out of it.

    Parameters
    ----------
    folder : Path
        The data set's folder of videos.
    name : str
        The video's name without its suffix.

    Raises
    ------
    RefusedError
        If the name is no plain file name, leads outside, or is no regular file.
    FileNotFoundError
        If there is no such file.
    """
    if reason := unsafe_name(name):
        raise RefusedError(reason)
    path = folder / (name + SUFFIX)
    if stat.S_ISREG(path.lstat().st_mode):
        # No link, and its name is no path: nothing has to be resolved, which takes time.
        return path
    home = folder.resolve()
    try:
        path = path.resolve(strict=True)
    except RuntimeError as error:
        raise RefusedError("the file is a link that leads to itself") from error
    if not path.is_relative_to(home):
        raise RefusedError(f"the file is a link that leads outside {folder}")
    if not stat.S_ISREG(path.stat().st_mode):
        raise RefusedError("not a regular file")
    return path
