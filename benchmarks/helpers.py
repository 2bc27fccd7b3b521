"""What several benchmarks share: the machine, a large data set, Dice and output."""

from __future__ import annotations

import csv
import itertools
import os
import platform
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import joblib
import numpy as np

from echo_common.store.reader import EchoStore
from echo_prep.build.build import build
from echo_prep.layouts.echonet_dynamic import FILE_LIST, TRACINGS, VIDEOS
from echo_prep.settings import BuildSettings

if TYPE_CHECKING:
    import torch

    from echo_train.data.frame_set import Choice
    from echo_train.data.loader import Loader
    from echo_train.training.settings import TrainSettings


def describe_machine() -> str:
    """Processor, available cores, and version of Python."""
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":")[1].strip()
    return f"{model}, {joblib.cpu_count()} cores; Python {platform.python_version()}"


def print_row(label: str, value: str) -> None:
    """Print one row of a table, immediately."""
    print(f"{label:<64} {value}", flush=True)


def repeat_dataset(source: Path, target: Path, count: int) -> Path:
    """Write a data set of `count` videos: hard links to the traced videos of a smaller one."""
    shutil.rmtree(target, ignore_errors=True)
    (target / VIDEOS).mkdir(parents=True)
    header, *listed = _read_csv(source / FILE_LIST)
    columns, *rows = _read_csv(source / TRACINGS)
    traces: dict[str, list[list[str]]] = {}
    for file_name, *row in rows:
        traces.setdefault(file_name.removesuffix(".avi"), []).append(row)
    traced = itertools.cycle(line for line in listed if line[0] in traces)
    file_list, tracings = [header], [columns]
    for number, (name, *line) in enumerate(itertools.islice(traced, count)):
        copy = f"{name}-{number}"
        os.link(source / VIDEOS / f"{name}.avi", target / VIDEOS / f"{copy}.avi")
        file_list.append([copy, *line])
        tracings += [[f"{copy}.avi", *row] for row in traces[name]]
    _write_csv(target / FILE_LIST, file_list)
    _write_csv(target / TRACINGS, tracings)
    return target


def build_store(data: Path, store: Path) -> Path:
    """Build a store with the default settings, unless it is there already."""
    build(BuildSettings(data=data, store=store))
    return store


def build_large_store(data: Path, work: Path, frames: int) -> Path:
    """Build a store of `frames` traced frames by repeating the videos of a smaller data set."""
    large = repeat_dataset(data, work / f"repeated-{frames}", frames // 2)
    return build_store(large, work / f"large-{frames}.zarr")


def open_loader(settings: TrainSettings, device: torch.device) -> tuple[Choice, Loader]:
    """Open the store of a run as its training does."""
    # Only some benchmarks train, and importing torch takes seconds.
    from echo_train.data.frame_set import choose
    from echo_train.data.loader import make_loader

    store = EchoStore(settings.selection.store)
    choice = choose(store, settings.selection)
    return choice, make_loader(store, choice, settings.data, device, settings.training.seed)


def _read_csv(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))


def _write_csv(path: Path, rows: Iterable[list[str]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def dice(first: np.ndarray, second: np.ndarray) -> float:
    """Foreground Dice of two masks; 1 if both are empty."""
    total = int(first.sum()) + int(second.sum())
    return 2 * int((first & second).sum()) / total if total else 1.0
