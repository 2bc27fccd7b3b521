"""Memory of the device of a run: how much is free, and what to do if it is full."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path

import torch

from echo_common.errors import RunError
from echo_train.runtime.device import describe

OUT_OF_CPU_MEMORY = ("can't allocate memory", "not enough memory", "invalid buffer size")
"""Parts of torch's messages if CPU memory is full, for which it has no exception class."""


def free_memory(device: torch.device) -> int:
    """Free memory of a device in bytes; for the CPU, the free memory of the host."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = _read_numbers(Path("/proc/meminfo")).get("MemAvailable:")
    if free is None:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return int(min(1024 * free, _free_in_container()))


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
