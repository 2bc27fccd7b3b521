"""One run, from its settings to its folder: train, save each epoch, measure the best weights.

`echo-train` and the experiments call `train`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from echo_common.cli.progress import Progress, show, silent
from echo_common.cli.settings import from_table, to_table, to_toml
from echo_common.errors import RunError
from echo_common.output_folder import OutputFolder
from echo_common.store.reader import EchoStore
from echo_train.data.resident import SharedArrays
from echo_train.evaluation.evaluate import measure_splits
from echo_train.evaluation.floor import read_training_split
from echo_train.evaluation.measured_files import write_measured
from echo_train.evaluation.postprocess import choose_postprocessing
from echo_train.evaluation.trained_model import load_model
from echo_train.reporting.plots import curves_png
from echo_train.runs import run_folder
from echo_train.runs.background_writer import BackgroundWriter
from echo_train.runs.loggers import Logger, log_end, metrics_of_epoch, open_loggers
from echo_train.runs.provenance import as_comments, provenance
from echo_train.runs.summary import read_summary
from echo_train.runtime import device as devices
from echo_train.runtime import distributed
from echo_train.runtime.distributed import ONLY_PROCESS, Process
from echo_train.runtime.signals import ended_like_ctrl_c, uninterrupted
from echo_train.training.forecast import describe_forecast, describe_run, describe_size
from echo_train.training.preparation import Say, prepared, with_sizes
from echo_train.training.progress_bar import ProgressBar
from echo_train.training.resume import explain_interruption, restore_state, save_state
from echo_train.training.settings import TrainSettings
from echo_train.training.trainer import Trainer

FEW_STEPS = 500
"""Steps below which a training is called short: ten patients needed them for their best Dice."""


def train(
    settings: TrainSettings,
    say: Say = lambda line: None,
    quiet: bool = True,
    process: Process = ONLY_PROCESS,
    shared: SharedArrays | None = None,
    observers: Sequence[Logger] = (),
) -> Path:
    """Train a network on a store, measure its best weights, and return the run folder.

    Parameters
    ----------
    say : callable
        Called with each line for the user.
    quiet : bool
        Show no progress on stderr.
    process : Process
        This process among those that train together.
    shared : SharedArrays, optional
        Arrays of earlier runs in this process, which are not read again.
    observers : sequence of Logger
        Take the metrics in addition to the loggers of the settings.

    Raises
    ------
    SettingsError
        If the settings contradict each other.
    StoreError
        If the store is missing, damaged, or lacks the target.
    RunError
        If the run folder cannot be used, or a loss is NaN or infinite.
    """
    settings.check()
    if settings.folder.resume and settings.folder.run is not None and settings.automatic():
        config = settings.folder.run / run_folder.CONFIG
        begun = from_table(TrainSettings, run_folder.read_config(settings.folder.run), config)
        settings = with_sizes(settings, begun.architecture.width, begun.training.batch_size)
    started = time.perf_counter()
    first_say = say if process.is_first else lambda line: None
    with prepared(settings, first_say, process, shared) as (store, trainer):
        settings, choice = trainer.settings, trainer.choice
        chosen, name = settings.folder, settings.folder_name(choice)
        folder = distributed.run_on_first(
            lambda: run_folder.choose_run_folder(chosen.run, chosen.resume, name), process
        )
        with explain_interruption(folder), contextlib.ExitStack() as stack:
            resume, output = settings.folder.resume, None
            if process.world_size == 1:
                # The launcher of several processes ends them with SIGTERM if one fails.
                stack.enter_context(ended_like_ctrl_c())
            if process.is_first:
                output = stack.enter_context(
                    run_folder.open_run_folder(folder, resume, inputs=[store.path])
                )
            if resume:
                restore_state(trainer, folder, store)
            if output is not None:
                _claim(output, settings, as_comments(_provenance(trainer, store)))
            first_say(describe_run(trainer))
            first_say(f"ready after {time.perf_counter() - started:.1f} s; run folder {folder}")
            if not quiet and len(trainer.history) < settings.training.epochs:
                first_say(describe_forecast(trainer))
                steps = settings.training.epochs * settings.training.steps_per_epoch(
                    len(trainer.frames.indices("TRAIN"))
                )
                if steps < FEW_STEPS and not trainer.began_with:
                    first_say(
                        f"note: {steps} steps in all are few for a network that begins at random; "
                        f"--steps {FEW_STEPS} trains longer"
                    )
            loggers = [*observers]
            if output is not None:
                done = len(trainer.history)
                table = to_table(settings, leave_out=("run", "resume"))
                loggers += stack.enter_context(open_loggers(chosen, table, folder, done))
            train_epochs(trainer, output, store, quiet or not process.is_first, loggers)
            distributed.disconnect()
            if output is not None:
                measure_run(trainer, output, store, silent if quiet else show)
                log_end(loggers, folder, read_summary(folder))
    return folder


def dry_run(settings: TrainSettings, say: Say, process: Process = ONLY_PROCESS) -> None:
    """Print what a run would need: memory, parameters, steps and time; write nothing.

    Parameters and errors are those of `train`.
    """
    settings.check()
    first_say = say if process.is_first else lambda line: None
    with prepared(settings, first_say, process) as (store, trainer):
        first_say(describe_run(trainer))
        first_say(describe_size(trainer, store))
        first_say(describe_forecast(trainer))


def train_epochs(
    trainer: Trainer,
    output: OutputFolder | None,
    store: EchoStore,
    quiet: bool = True,
    loggers: Sequence[Logger] = (),
) -> None:
    """Train the remaining epochs, and save the last and the best state while they train.

    Parameters
    ----------
    output : OutputFolder or None
        The run folder; None in a process that writes no files.
    quiet : bool
        Show no progress on stderr.
    loggers : sequence of Logger
        Take the metrics of each epoch.

    Raises
    ------
    RunError
        If a loss is NaN or infinite.
    """
    images, epochs = len(trainer.frames.indices("TRAIN")), trainer.settings.training.epochs
    done = trainer.images_trained()
    with contextlib.ExitStack() as stack:
        progress = stack.enter_context(ProgressBar(epochs * images, done, epochs, quiet))
        writer = stack.enter_context(BackgroundWriter(output)) if output is not None else None
        for epoch in range(len(trainer.history) + 1, epochs + 1):
            if trainer.out_of_patience():
                break
            try:
                row = trainer.train_epoch(epoch, progress)
                with uninterrupted():
                    is_best = trainer.add_epoch(row)
                    if writer is not None:
                        save_state(trainer, writer, store, is_best)
            except KeyboardInterrupt:
                # One of several processes has only its share of an epoch.
                if writer is not None and trainer.unfinished and trainer.process.world_size == 1:
                    save_state(trainer, writer, store)
                raise
            progress.show_epoch(row)
            for logger in loggers:
                logger.log_epoch(epoch, metrics_of_epoch(row))
    if output is not None and done == trainer.images_trained():
        # A run that was killed after its last state may lack them.
        output.write_text(run_folder.METRICS, run_folder.metrics_csv(trainer.history))
        output.write_bytes(run_folder.CURVES, curves_png(trainer.history))


def measure_run(
    trainer: Trainer, output: OutputFolder, store: EchoStore, progress: Progress[Any] = silent
) -> None:
    """Measure the best weights of a run, and write summary.json, frames.csv and pictures.

    Raises
    ------
    RunError
        If no epoch had a validation Dice.
    """
    folder = output.folder
    if trainer.best is None:
        raise RunError(f"no epoch of {folder} has a validation Dice; lower --learning-rate")
    model = load_model(folder, "best", trainer.device, postprocess="none")
    orders = {name: trainer.frames.indices(name.upper()) for name in ("val", "test")}
    training = read_training_split(store, trainer.choice, trainer.frames)
    areas = None if training is None else training.area_range
    history = trainer.history
    asked = trainer.settings.masks.postprocess
    model, facts = choose_postprocessing(model, asked, trainer.loader, orders["val"], progress)
    write_measured(
        output,
        model,
        trainer.loader,
        measure_splits(model, trainer.loader, orders, areas, progress),
        training,
        {
            "best_epoch": trainer.best.epoch,
            "epochs": len(history),
            "seconds": sum(row.seconds for row in history),
            "images_per_second": len(history) / sum(1 / row.images_per_second for row in history),
            "training_area": areas,
            "provenance": _provenance(trainer, store),
            **facts,
        },
    )


def _provenance(trainer: Trainer, store: EchoStore) -> dict[str, Any]:
    keys = trainer.choice.array_keys(store)
    facts = provenance(datetime.now(UTC), devices.describe(trainer.device), keys, store.attributes)
    return facts | ({"began_with": trainer.began_with} if trainer.began_with else {})


def _claim(output: OutputFolder, settings: TrainSettings, head: str) -> None:
    """Check that all files can be written before hours of training, and write config.toml."""
    if settings.folder.resume:
        # Those of a run of 0.1.0, whose checkpoint and settings have been checked by now.
        output.adopt(*run_folder.FILES)
    output.claim(*run_folder.FILES)
    extended = settings.folder.resume and settings.training.epochs != run_folder.read_config(
        output.folder
    ).get("epochs")
    if extended or not settings.folder.resume:
        output.write_text(run_folder.CONFIG, head + to_toml(settings, leave_out=("run", "resume")))
