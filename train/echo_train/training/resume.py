"""Saving the state of a run after an epoch or a step, and resuming the run.

`echo_train.training.train` saves and restores; sweeps and the paper's experiments
check their settings and explain interruptions in the same way.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from echo_common.cli.settings import current_keys, to_table
from echo_common.errors import RunError
from echo_common.store.reader import EchoStore
from echo_train.data.frame_set import changed_content, data_set_of
from echo_train.evaluation.trained_model import TrainedModel, load_model
from echo_train.reporting.plots import curves_png
from echo_train.runs import run_folder
from echo_train.runs.background_writer import BackgroundWriter
from echo_train.runs.checkpoint import (
    DAMAGE,
    MAY_DIFFER,
    UNSAVED,
    checkpoint_bytes,
    describe_changes,
    host_copy,
    is_same_run,
    load_checkpoint,
)
from echo_train.training.optimiser import load_optimiser
from echo_train.training.settings import TrainSettings
from echo_train.training.trainer import Trainer


def save_state(
    trainer: Trainer, writer: BackgroundWriter, store: EchoStore, is_best: bool = False
) -> None:
    """Copy the state after an epoch or a step of it, and have it written while training goes on.

    Before the first step there is none.

    Raises
    ------
    RunError
        If a loss of the unfinished epoch is NaN or infinite.
    """
    unfinished = trainer.unfinished
    if not trainer.history and not unfinished:
        return
    common = {
        "history": [dataclasses.asdict(row) for row in trainer.history],
        "best": dataclasses.asdict(trainer.best) if trainer.best else None,
        "store": trainer.choice.array_keys(store),
        "content": trainer.choice.content(store),
        "fingerprint": dict(store.attributes.get("fingerprint") or {}),
        "target": trainer.target.state(),
        "architecture": dataclasses.asdict(trainer.architecture),
        "shape": list(trainer.frames.shape),
        "settings": to_table(trainer.settings, leave_out=UNSAVED),
        "began_with": trainer.began_with,
    }
    files: dict[str, Callable[[], bytes]] = {}
    if is_best:
        best = host_copy({"network": trainer.evaluated_network.state_dict(), **common})
        files[run_folder.BEST] = functools.partial(checkpoint_bytes, best)
    state = {
        "network": trainer.network.state_dict(),
        "average": trainer.ema.state_dict() if trainer.ema else None,
        "optimiser": trainer.optimiser.state_dict(),
        "unfinished": unfinished.state() if unfinished else None,
        **common,
    }
    files[run_folder.LAST] = functools.partial(checkpoint_bytes, host_copy(state))
    history, epochs = [*trainer.history], trainer.settings.training.epochs
    if history:
        files[run_folder.METRICS] = run_folder.metrics_csv(history).encode
    # A point is no curve; a short run draws its curves once, at the end.
    if len(history) > 1 or len(history) == epochs:
        files[run_folder.CURVES] = functools.partial(curves_png, history)
    writer.offer(files)


def initial_model(settings: TrainSettings) -> TrainedModel | None:
    """Load the model whose weights a run begins with; None for random ones, and on resuming.

    Raises
    ------
    RunError
        If it cannot be read.
    """
    init, folder = settings.architecture.init, settings.folder
    resumed = folder.resume and folder.run and (folder.run / run_folder.LAST).exists()
    return None if init is None or resumed else load_model(init, postprocess="none")


def restore_state(trainer: Trainer, folder: Path, store: EchoStore) -> None:
    """Restore the last saved state of a run, if there is one.

    Raises
    ------
    RunError
        If the run has other settings or another store, or its checkpoint cannot
        be loaded.
    """
    settings, config = to_table(trainer.settings), run_folder.read_config(folder)
    # The store may have been moved, so its content is compared and not its path.
    may_differ = ["store"]
    if (folder / run_folder.SUMMARY).exists() and settings["epochs"] > config.get("epochs", 0):
        # A finished run is extended, at the learning rates of the new number of epochs.
        may_differ += ["epochs", "steps"]
    check_settings(config, settings, folder, may_differ)
    path, best = folder / run_folder.LAST, folder / run_folder.BEST
    if not path.exists() and not path.is_symlink():
        return
    state = load_checkpoint(path)
    # config.toml may have been edited since, or an extension of the run was stopped at once.
    if (folder / run_folder.SUMMARY).exists():
        may_differ += ["epochs", "steps"]
    check_settings(state.get("settings", settings), settings, folder, may_differ)
    if best.exists() and not is_same_run(load_checkpoint(best)["history"], state["history"]):
        raise RunError(
            f"{best} and {path} are of different runs; restore both from a copy of the run, or "
            "give a new --run"
        )
    if state.get("unfinished") and trainer.process.world_size > 1:
        raise RunError(
            f"{path} is the state of a step within an epoch, which only one process resumes; start "
            "it without --processes or torchrun"
        )
    before, now = state["store"], trainer.choice.array_keys(store)
    changed = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    changed = changed or changed_content(state.get("content", {}), trainer.choice.content(store))
    if changed:
        raise RunError(
            f"{store.path} is not the store that {folder} was started with, or was rebuilt with "
            f"other data: {', '.join(changed)}; the run was started on {data_set_of(state)}, and "
            f"the store is made from {data_set_of(store.attributes)}; give a new --run, or the "
            "original store"
        )
    try:
        _load(trainer, state)
    except DAMAGE as error:
        reason = str(error).strip().split("\n")[-1].strip()
        raise RunError(
            f"{path} does not match the settings of its run ({reason}); give a new --run"
        ) from error


def _load(trainer: Trainer, state: dict[str, Any]) -> None:
    trainer.network.load_state_dict(state["network"])
    load_optimiser(trainer.optimiser, state["optimiser"])
    if trainer.ema:
        trainer.ema.load_state_dict(state["average"])
    trainer.began_with = str(state.get("began_with", ""))
    trainer.history = [run_folder.EpochRow(**row) for row in state["history"]]
    trainer.best = run_folder.EpochRow(**state["best"]) if state["best"] else None
    if unfinished := state.get("unfinished"):
        trainer.begin_epoch(len(trainer.history) + 1).restore(unfinished, trainer.device)


def check_settings(
    before: Mapping[str, Any],
    now: Mapping[str, Any],
    folder: Path,
    may_differ: Sequence[str] = (),
) -> None:
    """Check that a run is resumed with the settings that it was started with.

    Parameters
    ----------
    before : mapping
        The content of config.toml.
    now : mapping
        The settings, from `echo_common.cli.settings.to_table`.
    folder : Path
        The run, for the message.
    may_differ : sequence of str
        Additional settings that may differ.

    Raises
    ------
    RunError
        If a setting that affects the weights differs; the message names it.
    """
    # A setting that an earlier version lacked is as by default.
    defaults = {name: value for name, value in to_table(TrainSettings()).items() if name in now}
    before = {**defaults, **current_keys(TrainSettings, before)}
    ignored = [*MAY_DIFFER, *may_differ]
    if now["schedule"] == "constant" == before.get("schedule"):
        # The learning rates of the other schedules depend on the number of epochs.
        ignored.append("epochs")
    if differences := describe_changes(before, now, ignored):
        raise RunError(
            f"{folder} was started with other settings: {differences}; omit these options to "
            "resume it, or give a new --run"
        )


@contextlib.contextmanager
def explain_interruption(folder: Path, options: str = "") -> Iterator[None]:
    """Add the command that resumes a run to the message of Ctrl-C or a full disk.

    A run that has not written its settings yet cannot be resumed.

    Parameters
    ----------
    options : str
        Options of the command in addition to the folder, followed by a space.

    Raises
    ------
    KeyboardInterrupt
        With the command.
    RunError
        If the disk is full.
    """
    command = f"echo-train {options}--resume --run {folder}"
    try:
        yield
    except KeyboardInterrupt as interrupt:
        if not (folder / run_folder.CONFIG).exists():
            raise
        raise KeyboardInterrupt(f"resume with: {command}") from interrupt
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        if not (full and (folder / run_folder.CONFIG).exists()):
            raise
        raise RunError(
            f"the disk is full; {folder} contains the last saved epoch. Free some space and "
            f"resume with: {command}"
        ) from error
