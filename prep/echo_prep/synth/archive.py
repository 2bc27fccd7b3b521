"""Writing a synthetic data set: the folder, the videos, and the two CSV files last.

A folder is marked as synthetic before anything else is written into it, and
has its CSV files only when it is complete: a run that was killed is not taken
for a data set, and running it again finishes it.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from echo_common import atomic, progress
from echo_common.errors import DataError
from joblib import Parallel, delayed

from echo_prep.dataset import FILE_LIST, TRACINGS, VIDEOS
from echo_prep.names import SUFFIX
from echo_prep.synth.movie import make_film
from echo_prep.synth.settings import SynthSettings
from echo_prep.synth.study import SIZE, draw_study
from echo_prep.synth.tracing import disc_volume, draw_by_hand, draw_hand, trace_rows

MARK = "synth.json"
"""The file that says what made a folder."""

FORMAT = "echo-synth/1"

LIST_COLUMNS = (
    "FileName", "EF", "ESV", "EDV", "FrameHeight", "FrameWidth", "FPS", "NumberOfFrames", "Split",
)  # fmt: skip
TRACING_COLUMNS = ("FileName", "X1", "Y1", "X2", "Y2", "Frame")

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
    traces : tuple of (int, ndarray)
        Frame number and its rows of X1, Y1, X2, Y2, in the order of the file.
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
    traces: tuple[tuple[int, np.ndarray], ...]
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
    hand = draw_hand(rng)
    film = make_film(study, rng)
    scale = study.ventricle.mm_per_px
    edv = disc_volume(trace_rows(film.end_diastole), scale)
    esv = disc_volume(trace_rows(film.end_systole), scale)
    traced = (
        (film.motion.end_diastole, film.end_diastole),
        (film.motion.end_systole, film.end_systole),
    )
    traces = [(frame, trace_rows(draw_by_hand(border, hand, rng))) for frame, border in traced]
    name = study_name(seed, number)
    write_video(folder / (name + SUFFIX), film.frames, study.rhythm.fps)
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


def write_video(path: Path, frames: Iterable[np.ndarray], fps: float, codec: str = "MJPG") -> None:
    """Write gray frames as an AVI file with three channels, whole or not at all.

    Raises
    ------
    DataError
        If OpenCV has no encoder of the codec, or cannot write there.
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
    partial.replace(path)


def synthesize(
    root: Path, settings: SynthSettings, show: progress.Progress[Record] = progress.silent
) -> bool:
    """Make a synthetic data set.

    Parameters
    ----------
    root : Path
        A folder that is empty or not there yet, or one that this function began with the same
        settings.
    settings : SynthSettings
    show : callable
        Reports progress; see `echo_common.progress`.

    Returns
    -------
    made : bool
        False where the folder holds this very data set already.

    Raises
    ------
    DataError
        If the folder holds something else.
    """
    if _is_complete(root, settings):
        return False
    videos = root / VIDEOS
    videos.mkdir(parents=True, exist_ok=True)
    content = {"format": FORMAT, **settings.content()}
    atomic.write_text(root / MARK, json.dumps(content, indent=1) + "\n")
    workers = min(settings.workers(), settings.videos)
    parallel = Parallel(n_jobs=workers, return_as="generator", batch_size="auto")
    done = parallel(
        delayed(make_video)(videos, settings.seed, number, settings.frames)
        for number in range(settings.videos)
    )
    records = list(show(done, settings.videos, "making videos"))
    write_tables(root, records)
    return True


def write_tables(root: Path, records: Sequence[Record]) -> None:
    """Write VolumeTracings.csv, then FileList.csv, by which the data set is complete."""
    lines: list[list[object]] = [list(TRACING_COLUMNS)]
    for record in records:
        for frame, rows in record.traces:
            for row in rows:
                lines.append([record.name + SUFFIX, *(f"{value:.8f}" for value in row), frame])
    atomic.write_text(root / TRACINGS, _as_csv(lines))
    lines = [list(LIST_COLUMNS)]
    for record in records:
        if record.listed:
            volumes = (f"{value:.6f}" for value in (record.ef, record.esv, record.edv))
            fps = int(record.fps) if float(record.fps).is_integer() else record.fps
            lines.append([record.name, *volumes, *record.shape, fps, record.frames, record.split])
    atomic.write_text(root / FILE_LIST, _as_csv(lines))


def _as_csv(lines: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


def _is_complete(root: Path, settings: SynthSettings) -> bool:
    """Whether the folder holds this data set; an error where it holds another thing."""
    if not root.exists():
        return False
    if not root.is_dir():
        raise DataError(f"{root} is a file; give a folder for the synthetic data set")
    if not any(root.iterdir()):
        return False
    try:
        found = json.loads((root / MARK).read_text(encoding="utf-8"))
        held = {name: found.get(name) for name in settings.content()}
        ours = found.get("format") == FORMAT
    except (OSError, ValueError, AttributeError):
        ours = False
    if not ours:
        raise DataError(
            f"{root} is not empty, and what it holds was not made by echo-prep synth; give an "
            "empty or a new folder"
        )
    if held != settings.content():
        differing = ", ".join(
            f"{name} {held[name]}"
            for name, value in settings.content().items()
            if held[name] != value
        )
        raise DataError(
            f"{root} holds a synthetic data set made with other settings ({differing}); give "
            "another folder, or remove this one"
        )
    return (root / FILE_LIST).is_file()
