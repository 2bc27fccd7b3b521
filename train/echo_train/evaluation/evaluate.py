"""Measured runs: a model's figures on the splits of a store, and the files that hold them.

`echo_train.training.train` writes a run's own; `echo-eval` those of any split or store.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from echo_common import atomic
from echo_common.cli.progress import Progress, silent
from echo_common.cli.settings import replace, setting
from echo_common.errors import NotInStoreError
from echo_common.store import schema
from echo_common.store.reader import EchoStore
from echo_train.data.loader import Loader, make_loader
from echo_train.data.selection import choose
from echo_train.evaluation.measure import area_range, measure
from echo_train.evaluation.robustness import measure_noise
from echo_train.evaluation.trained_model import CHECKPOINTS, Model, load_model
from echo_train.metrics.results import SplitResults
from echo_train.reporting.plots import draw_attention, draw_overlay
from echo_train.reporting.robustness_table import NoiseRow
from echo_train.runs import run_folder
from echo_train.runs.resume import store_keys
from echo_train.runtime import device as devices

SPLITS = ("test", "val", "train", "all")
"""What can be measured; the first is the default."""

SHOWN = 12
"""Frames on the overlay sheet."""

ATTENDED = 6
"""Frames of them on the sheet of attention maps."""

Measured = Mapping[str, tuple[SplitResults, float]]
"""SplitResults and mean loss by split, as summary.json names it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateSettings:
    """Settings of `echo-eval`.

    Attributes
    ----------
    store : Path or None
        None for the one that the run was trained on.
    split : str
        One of `SPLITS`; ``all`` measures each split, and all frames together.
    checkpoint : str
        A name of `echo_train.evaluation.trained_model.CHECKPOINTS`.
    out : Path or None
        None for a folder in the run's, or beside the runs where there are several.
    noise : bool
        Measure under graded corruptions as well.
    noise_seed : int
    device : str
    """

    store: Path | None = setting(None, "Another store; by default the run's own.")
    split: str = setting(SPLITS[0], "Which frames; all: each split, and all.", choices=SPLITS)
    checkpoint: str = setting(
        next(iter(CHECKPOINTS)), "Which of the run's states.", choices=tuple(CHECKPOINTS)
    )
    out: Path | None = setting(
        None,
        "Folder for the results; by default eval-SPLIT in the run's folder, or beside several.",
    )
    noise: bool = setting(False, "Measure under graded corruptions of the images as well.")
    noise_seed: int = setting(0, "Decides the random corruptions.", minimum=0)
    device: str = setting("auto", "auto, cpu, cuda, cuda:1, …")


class Bench:
    """A model of a run, and the store that it is measured on.

    Parameters
    ----------
    folder : Path
        The run.
    settings : EvaluateSettings
    device : torch.device

    Raises
    ------
    RunError
        If the folder holds no run, or its checkpoint cannot be read.
    StoreError
        If the store is not there, is damaged, or lacks what the run learnt.
    """

    def __init__(self, folder: Path, settings: EvaluateSettings, device: torch.device) -> None:
        self.model = load_model(folder, settings.checkpoint, device)
        self.store = EchoStore(settings.store or self.model.settings.selection.store)
        choice = choose(self.store, self.model.settings.selection)
        self.own = store_keys(self.store, choice) == self.model.store
        own = replace(self.model.settings.data, loader="auto")
        if not self.own:
            # Folds and draws divide the frames that the run was trained on, and no others.
            own = replace(own, folds=0, fold=None, split_by="store", train_images=None)
        self.loader = make_loader(self.store, choice, own, self.model.device)

    def orders(self, split: str) -> dict[str, np.ndarray]:
        """The frames of each split to measure, by the split's name; see `SPLITS`.

        Raises
        ------
        NotInStoreError
            If there are none.
        """
        frames = self.loader.frames
        names = [name for name in schema.SPLITS if split in ("all", name.lower())]
        orders = {name.lower(): frames.indices(name) for name in names}
        if split == "all":
            orders["all"] = np.arange(len(frames))
        orders = {name: order for name, order in orders.items() if len(order)}
        if not orders:
            there = [name.lower() for name in schema.SPLITS if len(frames.indices(name))]
            raise NotInStoreError(
                f"{self.store.path} has no readable frame of the split {split} for "
                f"{self.model.folder}; it has {', '.join(there) or 'none at all'}"
            )
        return orders

    def area_range(self) -> tuple[float, float] | None:
        """Range of the training split's areas: counted, or as the run's summary.json has it."""
        if self.own:
            return area_range(self.store, self.model.choice, self.loader.frames)
        if not (self.model.folder / run_folder.SUMMARY).exists():
            return None
        told = run_folder.read_summary(self.model.folder).get("training_area")
        return (told[0], told[1]) if told else None


