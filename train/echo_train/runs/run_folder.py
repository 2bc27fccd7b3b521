"""The run folder: opening it for training, and reading and writing its text files.

A run consists of `config.toml`, `metrics.csv`, `last.pt`, `best.pt`,
`summary.json`, `frames.csv` and pictures. Each file is replaced in one step, so a
killed run keeps the last complete version. What is read is checked here, since a
run folder may come from elsewhere or be damaged.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import io
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from echo_common.errors import RunError
from echo_common.output_folder import RECORD_FOLDER, OutputFolder
from echo_common.regular_file import read_regular
from echo_common.tables import csv_table

RUNS = Path("runs")

CONFIG = "config.toml"
METRICS = "metrics.csv"
LAST = "last.pt"
BEST = "best.pt"
SUMMARY = "summary.json"
FRAMES = "frames.csv"
CURVES = "curves.png"
OVERLAY = "overlay.png"
ATTENTION = "attention.png"
VIDEOS = "videos.csv"
AGREEMENT = "ef.png"

PICTURES = (CURVES, OVERLAY, ATTENTION, AGREEMENT)

FILES = (CONFIG, METRICS, LAST, BEST, SUMMARY, FRAMES, VIDEOS, *PICTURES)
"""Every file that training writes to a run folder, but for TensorBoard's events."""

