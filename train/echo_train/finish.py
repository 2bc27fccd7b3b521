"""The end of a run: the best state measured on validation and test, and the pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from echo_common import atomic
from echo_common.errors import RunError

from echo_train import device as devices
from echo_train import run
from echo_train.pictures import draw_attention, draw_curves, draw_overlay
from echo_train.results import Results

if TYPE_CHECKING:
    from echo_train.loop import Trainer

SHOWN = 12
"""Frames on the overlay sheet."""

ATTENDED = 6
"""Frames of them on the sheet of attention maps."""


def finish(trainer: Trainer, folder: Path) -> None:
    """Measure the best state of a run and write summary.json, frames.csv and the pictures.

    Raises
    ------
    RunError
        If no epoch had a validation Dice.
    """
    if trainer.best is None:
        raise RunError(f"no epoch of {folder} has a validation Dice; lower --learning-rate")
    best = run.load_checkpoint(folder / run.BEST, trainer.device)
    trainer.judged.load_state_dict(best["network"])
    measured: dict[str, Results] = {}
    splits = {}
    for split in ("VAL", "TEST"):
        order = trainer.frames.indices(split)
        if len(order):
            measured[split], loss = trainer.evaluate(order)
            splits[split.lower()] = {"loss": loss, **measured[split].summary()}
    write_frames(folder, list(measured.values()))
    draw_curves(folder / "curves.png", trainer.history)
    _draw_sheet(trainer, folder, *reversed(measured.items()))
    history = trainer.history
    run.write_summary(
        folder,
        {
            "target": trainer.settings.target,
            "choice": str(trainer.choice),
            "best_epoch": trainer.best.epoch,
            "epochs": len(history),
            "seconds": sum(row.seconds for row in history),
            "images_per_second": _harmonic_mean([row.images_per_second for row in history]),
            "parameters": trainer.parameters(),
            "device": devices.describe(trainer.device),
            "settings": run.read_config(folder),
            **splits,
        },
    )


def write_frames(folder: Path, measured: list[Results]) -> None:
    """Write frames.csv, a row per frame of all the splits given."""
    tables = [results.table().splitlines() for results in measured]
    lines = [tables[0][0], *(line for table in tables for line in table[1:])]
    atomic.write_text(folder / run.FRAMES, "\n".join(lines) + "\n")


def _draw_sheet(
    trainer: Trainer, folder: Path, shown: tuple[str, Results], *others: tuple[str, Results]
) -> None:
    split, results = shown
    scores = results.dice()
    # From the worst to the best at equal steps of rank: neither a choice nor a lucky draw.
    ranks = np.unique(np.linspace(0, len(scores) - 1, SHOWN).round().astype(int))
    picked = np.argsort(scores, kind="stable")[ranks]
    draw_overlay(
        folder / "overlay.png",
        trainer.loader.pixels(results.index[picked]),
        trainer.frames.phase[results.index[picked]],
        trainer.predict(results.index[picked]),
        scores[picked],
        title=f"{trainer.choice}: {len(picked)} of {len(scores)} frames of {split}, worst to best",
    )
    few = results.index[picked[:: max(1, len(picked) // ATTENDED)][:ATTENDED]]
    maps = trainer.attention(few)
    if maps:
        draw_attention(
            folder / "attention.png",
            trainer.loader.pixels(few),
            maps,
            title=f"{trainer.choice}: where the gates look in {len(few)} frames of {split}",
        )


def _harmonic_mean(rates: list[float]) -> float:
    return len(rates) / sum(1 / rate for rate in rates)
