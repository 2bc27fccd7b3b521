"""When and how a run may go on: with the same settings and the same store."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from echo_common.cli.settings import to_table
from echo_common.errors import RunError
from echo_common.store.reader import EchoStore
from echo_train.runs import run_folder
from echo_train.runs.checkpoint import load_checkpoint, save_checkpoint
from echo_train.training.trainer import Trainer

_FREE_TO_CHANGE = ("device", "compile", "patience", "tensorboard", "run", "resume")
"""Settings that may differ where a run goes on: none of them decides an epoch's result."""


def check_same(
    before: Mapping[str, Any], now: Mapping[str, Any], folder: Path, free: Sequence[str] = ()
) -> None:
    """Compare a run's config.toml with the settings that are to go on with it.

    Parameters
    ----------
    before : mapping
        The content of config.toml.
    now : mapping
        The settings, from `echo_common.cli.settings.to_table`.
    folder : Path
    free : sequence of str
        More settings that may differ.

    Raises
    ------
    RunError
        If they differ in what decides the weights; the message names it.
    """
    may_differ = {*_FREE_TO_CHANGE, *free}
    if now["schedule"] == "constant" == before.get("schedule"):
        # Any other schedule has its whole course laid out by the number of epochs.
        may_differ.add("epochs")
    changed = sorted(
        name for name in {*now, *before} - may_differ if now.get(name) != before.get(name)
    )
    if changed:
        told = "; ".join(
            f"{name} was {before.get(name, 'not set')} and is {now.get(name, 'not set')}"
            for name in changed
        )
        raise RunError(
            f"{folder} was begun with other settings: {told}; leave "
            f"these options out to go on with it, or give a new --run"
        )


@contextlib.contextmanager
def resumable(folder: Path, options: str = "") -> Iterator[None]:
    """Say how to go on where a run is stopped by Ctrl-C or a full disk.

    Parameters
    ----------
    folder : Path
    options : str
        What the command needs beside the folder, and a space.

    Raises
    ------
    KeyboardInterrupt
        With the command that goes on.
    RunError
        If the disk is full.
    """
    command = f"echo-train {options}--resume --run {folder}"
    try:
        yield
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(f"go on after the last complete epoch with: {command}") from stop
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise RunError(
            f"the disk is full, and {folder} keeps the last epoch that was saved; free some "
            f"space and go on with: {command}"
        ) from error


def save(trainer: Trainer, folder: Path, store: EchoStore, better: bool) -> None:
    """Save the state after an epoch: the best weights where they are better, then the last.

    In this order, and metrics.csv after both: a run that is killed in between
    goes on from the last checkpoint, and comes by the same best weights again.
    """
    told = {
        "history": [dataclasses.asdict(row) for row in trainer.history],
        "best": dataclasses.asdict(trainer.best) if trainer.best else None,
        "store": trainer.choice.array_keys(store),
        "target": trainer.target.state(),
        "architecture": dataclasses.asdict(trainer.architecture),
        "shape": list(trainer.frames.shape),
    }
    if better:
        save_checkpoint(folder / run_folder.BEST, {"network": trainer.judged.state_dict(), **told})
    state = {
        "network": trainer.network.state_dict(),
        "average": trainer.average.state_dict() if trainer.average else None,
        "optimiser": trainer.optimiser.state_dict(),
        **told,
    }
    save_checkpoint(folder / run_folder.LAST, state)
    run_folder.write_metrics(folder, trainer.history)


def take_up(trainer: Trainer, folder: Path, store: EchoStore) -> None:
    """Give a trainer the state after the last complete epoch of a run; there may be none yet.

    Raises
    ------
    RunError
        If the run is of other settings or another store, or its checkpoint
        cannot be read.
    """
    # A store may have been moved: what it holds is compared, and not where it is.
    check_same(run_folder.read_config(folder), to_table(trainer.settings), folder, free=["store"])
    if trainer.process.is_first:
        run_folder.remove_unfinished(folder)
    if not (folder / run_folder.LAST).exists():
        return
    state = load_checkpoint(folder / run_folder.LAST, trainer.device)
    before, now = state.get("store", {}), trainer.choice.array_keys(store)
    changed = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    if changed:
        raise RunError(
            f"{store.path} is not the store that {folder} was begun with, or was built anew since: "
            f"other {', '.join(changed)}; give a new --run, or the store of then"
        )
    try:
        _load(trainer, state)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).strip().split("\n")[-1].strip()
        raise RunError(
            f"{folder / run_folder.LAST} does not fit its run ({reason}); start again with a new "
            "--run"
        ) from error


def _load(trainer: Trainer, state: dict[str, Any]) -> None:
    trainer.network.load_state_dict(state["network"])
    trainer.optimiser.load_state_dict(state["optimiser"])
    if trainer.average:
        trainer.average.load_state_dict(state["average"])
    trainer.history = [run_folder.EpochRow(**row) for row in state["history"]]
    trainer.best = run_folder.EpochRow(**state["best"]) if state["best"] else None
