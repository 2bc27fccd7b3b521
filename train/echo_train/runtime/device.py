"""The device of a run: its choice, its name, and work on it.

Training, evaluation and prediction use it.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from echo_common.errors import SettingsError
from echo_train.runtime import nvidia
from echo_train.runtime.precision import NAMES

Compiled = TypeVar("Compiled", bound=Callable[..., Any])


def pick_device(
    name: str, local_rank: int = 0, say: Callable[[str], None] = lambda line: None
) -> torch.device:
    """Choose an available device by name: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.

    A GPU becomes the current device of CUDA, where libraries allocate memory.

    Parameters
    ----------
    local_rank : int
        Index of the GPU for ``auto`` and ``cuda``. In distributed training,
        each process of a machine has its own GPU.
    say : callable
        Called with a line if ``auto`` cannot use a GPU of the machine.

    Raises
    ------
    SettingsError
        If the device is not available.
    """
    automatic = name == "auto"
    if automatic:
        name = _fastest()
        obstacle = nvidia.obstacle() if name != "cuda" else None
        if obstacle:
            say(f"note: training and prediction run on {name}: {obstacle}")
    try:
        device = torch.device(name)
        if device.type == "cuda":
            device = torch.device("cuda", local_rank if device.index is None else device.index)
            if torch.cuda.is_available():
                _check_count(device)
                torch.cuda.set_device(device)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().split("\n")[0]
        if name.startswith("cuda") and not torch.cuda.is_available():
            reason = nvidia.obstacle() or reason
        raise SettingsError(
            f"device {name!r} is not available ({reason}); choose --device auto or cpu"
        ) from error
    return device


def _fastest() -> str:
    with warnings.catch_warnings():
        # Of an old driver, in several lines; `nvidia.obstacle` explains it in one.
        warnings.simplefilter("ignore")
        if torch.cuda.is_available():
            return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _check_count(device: torch.device) -> None:
    count = torch.cuda.device_count()
    if device.index >= count:
        raise SettingsError(
            f"{device} is not available: the machine has {count} GPUs; choose a lower number, or "
            "start fewer --processes"
        )


def compile_on_cuda(function: Compiled, device: torch.device, enabled: bool) -> Compiled:
    """Compile a network or a function on CUDA, if enabled; else return it unchanged."""
    if enabled and device.type == "cuda":
        # It receives batches of one shape only.
        function = cast(Compiled, torch.compile(function, dynamic=False))
    return function


def describe(device: torch.device) -> str:
    """Name the device for a person."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"


@functools.lru_cache(maxsize=256)
def constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Return constants as a tensor on the device, cached after the first call.

    A copy from the host waits for all work queued on the device, so constants of
    every batch are copied only once. Do not modify the tensor.
    """
    # A tensor created in inference mode could not be used outside of it.
    with torch.inference_mode(False):
        return torch.tensor(values, device=device, dtype=torch.float32)


def describe_use(device: torch.device, compiled: bool, precision: str) -> str:
    """Name the device, the precision that it computes in, and whether networks are compiled."""
    compilation = "compiled" if compiled else "not compiled"
    return f"{describe(device)}; {NAMES[precision]}, {compilation}"


def synchronise(device: torch.device) -> None:
    """Wait until the device has finished its queued work, before reading a clock."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
