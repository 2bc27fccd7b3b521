"""The interface of layouts, which `echo-prep build` reads archives through.

A layout reads the annotations of an archive as videos and traces, without
opening a video, and tells where the frames are. Subclasses of
`echo_prep.layouts.annotated_layout.AnnotatedLayout` are for archives of masks
or polygons, and need much less.
"""

from __future__ import annotations

import abc
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from echo_common.regular_file import read_regular
from echo_prep.dataset.frame_source import FrameSource
from echo_prep.dataset.types import Dataset


class Layout(abc.ABC):
    """A format of archives.

    Attributes
    ----------
    name : str
        Value of ``--layout``.
    options : mapping
        Options of ``echo-prep build`` that apply to the layout, with their defaults: those of
        `echo_prep.layouts.settings.LayoutSettings`.
    size : int or None
        Default of ``--size``; None for the size that most videos have.
    methods : tuple of str
        Default of ``--method``.
    """

    name: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    size: ClassVar[int | None] = None
    methods: ClassVar[tuple[str, ...]] = ("chords",)

    @abc.abstractmethod
    def recognises(self, root: Path) -> bool:
        """Whether a folder has this format, from the names in it; it may not exist."""

    @abc.abstractmethod
    def annotations(self, root: Path) -> list[Path]:
        """Files that the rows of a store depend on, in a fixed order."""

    @abc.abstractmethod
    def read(self, root: Path, options: Mapping[str, Any]) -> Dataset:
        """Read and check the annotations.

        Raises
        ------
        DataNotFoundError, DataError
            If the archive as a whole cannot be read. An invalid video or trace is a reject.
        """

    @abc.abstractmethod
    def source(
        self, root: Path, options: Mapping[str, Any], archive: Path | None = None
    ) -> FrameSource:
        """The frames of an archive; links in it may lead to the folder `archive`."""

    def inputs(self, root: Path) -> list[Path]:
        """Files and folders that no output may replace."""
        return [root]

    def fingerprint(self, root: Path) -> dict[str, str]:
        """SHA-256 of the annotations, by file name.

        Raises
        ------
        OSError
            If a file cannot be read.
        """
        return {path.name: file_digest(path) for path in self.annotations(root)}

    def accepts(self, long_axes: np.ndarray, contours: np.ndarray) -> bool:
        """Whether traces of a store, which an older version may have made, are still accepted."""
        return True


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(read_regular(path)).hexdigest()


def find_entry(root: Path, name: str) -> Path:
    """Path of a data set's file or folder, whose name may be in other letters: ``videos``."""
    path = root / name
    if path.exists():
        return path
    try:
        others = [other for other in root.iterdir() if other.name.lower() == name.lower()]
    except OSError:
        return path
    return others[0] if len(others) == 1 else path
