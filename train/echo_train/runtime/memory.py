"""Memory of the device of a run: how much is free, and what to do if it is full."""

from __future__ import annotations

import contextlib
import math
import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode

from echo_common.errors import RunError
from echo_train.runtime.device import describe

_FULL = (
    "out of memory",  # CUDA, Triton, NCCL, MPS
    "alloc_failed",  # cuBLAS, cuDNN
    "allocation_failed",  # cuDNN 9
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "invalid buffer size",
    "failed to cuda calloc",  # NCCL
)
"""Parts of the messages of full memory, in lower case; most have no exception class."""


def free_memory(device: torch.device) -> int:
    """Free memory of a device in bytes; for the CPU, the free memory of the host."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = _read_numbers(Path("/proc/meminfo")).get("MemAvailable:")
    if free is None:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return int(min(1024 * free, _free_in_groups(), _free_address_space()))


@contextlib.contextmanager
def explain_full_memory(device: torch.device, advice: Callable[[], str]) -> Iterator[None]:
    """Turn an out-of-memory error of the block into a message with advice.

    Parameters
    ----------
    advice : callable
        Returns what the user should do; called after the error.

    Raises
    ------
    RunError
        If the memory of the device was full.
    """
    try:
        yield
    except Exception as error:
        if not is_full_memory(error):
            raise
        raise RunError(f"the memory of {describe(device)} is full; {advice()}") from error


def is_full_memory(error: BaseException) -> bool:
    """Whether an error, or one that caused it, is that of full memory."""
    return any(
        isinstance(cause, MemoryError | torch.OutOfMemoryError)
        or any(words in str(cause).lower() for words in _FULL)
        for cause in _causes(error)
    )


def root_message(error: BaseException) -> str:
    """First line of the message of the error that caused others."""
    *_, root = _causes(error)
    lines = [line.strip() for line in str(root).splitlines() if line.strip()]
    return (lines[0] if lines else type(root).__name__)[:200]


def _causes(error: BaseException) -> Iterator[BaseException]:
    following: BaseException | None = error
    while following is not None:
        yield following
        # The errors of torch.compile keep their cause in an attribute of their own.
        following = following.__cause__ or getattr(following, "inner_exception", None)


def training_bytes(
    make: Callable[[], nn.Module], shape: tuple[int, int, int, int], precision: str
) -> int:
    """Estimate the memory that training a network needs at most, without its frames.

    Nothing is allocated or computed.

    Parameters
    ----------
    make : callable
        Makes the network.
    shape : tuple of int
        (frame, channel, y, x) of a batch of images.
    precision : str
        A key of `echo_train.runtime.precision.NAMES`.

    Returns
    -------
    size : int
        Bytes of the weights, their gradients, the two moments of Adam, what the
        forward pass keeps, and the largest pair of gradients of the backward pass.
    """
    kept: dict[int, Tensor] = {}

    def keep(values: Tensor) -> Tensor:
        kept[values.untyped_storage()._cdata] = values
        return values

    with FakeTensorMode():
        network, images = make().train(), torch.empty(shape)
        parameters = list(network.parameters())
        with (
            torch.autograd.graph.saved_tensors_hooks(keep, lambda values: values),
            torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"),
        ):
            network(images)
        for values in parameters:
            kept.pop(values.untyped_storage()._cdata, None)
        sizes = [values.untyped_storage().nbytes() for values in kept.values()]
    weights = sum(values.numel() for values in parameters)
    return 4 * 4 * weights + sum(sizes) + 2 * max(sizes)


def _free_in_groups(root: Path = Path("/")) -> float:
    """Free memory under the limits of this process's control groups, of version 1 or 2.

    In a container or a job of a cluster, /proc/meminfo shows the memory of the machine.
    """
    free = math.inf
    try:
        groups = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return free
    for line in groups:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        first = controllers == "memory"
        base = root / "sys/fs/cgroup" / controllers
        group = base / path.strip("/")
        # A limit of a group is one of all groups in it.
        for folder in (group, *group.parents):
            limit = _read_word(folder / ("memory.limit_in_bytes" if first else "memory.max"))
            if limit.isdigit():
                # Cached files can be dropped, so only anonymous memory counts as used.
                used = _read_numbers(folder / "memory.stat")
                free = min(free, int(limit) - used.get("total_rss" if first else "anon", 0))
            if folder == base:
                break
    return max(free, 0)


def _free_address_space() -> float:
    """Address space that this process may still take; see ``ulimit -v``."""
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return math.inf
    pages = _read_word(Path("/proc/self/statm"))
    return max(limit - int(pages or 0) * os.sysconf("SC_PAGE_SIZE"), 0)


def _read_word(path: Path) -> str:
    """First word of a file of the kernel; empty if there is none."""
    try:
        return (path.read_text(encoding="utf-8").split() or [""])[0]
    except OSError:
        return ""


def _read_numbers(path: Path) -> dict[str, int]:
    """Read names and numbers from a file of the kernel; empty if it does not exist."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return {words[0]: int(words[1]) for line in lines if len(words := line.split()) > 1}
