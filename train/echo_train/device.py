"""The device that a run computes on, and how it is best used."""

from __future__ import annotations

import contextlib
import functools

import torch
from echo_common.errors import SettingsError
from torch import Tensor


def pick_device(name: str) -> torch.device:
    """Turn ``auto``, ``cpu``, ``cuda`` or ``cuda:1`` into a device that is there.

    Raises
    ------
    SettingsError
        If there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().split("\n")[0]
        raise SettingsError(
            f"no device {name!r} here ({reason}); choose --device auto or cpu"
        ) from error
    return device


def autocast(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Compute in bfloat16 where a GPU is fast at it; in float32 elsewhere."""
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.autocast("cuda", torch.bfloat16)
    return contextlib.nullcontext()


def describe(device: torch.device) -> str:
    """Name the device as a person knows it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"


@functools.lru_cache(maxsize=256)
def constant(
    values: tuple[float, ...], device: torch.device, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Give numbers as a tensor that is on the device from the second time on.

    A copy from the host waits for all that the device was given before it; so
    what every batch needs is copied once. The tensor is not to be written to.
    """
    # One first asked for in inference mode would be no use outside it.
    with torch.inference_mode(False):
        return torch.tensor(values, device=device, dtype=dtype)


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given; before a clock is read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
