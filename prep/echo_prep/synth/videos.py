"""Make, trace and write one video of a synthetic data set."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from echo_common.errors import DataError
from echo_common.measures.disks import millilitres, trace_volume
from echo_common.video.avi import read_index
from echo_common.video.content import VideoError
from echo_prep.dataset.file_names import SUFFIX
from echo_prep.dataset.tracings import split_rows
from echo_prep.synth.annotator import draw_contour, sample_annotator, trace_rows
from echo_prep.synth.looks import ECHONET, Look
from echo_prep.synth.phantom.motion import Motion, simulate_motion
from echo_prep.synth.phantom.movie import Movie, make_movie, true_contours
from echo_prep.synth.phantom.study import SIZE, Study
from echo_prep.synth.random_study import sample_study

JPEG_QUALITY = 95

_SPLIT_ENDS = (0.7443, 0.8727)
"""Where TRAIN and VAL end in EchoNet-Dynamic: 7465, 1288 and 1277 of its 10,030 videos."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """One video's entries in the CSV files.

    Attributes
    ----------
    name : str
        Without suffix.
    ef, esv, edv : float
        Ejection fraction in per cent, volumes in ml.
    shape : tuple of int
        (height, width).
    fps : float
    frames : int
    split : str
    traces : tuple of (int or str, ndarray)
        Frame number and its rows of X1, Y1, X2, Y2, in file order. NaN is written as an empty
        field.
    listed : bool
        Whether FileList.csv contains the video.
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
    """Name of a video in EchoNet-Dynamic's format: 0X and sixteen hexadecimal digits."""
    return "0X" + hashlib.sha256(f"{seed} {number}".encode()).hexdigest()[:16].upper()


def split_of(seed: int, number: int) -> str:
    """Split of a video; consecutive numbers are divided in EchoNet-Dynamic's proportions."""
    offset = np.random.default_rng([seed, 1 << 32]).random()
    # Multiples of the golden ratio fill the unit interval evenly.
    position = (offset + number * (np.sqrt(5) - 1) / 2) % 1
    return ("TRAIN", "VAL", "TEST")[int(np.searchsorted(_SPLIT_ENDS, position, side="right"))]


def make_video(
    folder: Path, seed: int, number: int, frames: int | None, look: Look = ECHONET
) -> Record:
    """Make and write one video, which depends only on its seed, number, length and look.

    Parameters
    ----------
    folder : Path
        The data set's folder of videos.
    seed, number : int
    frames : int or None
        Length of the video; drawn at random if None.
    look : Look

    Returns
    -------
    record : Record
    """
    cv2.setNumThreads(1)
    rng = np.random.default_rng([seed, number])
    study, motion = draw_study(rng, frames, look)
    movie = make_movie(study, motion, rng)
    name = study_name(seed, number)
    write_video(folder / (name + SUFFIX), movie.frames, study.rhythm.fps)
    diastole, systole = _trace(movie, rng)
    edv, esv = true_volumes(study, motion)
    traces = [(movie.motion.ed_frame, diastole[1]), (movie.motion.es_frame, systole[1])]
    return Record(
        name=name,
        ef=100 * (edv - esv) / edv,
        esv=esv,
        edv=edv,
        fps=study.rhythm.fps,
        frames=len(movie.frames),
        split=split_of(seed, number),
        traces=tuple(sorted(traces, key=lambda trace: trace[0])),
    )


def traced_borders(
    seed: int, number: int, frames: int | None
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Trace the border of a video of `make_video`, at end-diastole and at end-systole.

    Returns
    -------
    traces : list of (ndarray, ndarray), each (21, 4) float64
        Rows of the true border, and rows of the annotator's tracing.
    """
    rng = np.random.default_rng([seed, number])
    return _trace(make_movie(*draw_study(rng, frames), rng), rng)


def draw_study(
    rng: np.random.Generator, frames: int | None, look: Look = ECHONET
) -> tuple[Study, Motion]:
    """Draw a study and the motion of its heart at random; see `sample_study`.

    The heart appears larger where it moves away from the probe. A study whose
    ventricle would have a larger volume at end-systole is drawn again.
    """
    while True:
        study = sample_study(rng, frames, look)
        motion = simulate_motion(study.rhythm, rng)
        edv, esv = true_volumes(study, motion)
        if esv < edv:
            return study, motion


def true_volumes(study: Study, motion: Motion) -> tuple[float, float]:
    """End-diastolic and end-systolic volume in ml, from the true border in the traced frames."""
    traces = [trace_rows(contour) for contour in true_contours(study, motion)]
    volumes = [trace_volume(*split_rows(rows)) for rows in traces]
    edv, esv = millilitres(np.array(volumes), study.ventricle.mm_per_px)
    return float(edv), float(esv)


def _trace(movie: Movie, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    annotator = sample_annotator(rng)
    return [
        (trace_rows(contour), trace_rows(draw_contour(contour, annotator, rng)))
        for contour in (movie.ed_contour, movie.es_contour)
    ]


def write_video(path: Path, frames: Iterable[np.ndarray], fps: float, codec: str = "MJPG") -> None:
    """Write gray frames as a three-channel AVI file, completely or not at all.

    Raises
    ------
    DataError
        If OpenCV has no encoder for the codec, or the file could not be written completely.
    """
    frames = list(frames)
    height, width = frames[0].shape
    # OpenCV's built-in encoder writes the same bytes everywhere; FFmpeg's output depends on its
    # version.
    built_in = codec == "MJPG"
    partial = path.with_name(f".{path.stem}.part{SUFFIX}")
    writer = cv2.VideoWriter(
        str(partial),
        cv2.CAP_OPENCV_MJPEG if built_in else cv2.CAP_FFMPEG,
        cv2.VideoWriter.fourcc(*codec),
        fps,
        (width, height),
        [cv2.VIDEOWRITER_PROP_QUALITY, JPEG_QUALITY] if built_in else [],
    )
    if not writer.isOpened():
        raise DataError(f"{path} cannot be written: this OpenCV has no {codec} encoder")
    for frame in frames:
        writer.write(cv2.merge([frame, frame, frame]))
    writer.release()
    if _count_frames(partial) != len(frames):
        # OpenCV reports no error when the disk is full.
        partial.unlink(missing_ok=True)
        raise DataError(
            f"{path} could not be written completely; free some disk space and run the same "
            "command again"
        )
    partial.replace(path)


def _count_frames(path: Path) -> int:
    try:
        handle = os.open(path, os.O_RDONLY)
        try:
            return len(read_index(handle).frames)
        finally:
            os.close(handle)
    except (OSError, VideoError):
        return 0
