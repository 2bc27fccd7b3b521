"""The device of a run: its choice, free memory, precision and error messages.

Training, evaluation and prediction use it.
"""

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

OUT_OF_CPU_MEMORY = ("can't allocate memory", "not enough memory", "invalid buffer size")
"""Parts of torch's messages if CPU memory is full, for which it has no exception class."""


def pick_device(name: str, local_rank: int = 0) -> torch.device:
    """Choose an available device by name: ``auto``, ``cpu``, ``cuda`` or ``cuda:1``.

    Parameters
    ----------
    name : str
    local_rank : int
        Index of the GPU for ``auto`` and ``cuda``. In distributed training,
        each process of a machine has its own GPU.

    Raises
    ------
    SettingsError
        If the device is not available.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        if device.type == "cuda" and device.index is None:
            device = torch.device("cuda", local_rank)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().split("\n")[0]
        raise SettingsError(
            f"device {name!r} is not available ({reason}); choose --device auto or cpu"
        ) from error
    return device


def uses_bf16(device: torch.device, enabled: bool) -> bool:
    """Whether to compute in bfloat16: if enabled, on GPUs with hardware support."""
    return enabled and device.type == "cuda" and torch.cuda.is_bf16_supported()


def autocast(device: torch.device, bf16: bool) -> contextlib.AbstractContextManager[object]:
    """Compute in bfloat16 or float32; see `uses_bf16`."""
    if uses_bf16(device, bf16):
        return torch.autocast("cuda", torch.bfloat16)
    return contextlib.nullcontext()


def forward(network: nn.Module, images: Tensor, device: torch.device, bf16: bool) -> Tensor:
    """Run a network in the precision that `autocast` chooses.

    Parameters
    ----------
    network : nn.Module
    images : Tensor, (frame, channel, y, x) float
    device : torch.device
    bf16 : bool

    Returns
    -------
    logits : Tensor, (frame, channel, y, x) float32
    """
    with autocast(device, bf16):
        logits: Tensor = network(images.contiguous(memory_format=torch.channels_last))
    return logits.float()


def compile_on_cuda(network: nn.Module, device: torch.device, enabled: bool) -> nn.Module:
    """Compile a network on CUDA, if enabled; on other devices return it unchanged."""
    if enabled and device.type == "cuda":
        # The compiled network receives batches of one shape only.
        network = torch.compile(network, dynamic=False)  # type: ignore[assignment]
    return network


def describe(device: torch.device) -> str:
    """Name the device for a person."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"


def free_memory(device: torch.device) -> int:
    """Free memory of a device in bytes; for the CPU, the free memory of the host."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = _read_numbers(Path("/proc/meminfo")).get("MemAvailable:")
    if free is None:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return int(min(1024 * free, _free_in_container()))


@functools.lru_cache(maxsize=256)
def constant(
    values: tuple[float, ...], device: torch.device, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Return constants as a tensor on the device, cached after the first call.

    A copy from the host waits for all work queued on the device, so constants of
    every batch are copied only once. Do not modify the tensor.
    """
    # A tensor created in inference mode could not be used outside of it.
    with torch.inference_mode(False):
        return torch.tensor(values, device=device, dtype=dtype)


def describe_use(device: torch.device, compile: bool, bf16: bool) -> str:
    """Name the device, the precision that it computes in, and whether networks are compiled."""
    precision = "bfloat16" if uses_bf16(device, bf16) else "float32"
    compilation = "compiled" if compile and device.type == "cuda" else "not compiled"
    return f"{describe(device)}; {precision}, {compilation}"


def synchronise(device: torch.device) -> None:
    """Wait until the device has finished its queued work, before reading a clock."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextlib.contextmanager
def explain_full_memory(device: torch.device, advice: str) -> Iterator[None]:
    """Turn an out-of-memory error of the block into a message with advice.

    Raises
    ------
    RunError
        If the memory of the device was full.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        known = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not known and not any(words in str(error) for words in OUT_OF_CPU_MEMORY):
            raise
        raise RunError(f"the memory of {describe(device)} is full; {advice}") from error


def _free_in_container() -> float:
    # In a container, /proc/meminfo shows the whole machine; the limit is in the control group.
    # Cached files can be dropped, so only anonymous memory counts as used.
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text().strip()
    except OSError:
        return math.inf
    used = _read_numbers(group / "memory.stat").get("anon", 0)
    return math.inf if limit == "max" else max(int(limit) - used, 0)


def _read_numbers(path: Path) -> dict[str, int]:
    """Read names and numbers from a file of the kernel; empty if it does not exist."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return {words[0]: int(words[1]) for line in lines if len(words := line.split()) > 1}
