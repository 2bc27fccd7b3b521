"""Video names in a CSV file, and the file that each may refer to.

A data set is untrusted input: no name in it can open a path outside the data
set's own folder of videos.
"""

from __future__ import annotations

import errno
import functools
import os
import stat
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from echo_common.video.video_file import Video
from echo_prep.dataset.frame_source import (
    Decoded,
    FrameSource,
    RefusedError,
    Stamp,
    file_stamp,
)
from echo_prep.dataset.image_files import VIDEOS

SUFFIX = ".avi"
"""The suffix of EchoNet-Dynamic's videos."""

_SUFFIXES = (*VIDEOS, ".dcm")
"""Suffixes of videos in lower case; content decides what a file is."""

_SHOWN = 80
"""Number of characters of a name that a message shows."""


def video_name(text: str) -> str:
    """Name of a video: its file name without a video's suffix, with composed letters.

    FileList.csv, VolumeTracings.csv and the folder may differ in both.

    Examples
    --------
    >>> [video_name(text) for text in ("a.avi", "a.AVI", "a.mp4", "a", "a.b")]
    ['a', 'a', 'a', 'a', 'a.b']
    """
    stem, dot, suffix = text.rpartition(".")
    name = stem if (dot + suffix).lower() in _SUFFIXES else text
    return name if name.isascii() else unicodedata.normalize("NFC", name)


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


_LISTED = ("_allowed", "_spellings")
"""What a `VideoFolder` finds out about its folder, when it first needs it."""


class VideoFolder(FrameSource):
    """The folder of a data set's videos: finds the file of each.

    Parameters
    ----------
    path : Path
        May be a link, since archives are often kept on another disk.
    archive : Path, optional
        A folder that links in it may lead to; without it, none may lead outside.
    """

    def __init__(self, path: Path, archive: Path | None = None) -> None:
        self.path, self.archive = path, archive

    def __getstate__(self) -> dict[str, Any]:
        # A worker lists the folder itself, and only if it has to.
        return {name: value for name, value in vars(self).items() if name not in _LISTED}

    def files(self, name: str) -> list[Path]:
        """The file of a video; see `locate`."""
        return [self.locate(name)]

    def decode(self, name: str, numbers: Collection[int], shape: tuple[int, int]) -> Decoded:
        """Read frames of a video; see `FrameSource.decode`."""
        with Video(self.locate(name), follow_link=False) as video:
            frames = {frame.number: frame for frame in video.frames(set(numbers), shape)}
            return Decoded(frames=frames, count=video.count, ending=video.ending())

    def shape(self, name: str) -> tuple[int, int]:
        """(height, width) of a video's frames."""
        with Video(self.locate(name), follow_link=False) as video:
            return video.shape

    def where(self, name: str) -> str:
        """Path of a video inside the archive, for messages."""
        return f"{self.path.name}/{name}{SUFFIX}"

    def stamps(self, names: Iterable[str]) -> dict[str, Stamp | None]:
        """Stamps of videos by name; None for one that is gone or must not be opened."""
        # In one pass over the folder: ten thousand look-ups take a second.
        found: dict[str, Stamp] = {}
        try:
            with os.scandir(self.path) as entries:
                for entry in entries:
                    if entry.is_file(follow_symlinks=False):
                        found[entry.name] = file_stamp(entry.stat(follow_symlinks=False))
        except OSError:
            return dict.fromkeys(names)
        return {
            name: found[name + SUFFIX] if name + SUFFIX in found else self._stamp(name)
            for name in dict.fromkeys(names)
        }

    def locate(self, name: str) -> Path:
        """Find the file of a video.

        Parameters
        ----------
        name : str
            From `video_name`.

        Returns
        -------
        path : Path
            A regular file, and no link. NAME.avi is preferred; otherwise the
            one file of the folder with this name and another suffix, case of
            suffix or Unicode form.

        Raises
        ------
        RefusedError
            If the name is not a plain file name, two files have it, or the
            file is outside the folder or not a regular file.
        FileNotFoundError
            If the file does not exist.
        """
        if reason := unsafe_name(name):
            raise RefusedError(reason)
        path = self.path / (name + SUFFIX)
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:
            path = self.path / self._other_spelling(name)
            mode = path.lstat().st_mode
        # Resolving takes time, and is only necessary for a link.
        return path if stat.S_ISREG(mode) else self._resolve(path)

    def _resolve(self, path: Path) -> Path:
        try:
            path = path.resolve(strict=True)
        except RuntimeError as error:
            raise RefusedError("the file is a link to itself") from error
        if not any(path.is_relative_to(folder) for folder in self._allowed):
            raise RefusedError(
                f"the file is a link that leads outside {self.path}; to allow this, give "
                "the folder that it leads to with --archive"
            )
        if not stat.S_ISREG(path.stat().st_mode):
            raise RefusedError("not a regular file")
        return path

    def _other_spelling(self, name: str) -> str:
        spellings = self._spellings.get(name, ())
        if not spellings:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        if len(spellings) > 1:
            raise RefusedError(
                f"{len(spellings)} files have this name: {', '.join(sorted(spellings)[:4])}; keep "
                "one of them"
            )
        return spellings[0]

    @functools.cached_property
    def _allowed(self) -> list[Path]:
        folders = [self.path] if self.archive is None else [self.path, self.archive]
        return [folder.resolve() for folder in folders]

    @functools.cached_property
    def _spellings(self) -> dict[str, list[str]]:
        """File names in the folder, by the name of the video."""
        found: dict[str, list[str]] = {}
        try:
            with os.scandir(self.path) as entries:
                for entry in entries:
                    found.setdefault(video_name(entry.name), []).append(entry.name)
        except OSError:
            # Then each file is missing.
            return {}
        return found


class VideoFolders(VideoFolder):
    """Several folders of videos, in which every name is unique.

    Parameters
    ----------
    path : Path
        The folder that they are in.
    """

    def __init__(self, path: Path, folders: Sequence[VideoFolder]) -> None:
        super().__init__(path)
        self._folders = list(folders)

    def locate(self, name: str) -> Path:
        """Find the file of a video, in the folder that has it."""
        return self._folder(name).locate(name)

    def where(self, name: str) -> str:
        """Path of a video inside the archive, for messages."""
        folder = self._folder(name)
        return str((folder.path / (name + SUFFIX)).relative_to(self.path))

    def stamps(self, names: Iterable[str]) -> dict[str, Stamp | None]:
        """Stamps of videos by name; None for one that is gone or must not be opened."""
        names = list(names)
        found = [folder.stamps(names) for folder in self._folders]
        return {name: next(filter(None, (one[name] for one in found)), None) for name in names}

    def _folder(self, name: str) -> VideoFolder:
        """The folder that has a video; the first if none has it."""
        for folder in self._folders:
            try:
                folder.locate(name)
            except FileNotFoundError:
                continue
            except (OSError, RefusedError):
                return folder
            return folder
        return self._folders[0]
