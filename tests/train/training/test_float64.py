"""MPS has no float64: nothing that runs on the device of a run may need it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from echo_train.evaluation.trained_model import TrainedModel, load_model
from echo_train.prediction.segment import segment
from echo_train.training.train import train
from echo_train.training.trainer import Trainer
from support.training import tiny


class WithoutFloat64(TorchDispatchMode):
    """A device that refuses float64, as MPS does: "the MPS framework doesn't support float64"."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, torch.Tensor) and value.dtype is torch.float64:
                raise TypeError(f"{func}: this device does not support float64")
        return result


def refused_in(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[str]:
    """Refuse float64 in a function; gives the calls of it."""
    function: Callable[..., Any] = getattr(owner, name)
    calls = []

    def refusing(*arguments: Any, **named: Any) -> Any:
        calls.append(name)
        with WithoutFloat64():
            return function(*arguments, **named)

    monkeypatch.setattr(owner, name, refusing)
    return calls


def test_the_stand_in_refuses_float64() -> None:
    with pytest.raises(TypeError, match="float64"), WithoutFloat64():
        torch.ones(2).double()


@pytest.mark.parametrize(
    "changes",
    [
        {"target": "mask", "prior": "mean-mask", "prior_use": "channel", "augment": "strong"},
        {"target": "mask", "prior": "mean-mask", "loss": "bce-dice", "ema": 0.5, "clip_norm": 1.0},
        {"target": "landmarks", "shape_prior": True, "distance_weight": 0.1},
        {"target": "landmarks", "loss": "dsnt", "decoder": "dark"},
        {"target": "landmarks", "loss": "adaptive-wing", "decoder": "argmax"},
    ],
    ids=["channel", "weight", "landmarks", "dsnt", "adaptive-wing"],
)
def test_a_run_needs_no_float64_on_its_device(
    small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    loads = []
    load = torch.load

    def recorded(*arguments: Any, **named: Any) -> Any:
        loads.append(named["map_location"])
        return load(*arguments, **named)

    monkeypatch.setattr(torch, "load", recorded)
    calls = refused_in(monkeypatch, Trainer, "__init__")
    calls += refused_in(monkeypatch, Trainer, "train_epoch")
    measured = refused_in(monkeypatch, TrainedModel, "logits")
    folder = train(tiny(small_store, tmp_path / "run", epochs=1, **changes))
    train(tiny(small_store, folder, epochs=1, resume=True, **changes))
    assert measured
    model = load_model(folder)
    with WithoutFloat64():
        segment(model, torch.zeros(1, 112, 112, dtype=torch.uint8).numpy())
    # A checkpoint holds the shape prior in float64, and is loaded on the CPU. The second
    # training loads last.pt and, to compare their epochs, best.pt.
    assert set(loads) == {"cpu"} and len(loads) == 5
