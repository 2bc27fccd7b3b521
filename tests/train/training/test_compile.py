"""A network that cannot be compiled is trained uncompiled, and the reason is told in a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from echo_common.errors import RunError
from echo_train.runtime import device as devices
from echo_train.training.train import train
from support.training import assert_same_states, checkpoint, open_loader, tiny


def compile_with(monkeypatch: pytest.MonkeyPatch, backend: Any) -> None:
    """Let the CPU compile as CUDA does."""

    def compile_on_cpu(function: Any, device: torch.device, enabled: bool) -> Any:
        return torch.compile(function, dynamic=False, backend=backend) if enabled else function

    monkeypatch.setattr(devices, "compile_on_cuda", compile_on_cpu)


def failing(error: Exception) -> Any:
    def backend(graph: Any, inputs: Any) -> Any:
        raise error

    return backend


def test_a_failed_compilation_is_told_and_trained_without(
    small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = train(tiny(small_store, tmp_path / "plain", ema=0.5))
    compile_with(monkeypatch, failing(RuntimeError("Failed to find C compiler.\nSpecify it.")))
    said: list[str] = []
    folder = train(tiny(small_store, tmp_path / "run", ema=0.5), say=said.append)
    notes = [line for line in said if line.startswith("note: ")]
    assert notes == [
        "note: torch.compile failed, and the network runs uncompiled: Failed to find C compiler."
    ]
    assert said[1].endswith("not compiled")
    # The attempt leaves no trace in the weights, the running statistics or the random numbers.
    assert_same_states(
        checkpoint(plain / "last.pt")["network"], checkpoint(folder / "last.pt")["network"]
    )


def test_a_machine_without_a_compiler_trains(
    small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With torch's own backend, whose C++ compiler is not there."""
    from torch._inductor import config

    torch._dynamo.reset()
    compile_with(monkeypatch, "inductor")
    said: list[str] = []
    # monkeypatch would leave the settings deleted for later tests.
    with config.patch({"cpp.cxx": ("no-such-compiler",), "force_disable_caches": True}):
        train(tiny(small_store, tmp_path / "run", epochs=1), say=said.append)
    (note,) = [line for line in said if line.startswith("note: ")]
    assert "compiler" in note and "\n" not in note


def test_full_memory_while_compiling_is_no_failed_compilation(
    small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compile_with(monkeypatch, failing(torch.OutOfMemoryError("Tried to allocate 2.00 GiB")))
    with pytest.raises(RunError, match=r"memory of cpu.* is full; lower --batch-size to 2"):
        train(tiny(small_store, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_compiled_run_starts_from_the_same_state(
    small_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from echo_train.training.trainer import Trainer

    settings = tiny(small_store)
    compile_with(monkeypatch, "eager")
    trainer = Trainer(settings, *open_loader(settings), torch.device("cpu"))
    before = {name: values.clone() for name, values in trainer.network.state_dict().items()}
    assert trainer.try_compiled() is None
    assert trainer.compiled
    assert_same_states(dict(trainer.network.state_dict()), before)
    assert all(weights.grad is None for weights in trainer.network.parameters())
