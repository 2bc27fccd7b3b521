"""Distributed training: the processes, their shares of each batch, and their exchanges.

`torchrun` starts the processes and numbers them through environment variables.
A step uses the same samples and, except for rounding, changes the weights in the
same way as in one process: each process takes every n-th sample of the batch,
gradients are averaged, and batch normalisation covers the full batch.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.parallel import DistributedDataParallel

from echo_common.errors import EchoError, RunError, SettingsError

Value = TypeVar("Value")

_LOST_PEER = re.compile(
    r"(closed|reset) by peer|broken pipe|socket closed|remote process exited|connection refused",
    re.IGNORECASE,
)
"""What gloo and NCCL say if another process ended in the middle of an exchange."""

_SECONDS_TO_BE_ENDED = 30
"""Time in which a launcher notices a process that failed, and ends the others."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Process:
    """One of the processes that train a network together.

    Attributes
    ----------
    rank : int
        From 0. Only process 0 writes files and prints.
    world_size : int
        Number of processes.
    local_rank : int
        Rank among the processes on the same machine, which is the index of its GPU.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Process:
        """Read the environment variables of `torchrun`; without them, the only process."""
        if "WORLD_SIZE" not in environment or "RANK" not in environment:
            return cls()
        return cls(
            rank=int(environment["RANK"]),
            world_size=int(environment["WORLD_SIZE"]),
            local_rank=int(environment.get("LOCAL_RANK", 0)),
        )

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def batch_size(self, batch_size: int) -> int:
        """Number of samples that this process takes of a full batch."""
        return len(range(self.rank, batch_size, self.world_size))

    def share(self, order: np.ndarray, batch_size: int) -> np.ndarray:
        """Select the samples of this process from the order of all samples.

        Parameters
        ----------
        order : ndarray, (sample,) int64
        batch_size : int
            Samples of all processes together in a step, at least `world_size`.

        Returns
        -------
        share : ndarray, (sample,) int64
            For batches of ``self.batch_size(batch_size)``. If the last batch
            has fewer samples than there are processes, some samples go to
            several of them; see `loss_weight`.
        """
        if self.world_size == 1:
            return order
        batches = np.split(order, range(batch_size, len(order), batch_size))
        return np.concatenate([batch[self._own(len(batch))] for batch in batches])

    def loss_weight(self, batch_size: int) -> float:
        """Factor of this process's mean loss that makes the mean over processes correct.

        Parameters
        ----------
        batch_size : int
            Samples of all processes together in this step.
        """
        if batch_size >= self.world_size:
            return len(self._own(batch_size)) * self.world_size / batch_size
        copies = len(range(self.rank % batch_size, self.world_size, batch_size))
        return self.world_size / (batch_size * copies)

    def reports(self, batch_size: int) -> bool:
        """Whether this process, and no other with the same samples, reports on a batch."""
        return self.rank < batch_size

    def _own(self, batch_size: int) -> np.ndarray:
        """Indices of the samples that this process takes of a batch."""
        if batch_size < self.world_size:
            return np.array([self.rank % batch_size])
        return np.arange(self.rank, batch_size, self.world_size)


ONLY_PROCESS = Process()
"""The process of training that is not distributed."""


@contextlib.contextmanager
def connected(process: Process, device: torch.device) -> Iterator[None]:
    """Connect with the other processes, through NCCL on GPUs and gloo on CPUs.

    After an error the connection is left open: closing it would wait for the
    others, which wait for this process. `torchrun` ends them when this one ends.

    Raises
    ------
    SettingsError
        If the processes cannot train on this device.
    RunError
        If another process ended in the middle of an exchange.
    """
    if process.world_size == 1:
        yield
        return
    on_gpu = device.type == "cuda"
    if device.type != "cpu" and not (on_gpu and device.index == process.local_rank):
        raise SettingsError(
            f"{process.world_size} processes cannot share {device}; omit --device, so that each "
            "takes a GPU of its own, or give --device cpu"
        )
    dist.init_process_group(
        "nccl" if on_gpu else "gloo",
        rank=process.rank,
        world_size=process.world_size,
        # Without it, NCCL takes the current device for barriers and exchanged objects.
        device_id=device if on_gpu else None,
    )
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, EchoError) or not _LOST_PEER.search(str(error)):
            raise
        # The process that ended says why, and its launcher ends this one meanwhile.
        time.sleep(_SECONDS_TO_BE_ENDED)
        raise RunError("another process of this run has ended; its message says why") from error
    disconnect()


_ended: list[object] = []
"""The group of the last connection."""


def disconnect() -> None:
    """End the connection with the other processes, if there is one."""
    if dist.is_initialized():
        # The last reference to a group waits for its threads to end. The one that a network in
        # `DistributedDataParallel` has would keep Python's lock meanwhile, for which these threads
        # may wait themselves; one in Python releases it.
        _ended[:] = [dist.group.WORLD]
        dist.destroy_process_group()


def leave(code: int) -> None:
    """End this process with an exit code at once, if it is still connected with others.

    An ordinary exit could wait for messages from processes that wait for this one.
    """
    if dist.is_initialized():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def check_batches(process: Process, batch_size: int, frames: Mapping[str, int]) -> None:
    """Check that every process gets samples.

    Parameters
    ----------
    frames : mapping of str to int
        Number of frames by split.

    Raises
    ------
    SettingsError
        If a batch or a split has fewer samples than there are processes.
    """
    for name, size in (("--batch-size", batch_size), *frames.items()):
        if size < process.world_size:
            raise SettingsError(
                f"{process.world_size} processes cannot share {name} {size}; start fewer with "
                "torchrun --nproc-per-node"
            )


def run_on_first(function: Callable[[], Value], process: Process) -> Value:
    """Call a function in the first process and return its result in every process."""
    if process.world_size == 1:
        return function()
    results: list[Any] = [function() if process.is_first else None]
    dist.broadcast_object_list(results, src=0)
    return results[0]


def sum_over_processes(value: float, process: Process, device: torch.device) -> float:
    """Sum a number over all processes."""
    if process.world_size == 1:
        return value
    total = torch.tensor(value, dtype=torch.float64, device=device)
    dist.all_reduce(total)
    return float(total)


def synchronise_batch_norm(network: nn.Module, process: Process, device: torch.device) -> None:
    """Make the batch normalisation layers of a network cover the batches of all processes."""
    if process.world_size == 1:
        return
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        return
    for module in network.modules():
        for name, child in module.named_children():
            if type(child) is nn.BatchNorm2d:
                setattr(module, name, _SharedBatchNorm(child))


def data_parallel(network: nn.Module, process: Process, device: torch.device) -> nn.Module:
    """Average the gradients of a network over all processes in each backward pass."""
    if process.world_size == 1:
        return network
    return DistributedDataParallel(
        network, device_ids=[device.index] if device.type == "cuda" else None
    )


class _SharedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation over the batches of all processes; torch's own supports GPUs only."""

    def __init__(self, other: nn.BatchNorm2d) -> None:
        super().__init__(other.num_features, other.eps, other.momentum, dtype=other.weight.dtype)
        self.load_state_dict(other.state_dict())

    def forward(self, images: Tensor) -> Tensor:
        if not self.training:
            return super().forward(images)
        result_type = images.dtype
        if result_type in (torch.bfloat16, torch.float16):
            # Sums over all pixels need more digits, as in torch's own layer.
            images = images.float()
        own = images.new_tensor(images.numel() / self.num_features).reshape(1)
        sums = torch.cat([own, images.sum((0, 2, 3))])
        count, sums = all_reduce(sums).tensor_split([1])  # type: ignore[no-untyped-call]
        mean = sums / count
        offsets = images - mean[:, None, None]
        squares = offsets.square().sum((0, 2, 3))
        variance = all_reduce(squares) / count  # type: ignore[no-untyped-call]
        with torch.no_grad():
            assert self.running_mean is not None and self.running_var is not None
            assert self.num_batches_tracked is not None
            self.num_batches_tracked += 1
            # Without a momentum, statistics are the mean over all batches, as in torch's own layer.
            momentum = self.momentum or 1 / float(self.num_batches_tracked)
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance * count / (count - 1), momentum)
        scaled = offsets * (variance + self.eps).rsqrt()[:, None, None]
        normalised = scaled * self.weight[:, None, None] + self.bias[:, None, None]
        return normalised.to(result_type)
