"""When a run may go on: with the same settings and the same store."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from echo_common import schema
from echo_common.errors import RunError
from echo_common.store import EchoStore

from echo_train.config import TrainSettings
from echo_train.frames import Choice

_FREE_TO_CHANGE = ("epochs", "device", "run", "resume")
"""Settings that may differ where a run goes on: none of them changes an epoch's result."""


def check_same(before: dict[str, Any], settings: TrainSettings, folder: Path) -> None:
    """Compare a run's config.toml with the settings that are to go on with it.

    Raises
    ------
    RunError
        If they differ in what decides the weights; the message names it.
    """
    now = {
        name: str(value) if isinstance(value, Path) else value
        for name, value in dataclasses.asdict(settings).items()
        if name not in _FREE_TO_CHANGE and value is not None
    }
    before = {name: value for name, value in before.items() if name not in _FREE_TO_CHANGE}
    changed = sorted(name for name in {*now, *before} if now.get(name) != before.get(name))
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
