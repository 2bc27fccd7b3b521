"""A run folder: what a training leaves behind, and what it can go on from.

`config.toml`, `metrics.csv`, `last.pt`, `best.pt`, `summary.json`,
`frames.csv` and the pictures. Each file is replaced in one step, so a run that
is killed anywhere keeps the newest state that was complete.
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
        Means over frames; the Dice is the foreground's. The training figures
        are taken along the epoch, while the weights change.
    train_pixel_accuracy, val_pixel_accuracy : float
        Means over frames of what the paper calls Dice.
    seconds : float
    images_per_second : float
        Training images, validation left out.
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
    """Make the first of ``name``, ``name-2``, ``name-3``, … that is not there yet."""
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
    """Make a new run folder, or give that of a run that is resumed.

    Parameters
    ----------
    folder : Path or None
        None for a new folder under ``runs/``.
    resume : bool
        The folder holds a run already.
    name : str
        Of a new folder under ``runs/``; a number is appended if it is taken.

    Raises
    ------
    RunError
        If there is something in what should be a new folder.
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
        If something is in it already: a run is never overwritten.
    """
    if folder.is_dir():
        # Of a run that was killed while its first file was written, there is nothing to keep.
        remove_unfinished(folder)
    if folder.exists() and not (
        folder.is_dir() and all(entry.name == LOCK for entry in folder.iterdir())
    ):
        raise RunError(
            f"{folder} holds something already; give another --run, or --resume to go on with it"
        )
    folder.mkdir(parents=True, exist_ok=True)


def run_lock(folder: Path, first: bool = True) -> contextlib.AbstractContextManager[None]:
    """Lock a run folder for training; of processes that train together, only the first locks it.

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
    """Remove the temporary files that a killed run left half written."""
    for path in folder.glob(".*.tmp"):
        path.unlink()


def write_metrics(folder: Path, rows: Sequence[EpochRow]) -> None:
    """Write metrics.csv: a line for each epoch so far."""
    columns = [field.name for field in dataclasses.fields(EpochRow)]
    atomic.write_text(folder / METRICS, csv_table([columns, *map(dataclasses.astuple, rows)]))


def read_metrics(folder: Path) -> list[EpochRow]:
    """Read metrics.csv.

    Raises
    ------
    RunError
        If it is not there, or is not what `write_metrics` writes.
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
        If the folder holds no finished run.
    """
    path = folder / SUMMARY
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError(
            f"{folder} holds no finished run: there is no {SUMMARY}; finish it with "
            f"echo-train --resume --run {folder}"
        ) from error
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}") from error
    if not isinstance(summary, dict):
        raise RunError(f"{path} is not the summary of a run")
    return summary


def read_config(folder: Path) -> dict[str, Any]:
    """Read a run's config.toml as a table.

    Raises
    ------
    RunError
        If there is none, or it is no TOML.
    """
    path = folder / CONFIG
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RunError(f"{folder} holds no run: there is no {CONFIG}") from error
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}") from error


def is_better(candidate: EpochRow, best: EpochRow | None) -> bool:
    """Whether an epoch's validation Dice beats the best so far; the earlier wins a tie."""
    if math.isnan(candidate.val_dice):
        return False
    return best is None or candidate.val_dice > best.val_dice
