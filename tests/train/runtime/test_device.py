"""Devices: which one is chosen, and what is said if a GPU cannot be used."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
import torch

from echo_common.errors import SettingsError
from echo_train.runtime import nvidia
from echo_train.runtime.device import pick_device

OLD = (
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  470.82.01  Wed Oct 27 21:21:55 UTC 2021\n"
    "GCC version:  gcc version 9.3.0 (Ubuntu 9.3.0-17ubuntu1~20.04)\n"
)
OPEN = (
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build  "
    "(archlinux-builder@archlinux)\nGCC version:  gcc version 15.2.1\n"
)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A machine with neither a GPU nor its driver."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(nvidia, "DRIVER", tmp_path / "version")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    return monkeypatch


def test_auto_is_the_cpu_without_a_gpu(no_gpu: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    assert pick_device("auto", say=said.append) == torch.device("cpu")
    assert not said


def on_another_device(patch: pytest.MonkeyPatch) -> list[Any]:
    """Let torch accept devices that the machine lacks; gives those that became current."""
    current: list[Any] = []
    patch.setattr(torch, "empty", lambda size, device: None)
    patch.setattr(torch.cuda, "set_device", current.append)
    patch.setattr(torch.cuda, "device_count", lambda: 2)
    return current


def test_auto_is_cuda_then_mps_then_the_cpu(no_gpu: pytest.MonkeyPatch) -> None:
    current = on_another_device(no_gpu)
    no_gpu.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device("auto") == torch.device("mps")
    no_gpu.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto", local_rank=1) == torch.device("cuda:1")
    assert pick_device("cuda:0") == torch.device("cuda:0")
    # Each process of torchrun exchanges on a GPU of its own.
    assert current == [torch.device("cuda:1"), torch.device("cuda:0")]


def test_more_processes_than_gpus_are_refused(no_gpu: pytest.MonkeyPatch) -> None:
    on_another_device(no_gpu)
    no_gpu.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(SettingsError, match=r"cuda:2 .*has 2 GPUs;.*start fewer --processes"):
        pick_device("auto", local_rank=2)


@pytest.mark.parametrize(
    ("driver", "cuda", "parts"),
    [
        (OLD, "12.8", ("driver 470.82.01 is too old for CUDA 12.8", "525.60 or newer")),
        (OLD, "13.0", ("needs 580.65 or newer",)),
        (OPEN, None, ("driver 580.95.05", "build without CUDA", "install torch with CUDA")),
        (OPEN, "13.0", ("cannot reach", "driver 580.95.05", "--gpus all")),
    ],
    ids=["old", "older", "no CUDA", "container"],
)
def test_a_gpu_that_torch_cannot_use_is_told_in_a_line(
    no_gpu: pytest.MonkeyPatch, driver: str, cuda: str | None, parts: tuple[str, ...]
) -> None:
    nvidia.DRIVER.write_text(driver)
    no_gpu.setattr(torch.version, "cuda", cuda)
    said: list[str] = []
    assert pick_device("auto", say=said.append) == torch.device("cpu")
    (line,) = said
    assert line.startswith("note: ") and "\n" not in line
    with pytest.raises(SettingsError, match="device 'cuda' is not available") as error:
        pick_device("cuda")
    for part in parts:
        assert part in line and part in str(error.value)


def test_the_driver_of_wsl2_is_read_from_nvidia_smi(
    no_gpu: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 470.82\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    no_gpu.setattr(torch.version, "cuda", "13.0")
    assert "driver 470.82 is too old" in str(nvidia.obstacle())
    program.write_text("#!/bin/sh\necho No devices were found\nexit 6\n")
    assert nvidia.obstacle() is None


@pytest.mark.parametrize("hidden", ["", "-1"])
def test_a_gpu_that_the_user_hides_is_not_mentioned(
    no_gpu: pytest.MonkeyPatch, hidden: str
) -> None:
    nvidia.DRIVER.write_text(OLD)
    no_gpu.setitem(os.environ, "CUDA_VISIBLE_DEVICES", hidden)
    assert nvidia.obstacle() is None
