"""The device that a run computes on, and how it is best used."""

from __future__ import annotations

import contextlib
import functools
import math
import os
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from echo_common.errors import RunError, SettingsError

NO_MEMORY = ("can't allocate memory", "not enough memory", "invalid buffer size")
"""Words of torch when the memory of the CPU is full; it has no exception of its own."""


def pick_device(name: str, local: int = 0) -> torch.device:
    """Turn ``auto``, ``cpu``, ``cuda`` or ``cuda:1`` into a device that is there.

    Parameters
    ----------
    name : str
    local : int
        Which GPU ``auto`` and ``cuda`` are: each of the processes that train
        together on a machine has its own.

    Raises
    ------
    SettingsError
        If there is no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        if device.type == "cuda" and device.index is None:
            device = torch.device("cuda", local)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().split("\n")[0]
        raise SettingsError(
            f"no device {name!r} here ({reason}); choose --device auto or cpu"
        ) from error
    return device


def uses_bf16(device: torch.device, wanted: bool) -> bool:
    """Whether to compute in bfloat16: where it is wanted, on a GPU that is fast at it."""
    return wanted and device.type == "cuda" and torch.cuda.is_bf16_supported()


def autocast(device: torch.device, bf16: bool) -> contextlib.AbstractContextManager[object]:
    """Compute in bfloat16, or in float32; see `uses_bf16`."""
    if uses_bf16(device, bf16):
        return torch.autocast("cuda", torch.bfloat16)
    return contextlib.nullcontext()


def compiled(network: nn.Module, device: torch.device, wanted: bool) -> nn.Module:
    """Compile a network where it is wanted, on CUDA; elsewhere give it back as it is."""
    if wanted and device.type == "cuda":
        # One shape alone is ever given to it, so nothing need be dynamic.
        network = torch.compile(network, dynamic=False)  # type: ignore[assignment]
    return network


def describe(device: torch.device) -> str:
    """Name the device as a person knows it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"


def free_memory(device: torch.device) -> int:
    """Bytes that can still be had on a device, or on the host for one that shares its memory."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = _table(Path("/proc/meminfo")).get("MemAvailable:")
    if free is None:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return int(min(1024 * free, _free_in_container()))


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


def describe_use(device: torch.device, compile: bool, bf16: bool) -> str:
    """Name the device, and say how it computes: what was asked for may not be to be had."""
    number = "bfloat16" if uses_bf16(device, bf16) else "float32"
    how = "compiled" if compile and device.type == "cuda" else "not compiled"
    return f"{describe(device)}; {number}, {how}"


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given; before a clock is read."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextlib.contextmanager
def memory_explained(device: torch.device, advice: str) -> Iterator[None]:
    """Turn a lack of memory into a message that says what to lower.

    Raises
    ------
    RunError
        If the memory of the device did not suffice for what the block did.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        known = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not known and not any(words in str(error) for words in NO_MEMORY):
            raise
        raise RunError(f"the memory of {describe(device)} is full; {advice}") from error


def _free_in_container() -> float:
    # Linux tells a container the memory of the whole machine; its own limit stands elsewhere.
    # What it holds of files can be dropped, so only what processes hold counts as used.
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text().strip()
    except OSError:
        return math.inf
    used = _table(group / "memory.stat").get("anon", 0)
    return math.inf if limit == "max" else max(int(limit) - used, 0)


def _table(path: Path) -> dict[str, int]:
    """Names and numbers of a file of the kernel's; nothing where there is no such file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return {words[0]: int(words[1]) for line in lines if len(words := line.split()) > 1}
