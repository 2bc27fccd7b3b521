"""The run folder: creation, lock, and its text files.

A run consists of `config.toml`, `metrics.csv`, `last.pt`, `best.pt`,
`summary.json`, `frames.csv` and pictures. Each file is replaced atomically, so a
killed run keeps the last complete version.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from echo_common import atomic
from echo_common.errors import RunError
from echo_common.lock import exclusive
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
LOCK = ".lock"


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
    seconds : float
    images_per_second : float
        Training images per second, without validation.
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


def new_run_folder(base: Path, name: str) -> Path:
    """Make the first of the folders ``name``, ``name-2``, ``name-3``, … that does not exist."""
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


def open_folder(folder: Path | None, resume: bool, name: str) -> Path:
    """Make a new run folder, or return that of a resumed run.

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
        If a new folder is not empty.
    """
    if folder is None:
        return new_run_folder(RUNS, name)
    if not resume:
        claim_run_folder(folder)
    return folder


def claim_run_folder(folder: Path) -> None:
    """Make a folder for a new run.

    Raises
    ------
    RunError
        If the folder is not empty: runs are never overwritten.
    """
    if folder.is_dir():
        # A run that was killed while writing its first file leaves only a temporary file.
        remove_unfinished(folder)
    if folder.exists() and not (
        folder.is_dir() and all(entry.name == LOCK for entry in folder.iterdir())
    ):
        raise RunError(
            f"{folder} is not empty; give another --run, or --resume to continue the run in it"
        )
    folder.mkdir(parents=True, exist_ok=True)


def run_lock(folder: Path, first: bool = True) -> contextlib.AbstractContextManager[None]:
    """Lock a run folder for training; in distributed training, the first process locks it.

    Raises
    ------
    RunError
        If another process trains in the folder.
    """
    if not first:
        return contextlib.nullcontext()
    return exclusive(
        folder / LOCK,
        lambda holder: RunError(
            f"{holder} trains in {folder}; wait until it has finished, or give another --run"
        ),
    )


def remove_unfinished(folder: Path) -> None:
    """Remove the temporary files of a killed run."""
    for path in folder.glob(".*.tmp"):
        path.unlink()


def write_metrics(folder: Path, rows: Sequence[EpochRow]) -> None:
    """Write metrics.csv, with one line per epoch so far."""
    columns = [field.name for field in dataclasses.fields(EpochRow)]
    atomic.write_text(folder / METRICS, csv_table([columns, *map(dataclasses.astuple, rows)]))


def read_metrics(folder: Path) -> list[EpochRow]:
    """Read metrics.csv.

    Raises
    ------
    RunError
        If it is missing or was not written by `write_metrics`.
    """
    path = folder / METRICS
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = [
                {key: float(text) for key, text in line.items()} for line in csv.DictReader(file)
            ]
        return [EpochRow(**{**line, "epoch": int(line["epoch"])}) for line in lines]  # type: ignore[arg-type]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}") from error


def write_summary(folder: Path, summary: Mapping[str, Any]) -> None:
    """Write summary.json."""
    atomic.write_text(folder / SUMMARY, json.dumps(summary, indent=2, allow_nan=False) + "\n")


def read_summary(folder: Path) -> dict[str, Any]:
    """Read a finished run's summary.json.

    Raises
    ------
    RunError
        If the folder contains no finished run.
    """
    path = folder / SUMMARY
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError(
            f"{folder} contains no finished run: {SUMMARY} is missing; finish it with "
            f"echo-train --resume --run {folder}"
        ) from error
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}") from error
    if not isinstance(summary, dict):
        raise RunError(f"{path} is not a summary of a run")
    return summary


def read_config(folder: Path) -> dict[str, Any]:
    """Read the settings of a run, config.toml, as a table.

    Raises
    ------
    RunError
        If it is missing or not valid TOML.
    """
    path = folder / CONFIG
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError(f"{folder} contains no run: {CONFIG} is missing") from error
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}") from error


def is_better(candidate: EpochRow, best: EpochRow | None) -> bool:
    """Whether an epoch has the best validation Dice so far; of equals, the earlier is best."""
    if math.isnan(candidate.val_dice):
        return False
    return best is None or candidate.val_dice > best.val_dice
