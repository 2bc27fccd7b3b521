"""Advice for a run that did not fit into memory: it names a value that does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from echo_common.cli.settings import replace
from echo_common.errors import RunError
from echo_train.runtime.distributed import ONLY_PROCESS, Process
from echo_train.training import memory_advice
from echo_train.training.memory_advice import USABLE, advise_smaller, settings_bytes
from echo_train.training.train import train
from support.training import tiny

CPU = torch.device("cpu")


def test_the_highest_batch_size_that_fits_is_named(
    small_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tiny(small_store, batch_size=64, width=8)
    for batch_size in (32, 4):
        size = settings_bytes(replace(settings, batch_size=batch_size), (112, 112), CPU)
        monkeypatch.setattr(memory_advice, "free_memory", lambda device, size=size: size / USABLE)
        advice = advise_smaller(settings, CPU, ONLY_PROCESS)
        assert advice == f"lower --batch-size to {batch_size} (it is 64)"


def test_a_lower_width_is_named_if_no_batch_fits(
    small_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tiny(small_store, batch_size=2, width=64)
    size = settings_bytes(replace(settings, width=16), (112, 112), CPU)
    monkeypatch.setattr(memory_advice, "free_memory", lambda device: size / USABLE)
    assert advise_smaller(settings, CPU, ONLY_PROCESS) == "lower --width to 16 (it is 64)"
    monkeypatch.setattr(memory_advice, "free_memory", lambda device: 0)
    assert "use another --device" in advise_smaller(settings, CPU, ONLY_PROCESS)


def test_processes_share_a_batch(small_store: Path) -> None:
    settings = tiny(small_store, batch_size=8, width=8)
    own = settings_bytes(settings, (112, 112), CPU, Process(world_size=4))
    assert own == settings_bytes(replace(settings, batch_size=2), (112, 112), CPU)


def test_a_network_that_is_too_large_leaves_no_folder(small_store: Path, tmp_path: Path) -> None:
    width = 1 << 20
    with pytest.raises(
        RunError, match=rf"memory of cpu.* is full; lower --width to \d+ \(it is {width}\)"
    ):
        train(tiny(small_store, tmp_path / "run", width=width))
    assert not (tmp_path / "run").exists()
