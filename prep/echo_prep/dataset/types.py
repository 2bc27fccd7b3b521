"""Videos and traces, as every archive layout returns them."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np

from echo_prep.dataset.rejects import Reject


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trace:
    """A valid tracing of a frame.

    Attributes
    ----------
    frame : int
        0-based index into the decoded video.
    where : str
        File and row where the trace begins.
    long_axis : ndarray, (2, 2) float64
        Apex and middle of the mitral plane, (x, y) in pixels.
    contour : ndarray, (40, 2) float64
        First ends of the chords from apex to base, then second ends from
        base to apex; (x, y) in pixels.
    area : float
        Area inside the contour, in square pixels.
    phase : int or None
        Code of `echo_common.store.schema.PHASES`; None if the areas decide.
    """

    frame: int
    where: str
    long_axis: np.ndarray
    contour: np.ndarray
    area: float
    phase: int | None = None


def in_frame_order(traces: dict[str, list[Trace]]) -> dict[str, tuple[Trace, ...]]:
    """Traces of each video, sorted by frame number."""
    return {
        name: tuple(sorted(found, key=lambda trace: trace.frame)) for name, found in traces.items()
    }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Video:
    """A video of an archive, or an image, with what the archive says about it.

    Attributes
    ----------
    name : str
        Unique in the archive; the file name without its suffix.
    split : int
        Code of `echo_common.store.schema.SPLITS`.
    ef, edv, esv : float
        Ejection fraction in per cent, volumes in ml; NaN if not given.
    fps : float
        Frames per second; NaN if not given.
    shape : tuple of int or None
        (height, width) as listed; None if not given.
    patient, view, quality : str
        The archive's own words; empty if not given.
    fold : int or None
        The fold of an archive that is divided into folds.
    spacing : tuple of float or None
        Height and width of a pixel in mm; None if not known.
    """

    name: str
    split: int
    ef: float = math.nan
    edv: float = math.nan
    esv: float = math.nan
    fps: float = math.nan
    shape: tuple[int, int] | None = None
    patient: str = ""
    view: str = ""
    quality: str = ""
    fold: int | None = None
    spacing: tuple[float, float] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dataset:
    """The valid videos and traces of a data set, and the list of rejects.

    Attributes
    ----------
    videos : tuple of Video
        In the order of the archive; only videos with a valid trace.
    traces : dict of str to tuple of Trace
        The valid traces of each video, sorted by frame number.
    traced : int
        Number of traces in the archive, valid or not.
    notes : dict of str to int
        What was corrected in a valid trace, or is unusual in it, with the number of traces.
    fingerprint : dict of str to str
        SHA-256 of the annotations, by file name.
    """

    root: Path
    videos: tuple[Video, ...]
    traces: dict[str, tuple[Trace, ...]]
    rejects: tuple[Reject, ...]
    traced: int
    notes: dict[str, int]
    fingerprint: dict[str, str]
