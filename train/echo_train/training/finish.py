"""The end of a run: its best state measured on validation and test, and the pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from echo_common.errors import RunError
from echo_common.store.reader import EchoStore
from echo_train.evaluation.evaluate import measure_splits, write_measured
from echo_train.evaluation.measure import area_range
from echo_train.evaluation.trained_model import load_model
from echo_train.reporting.plots import CURVES, draw_curves

if TYPE_CHECKING:
    from echo_train.training.trainer import Trainer


def finish(trainer: Trainer, folder: Path, store: EchoStore) -> None:
    """Measure the best state of a run and write summary.json, frames.csv and the pictures.

    Raises
    ------
    RunError
        If no epoch had a validation Dice.
    """
    if trainer.best is None:
        raise RunError(f"no epoch of {folder} has a validation Dice; lower --learning-rate")
    draw_curves(folder / CURVES, trainer.history)
    model = load_model(folder, "best", trainer.device)
    orders = {name: trainer.frames.indices(name.upper()) for name in ("val", "test")}
    areas = area_range(store, trainer.choice, trainer.frames)
    history = trainer.history
    write_measured(
        folder,
        model,
        trainer.loader,
        measure_splits(model, trainer.loader, orders, areas),
        {
            "best_epoch": trainer.best.epoch,
            "epochs": len(history),
            "seconds": sum(row.seconds for row in history),
            "images_per_second": _harmonic_mean([row.images_per_second for row in history]),
            "training_area": areas,
        },
    )


def _harmonic_mean(rates: list[float]) -> float:
    return len(rates) / sum(1 / rate for rate in rates)
