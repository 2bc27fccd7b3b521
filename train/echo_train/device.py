"""The device that a run computes on, and how it is best used."""

from __future__ import annotations

import contextlib

import torch
from echo_common.errors import SettingsError


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


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given; before a clock is read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