LARGEST = 1e30
"""No number in a file of a run is larger; it keeps damage away from what formats and plots."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EpochRow:
    """One line of metrics.csv.

    Attributes
    ----------
    epoch : int
        From 1.
    train_loss, train_dice, val_loss, val_dice : float
        Means over frames; Dice is that of the foreground. The training values
        are measured during the epoch, while the weights change; the Dice of a
        landmark run is that of a fixed sample of frames.
    train_pixel_accuracy, val_pixel_accuracy : float
        Means over frames of the metric that the paper calls Dice.
    images_per_second : float
        Training images per second, without validation.
    learning_rate : float
        Of the last step; NaN for an epoch of a version that did not record it.
    """

    epoch: int
    train_loss: float
    train_dice: float
    val_loss: float
    val_dice: float
    train_pixel_accuracy: float
    val_pixel_accuracy: float
    seconds: float
    images_per_second: float
    learning_rate: float = math.nan


def choose_run_folder(folder: Path | None, resume: bool, name: str) -> Path:
    """Choose the folder of a run before any work is done for it; see `open_run_folder`.

    Parameters
    ----------
    folder : Path or None
        None for a new folder under ``runs/``.
    resume : bool
        Whether the folder contains the run to resume.
    name : str
        Name of a new folder under ``runs/``; a number is appended if it exists.

    Raises
    ------
    RunError
        If the folder contains no run to resume, or a new one is not empty.
    """
    if folder is None:
        return _new_folder(RUNS, name)
    if resume:
        read_config(folder)
    else:
        _check_empty(folder)
    return folder


@contextlib.contextmanager
def open_run_folder(
    folder: Path, resume: bool, inputs: Sequence[Path] = ()
) -> Iterator[OutputFolder]:
    """Open a run folder to write a new run to, or to resume the run in it.

    Parameters
    ----------
    folder : Path
        From `choose_run_folder`.
    inputs : sequence of Path
        What the run reads.

    Raises
    ------
    RunError
        If another process trains in the folder, or a new one is not empty.
    """
    with OutputFolder(
        folder,
        inputs=inputs,
        locked=lambda holder: RunError(
            f"{holder} trains in {folder}; wait until it has finished, or give another --run"
        ),
        remedy="move it away, or give another --run",
    ) as output:
        if not resume:
            # Again, since another process may have been faster.
            _check_empty(folder)
        yield output


def _new_folder(base: Path, name: str) -> Path:
    """Make the first of the folders ``name``, ``name-2``, ``name-3``, … that does not exist."""
    if not base.is_dir() and (base.exists() or base.is_symlink()):
        raise RunError(f"{base} is not a folder, so no run can be made in it; give --run FOLDER")
    base.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        folder = base / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            number += 1
            continue
        return folder


def _check_empty(folder: Path) -> None:
    # Runs are never overwritten; a run that was killed at once leaves only the record's folder.
    if folder.is_dir() and any(entry.name != RECORD_FOLDER for entry in folder.iterdir()):
        raise RunError(
            f"{folder} is not empty; give another --run, or --resume to continue the run in it"
        )


def metrics_csv(rows: Sequence[EpochRow]) -> str:
    """Format metrics.csv, with one line per epoch so far."""
    columns = [field.name for field in dataclasses.fields(EpochRow)]
    return csv_table([columns, *map(dataclasses.astuple, rows)])


def read_metrics(folder: Path) -> list[EpochRow]:
    """Read metrics.csv; at least one epoch.

    Raises
    ------
    RunError
        If it is missing or was not written by a run.
    """
    path = folder / METRICS
    try:
        lines = [{name: float(text) for name, text in line.items()} for line in _read_csv(path)]
        return epoch_rows(lines)
    except (OSError, TypeError, ValueError) as error:
        raise RunError(
            f"{path} cannot be read: {reason_of(error)}; restore it from a copy, or leave this run "
            "out"
        ) from error


def epoch_rows(tables: Sequence[Mapping[str, Any]]) -> list[EpochRow]:
    """Check the metrics of epochs that were read from a file.

    Raises
    ------
    TypeError, ValueError
        If there is none, if their numbers are not 1, 2, 3, …, or if a value is missing or is no
        number that a run writes.
    """
    rows = [EpochRow(**table) for table in tables]
    for number, row in enumerate(rows, start=1):
        for name, value in dataclasses.asdict(row).items():
            # NaN is a value too: of the Dice of an epoch whose predictions are.
            if not isinstance(value, int | float) or LARGEST < abs(value) < math.inf:
                raise ValueError(f"{name} of epoch {number} is {str(value)[:40]!r}")
        if row.epoch != number:
            raise ValueError(f"epoch {row.epoch} is in the place of epoch {number}")
    if not rows:
        raise ValueError("it has no epoch")
    return [dataclasses.replace(row, epoch=int(row.epoch)) for row in rows]


def read_frames(folder: Path) -> list[dict[str, str]]:
    """Read frames.csv; every row has a value of each column that other modules need.

    Raises
    ------
    RunError
        If it is missing or was not written by a run or an evaluation.
    """
    path = folder / FRAMES
    try:
        rows = _read_csv(path)
        if not rows:
            raise ValueError("it has no frame")
        for number, row in enumerate(rows, start=2):
            if None in row or None in row.values():
                raise ValueError(f"row {number} has another number of cells than the header")
            if not 0 <= float(row["dice"]) <= 1 or not 0 <= int(row["frame"]) < LARGEST:
                raise ValueError(f"row {number} has a value that no frame has")
            if not row["video"] or not row["split"]:
                raise ValueError(f"row {number} has no video or split")
    except (OSError, KeyError, ValueError) as error:
        raise RunError(
            f"{path} cannot be read: {reason_of(error)}; make it again with: echo-eval {folder}"
        ) from error
    return rows


def read_config(folder: Path) -> dict[str, Any]:
    """Read the settings of a run, config.toml, as a table.

    Raises
    ------
    RunError
        If it is missing or not valid TOML.
    """
    path = folder / CONFIG
    try:
        table = tomllib.loads(read_regular(path).decode())
        if not table:
            raise ValueError("it has no settings")
        return table
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RunError(f"{folder} contains no run: {CONFIG} is missing") from error
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(
            f"{path} cannot be read: {reason_of(error)}; restore it from a copy, or train again"
        ) from error


def run_inputs(folder: Path) -> list[Path]:
    """List what a command may read of a run: its files, and the store that it was trained on.

    Raises
    ------
    RunError
        If the folder contains no run.
    """
    store = read_config(folder).get("store")
    return [folder / name for name in FILES] + ([Path(store)] if isinstance(store, str) else [])


def _read_csv(path: Path) -> list[dict[str, str]]:
    text = read_regular(path).decode()
    try:
        return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise ValueError(f"it is not CSV: {error}") from error


def reason_of(error: BaseException) -> str:
    """What is wrong with a file, in a line."""
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower()
    if isinstance(error, KeyError):
        return f"it has no {error}"
    if isinstance(error, UnicodeDecodeError):
        return "it is not text"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def is_better(candidate: EpochRow, best: EpochRow | None) -> bool:
    """Whether an epoch has the best validation Dice so far; of equals, the earlier is best."""
    if math.isnan(candidate.val_dice):
        return False
    return best is None or candidate.val_dice > best.val_dice
