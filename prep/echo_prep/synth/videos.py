"""Videos of a synthetic data set: made, traced and written, one at a time."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from echo_common.errors import DataError
from echo_common.geometry.volume import disc_volume
from echo_prep.dataset.avi import AviError, read_index
from echo_prep.dataset.file_names import SUFFIX
from echo_prep.synth.annotator import draw_by_hand, draw_hand, trace_rows
from echo_prep.synth.phantom.movie import Film, make_film
from echo_prep.synth.phantom.random_study import draw_study
from echo_prep.synth.phantom.study import SIZE

JPEG_QUALITY = 95

_SPLIT_ENDS = (0.7443, 0.8727)
"""Where TRAIN and VAL end in EchoNet-Dynamic: 7465, 1288 and 1277 videos of 10,030."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """What the CSV files say of one video.

    Attributes
    ----------
    name : str
        Without suffix.
    ef, esv, edv : float
        Per cent, and ml.
    shape : tuple of int
        (height, width).
    fps : float
    frames : int
    split : str
    traces : tuple of (int or str, ndarray)
        Frame number and its rows of X1, Y1, X2, Y2, in the order of the file; NaN is left blank.
    listed : bool
        Whether FileList.csv has it.
    """

    name: str
    ef: float
    esv: float
    edv: float
    shape: tuple[int, int] = (SIZE, SIZE)
    fps: float
    frames: int
    split: str
    traces: tuple[tuple[int | str, np.ndarray], ...]
    listed: bool = True


def study_name(seed: int, number: int) -> str:
    """A video's name, in the data set's own form: 0X and sixteen hexadecimal digits."""
    return "0X" + hashlib.sha256(f"{seed} {number}".encode()).hexdigest()[:16].upper()


def split_of(seed: int, number: int) -> str:
    """A video's split; any run of numbers has EchoNet-Dynamic's shares, as near as can be."""
    offset = np.random.default_rng([seed, 1 << 32]).random()
    place = (offset + number * (np.sqrt(5) - 1) / 2) % 1
    return ("TRAIN", "VAL", "TEST")[int(np.searchsorted(_SPLIT_ENDS, place, side="right"))]


def make_video(folder: Path, seed: int, number: int, frames: int | None) -> Record:
    """Make one video and write it; depends on its seed, number and length alone.

    Parameters
    ----------
    folder : Path
        The data set's folder of videos.
    seed, number : int
    frames : int or None
        Length of the video; drawn where None.

    Returns
    -------
    record : Record
    """
    cv2.setNumThreads(1)
    rng = np.random.default_rng([seed, number])
    study = draw_study(rng, frames)
    film = make_film(study, rng)
    name = study_name(seed, number)
    write_video(folder / (name + SUFFIX), film.frames, study.rhythm.fps)
    diastole, systole = _trace(film, rng)
    edv, esv = (disc_volume(rows, study.ventricle.mm_per_px) for rows, _ in (diastole, systole))
    traces = [(film.motion.end_diastole, diastole[1]), (film.motion.end_systole, systole[1])]
    return Record(
        name=name,
        ef=100 * (edv - esv) / edv,
        esv=esv,
        edv=edv,
        fps=study.rhythm.fps,
        frames=len(film.frames),
        split=split_of(seed, number),
        traces=tuple(sorted(traces, key=lambda trace: trace[0])),
    )


def traced_borders(
    seed: int, number: int, frames: int | None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Trace the border of a video that `make_video` makes, at end-diastole and at end-systole.

    Returns
    -------
    traces : list of (ndarray, ndarray), each (21, 4) float64
        The true border's rows, and those that the annotator drew.
    """
    rng = np.random.default_rng([seed, number])
    return _trace(make_film(draw_study(rng, frames), rng), rng)


def _trace(film: Film, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    hand = draw_hand(rng)
    borders = (film.end_diastole, film.end_systole)
    return [(trace_rows(one), trace_rows(draw_by_hand(one, hand, rng))) for one in borders]


def write_video(path: Path, frames: Iterable[np.ndarray], fps: float, codec: str = "MJPG") -> None:
    """Write gray frames as an AVI file with three channels, whole or not at all.

    Raises
    ------
    DataError
        If OpenCV has no encoder of the codec, or the file could not be written to its end.
    """
    frames = list(frames)
    height, width = frames[0].shape
    # OpenCV's own encoder writes the same bytes everywhere; FFmpeg's depends on its version.
    own = codec == "MJPG"
    partial = path.with_name(f".{path.stem}.part{SUFFIX}")
    writer = cv2.VideoWriter(
        str(partial),
        cv2.CAP_OPENCV_MJPEG if own else cv2.CAP_FFMPEG,
        cv2.VideoWriter.fourcc(*codec),
        fps,
        (width, height),
        [cv2.VIDEOWRITER_PROP_QUALITY, JPEG_QUALITY] if own else [],
    )
    if not writer.isOpened():
        raise DataError(f"{path} cannot be written as {codec}: OpenCV has no encoder for it here")
    for frame in frames:
        writer.write(cv2.merge([frame, frame, frame]))
    writer.release()
    if _count_frames(partial) != len(frames):
        # OpenCV says nothing when the disk is full.
        partial.unlink(missing_ok=True)
        raise DataError(
            f"{path} could not be written to its end; free some space on the disk and run the "
            "same command again"
        )
    partial.replace(path)


def _count_frames(path: Path) -> int:
    try:
        handle = os.open(path, os.O_RDONLY)
        try:
            return len(read_index(handle).frames)
        finally:
            os.close(handle)
    except (OSError, AviError):
        return 0
