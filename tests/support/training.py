"""Runs small enough for a test: a U-Net of width 2, a few epochs, the CPU."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from echo_train.config import TrainSettings

TINY = TrainSettings(width=2, epochs=2, batch_size=4, learning_rate=0.01, device="cpu")


def tiny(store: Path, run: Path | None = None, **changes: Any) -> TrainSettings:
    """Settings of a run that takes about a second on the small store."""
    return dataclasses.replace(TINY, store=store, run=run, **changes)


def checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint as any reader may load it: nothing in it is executed."""
    return torch.load(path, map_location="cpu", weights_only=True)


def assert_same_states(left: Any, right: Any, where: str = "state") -> None:
    """Two nested states hold the same keys and, bit for bit, the same values."""
    assert type(left) is type(right), where
    if isinstance(left, torch.Tensor):
        assert torch.equal(left, right), where
    elif isinstance(left, dict):
        assert left.keys() == right.keys(), where
        for key in left:
            assert_same_states(left[key], right[key], f"{where}.{key}")
    elif isinstance(left, list | tuple):
        assert len(left) == len(right), where
        for place, (one, other) in enumerate(zip(left, right, strict=True)):
            assert_same_states(one, other, f"{where}[{place}]")
    else:
        assert left == right, where