def evaluate(
    folder: Path,
    out: Path,
    settings: EvaluateSettings,
    device: torch.device,
    progress: Progress[Any] = silent,
) -> list[NoiseRow]:
    """Measure a run, and write summary.json, frames.csv and the pictures.

    Parameters
    ----------
    folder : Path
        The run.
    out : Path
        Folder for the results; what an earlier call left there is replaced.
    settings : EvaluateSettings
    device : torch.device
    progress : Progress
        Wraps the batches.

    Returns
    -------
    noise : list of NoiseRow
        Of the last split that was measured; empty where no corruptions were
        asked for.

    Raises
    ------
    EchoError
        As `Bench` does, or where the split has no frames.
    """
    started = time.perf_counter()
    bench = Bench(folder, settings, device)
    model, orders = bench.model, bench.orders(settings.split)
    areas = bench.area_range()
    measured = measure_splits(model, bench.loader, orders, areas, progress)
    seconds = time.perf_counter() - started
    out.mkdir(parents=True, exist_ok=True)
    write_measured(
        out,
        model,
        bench.loader,
        measured,
        {
            "run": str(folder),
            "store": str(bench.store.path),
            "checkpoint": model.checkpoint,
            "epoch": model.epoch,
            "seconds": seconds,
            "images_per_second": sum(map(len, orders.values())) / seconds,
            "training_area": areas,
        },
    )
    if not settings.noise:
        return []
    return measure_noise(
        model, bench.loader, list(orders.values())[-1], areas, settings.noise_seed, progress
    )


def measure_splits(
    model: Model,
    loader: Loader,
    orders: Mapping[str, np.ndarray],
    areas: tuple[float, float] | None,
    progress: Progress[Any] = silent,
) -> Measured:
    """Measure a model on each split that has frames, with `measure`."""
    return {
        name: measure(model, loader, order, areas, progress)
        for name, order in orders.items()
        if len(order)
    }


def write_measured(
    folder: Path, model: Model, loader: Loader, measured: Measured, told: Mapping[str, Any]
) -> None:
    """Write summary.json, frames.csv and the pictures of a measured model.

    The frames of frames.csv are those of every split, each once and as in the
    first that has it; the pictures are of the last one.

    Parameters
    ----------
    folder : Path
    model : Model
    loader : Loader
    measured : Measured
        At least one split.
    told : mapping
        What summary.json says beside model, settings and figures.
    """
    lines: dict[str, str] = {}
    for figures, _ in measured.values():
        for line in figures.table().splitlines():
            # By the row alone: in a batch with other frames, a figure's last digits may differ.
            lines.setdefault(line.split(",", 1)[0], line)
    atomic.write_text(folder / run_folder.FRAMES, "\n".join(lines.values()) + "\n")
    _draw_sheets(folder, model, loader, *list(measured.items())[-1])
    splits = {
        name: {"loss": loss, **figures.summary()} for name, (figures, loss) in measured.items()
    }
    run_folder.write_summary(
        folder,
        {
            "target": model.settings.selection.target,
            "choice": str(model.choice),
            **told,
            "parameters": model.parameters(),
            "device": devices.describe(model.device),
            "settings": run_folder.read_config(model.folder),
            **splits,
        },
    )


def _draw_sheets(
    folder: Path, model: Model, loader: Loader, split: str, measured: tuple[SplitResults, float]
) -> None:
    figures, _ = measured
    scores = figures.dice()
    # From the worst to the best at equal steps of rank: neither a choice nor a lucky draw.
    ranks = np.unique(np.linspace(0, len(scores) - 1, SHOWN).round().astype(int))
    picked = np.argsort(scores, kind="stable")[ranks]
    index = figures.index[picked]
    (batch,) = loader.in_gray().batches(index, len(index))
    draw_overlay(
        folder / run_folder.OVERLAY,
        loader.pixels(index),
        loader.frames.phase[index],
        model.target.predict(model.logits(batch.images)),
        scores[picked],
        title=f"{model.choice}: {len(picked)} of {len(scores)} frames of {split}, worst to best",
    )
    few = slice(None, None, max(1, len(picked) // ATTENDED))
    maps = model.attention(batch.images[few][:ATTENDED])
    if maps:
        draw_attention(
            folder / run_folder.ATTENTION,
            loader.pixels(index[few][:ATTENDED]),
            maps,
            title=f"{model.choice}: where the gates look in {len(maps[0])} of {len(scores)} frames "
            f"of {split}, worst first",
        )
