"""When and how a run may go on: with the same settings and the same store."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from echo_common.errors import RunError
from echo_common.store import schema
from echo_common.store.reader import EchoStore
from echo_train.data.frame_set import Choice

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


def store_keys(store: EchoStore, choice: Choice) -> dict[str, str]:
    """Keys of the arrays that a run learns from: another key is other data."""
    names = [schema.FRAMES, schema.mask_path(choice.method)]
    if choice.landmarks is not None:
        names += [choice.landmarks.points, choice.landmarks.heatmap(str(choice.falloff))]
    return {name: store.manifests[name].key for name in names}


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
