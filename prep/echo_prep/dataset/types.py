"""What every archive layout gives: videos and their traces."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from echo_prep.dataset.rejects import Reject


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trace:
    """One sound tracing of one frame.

    Attributes
    ----------
    frame : int
        0-based index into the decoded video.
    line : int
        Row of VolumeTracings.csv where it begins.
    long_axis : ndarray, (2, 2) float64
        Apex and middle of the mitral plane, (x, y) in pixels.
    contour : ndarray, (40, 2) float64
        The first ends of the chords from the apex down, then the second ends
        from the base up; (x, y) in pixels.
    area : float
        Area inside the contour, in square pixels.
    """

    frame: int
    line: int
    long_axis: np.ndarray
    contour: np.ndarray
    area: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Video:
    """One line of FileList.csv.

    Attributes
    ----------
    name : str
        File name without its suffix.
    split : int
        Code of `echo_common.store.schema.SPLITS`.
    ef, edv, esv : float
        Ejection fraction in per cent, volumes in ml; NaN where not given.
    fps : float
        Frames a second; NaN where not given.
    shape : tuple of int or None
        (height, width) as listed; None where not given.
    """

    name: str
    split: int
    ef: float
    edv: float
    esv: float
    fps: float
    shape: tuple[int, int] | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dataset:
    """The sound part of a data set, and what was left out of it.

    Attributes
    ----------
    root : Path
        The data set's folder.
    videos : tuple of Video
        In the order of FileList.csv; only videos with a sound trace.
    traces : dict of str to tuple of Trace
        The sound traces of each of these videos, by frame number.
    rejects : tuple of Reject
    traced : int
        Number of traces in VolumeTracings.csv, sound or not.
    fingerprint : dict of str to str
        SHA-256 of each of the two CSV files.
    """

    root: Path
    videos: tuple[Video, ...]
    traces: dict[str, tuple[Trace, ...]]
    rejects: tuple[Reject, ...]
    traced: int
    fingerprint: dict[str, str]
