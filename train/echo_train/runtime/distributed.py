"""Several processes that train one network: who one is, and which samples are whose.

`torchrun` starts the processes and says by environment variables who is who.
A step takes the same samples and moves the weights in the same way as it does
in one process, but for rounding: each process takes every n-th sample of the
step's batch, gradients are averaged, and batch normalisation is over the
whole batch.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from echo_common.errors import SettingsError

Value = TypeVar("Value")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ranks:
    """One process among those that train together.

    Attributes
    ----------
    rank : int
        From 0; 0 alone writes and speaks.
    count : int
        Number of processes.
    local : int
        Number of this process on its machine: which GPU is its own.
    """

    rank: int = 0
    count: int = 1
    local: int = 0

    @property
    def first(self) -> bool:
        """Whether this process writes and speaks."""
        return self.rank == 0

    def batch_size(self, batch_size: int) -> int:
        """How many samples of each step's batch are this process's."""
        return len(range(self.rank, batch_size, self.count))

    def share(self, order: np.ndarray, batch_size: int) -> np.ndarray:
        """Pick this process's samples out of the order that all processes have.

        Parameters
        ----------
        order : ndarray, (sample,) int64
        batch_size : int
            Samples that all processes take a step, at least as many as there
            are processes.

        Returns
        -------
        share : ndarray, (sample,) int64
            To be cut into batches of ``self.batch_size(batch_size)``. Where
            the last batch has fewer samples than there are processes, some
            samples are given to several of them; see `weight`.
        """
        if self.count == 1:
            return order
        batches = np.split(order, range(batch_size, len(order), batch_size))
        return np.concatenate([batch[self._places(len(batch))] for batch in batches])

    def weight(self, size: int) -> float:
        """What a process multiplies its mean loss by, so that the mean over processes is right.

        Parameters
        ----------
        size : int
            Samples of the step's whole batch.
        """
        if size >= self.count:
            return len(self._places(size)) * self.count / size
        return self.count / (size * len(range(self.rank % size, self.count, size)))

    def counts(self, size: int) -> bool:
        """Whether this process reports on its samples of a batch, or another one does."""
        return self.rank < size

    def _places(self, size: int) -> np.ndarray:
        if size < self.count:
            return np.array([self.rank % size])
        return np.arange(self.rank, size, self.count)


ALONE = Ranks()


def from_environment(environment: Mapping[str, str]) -> Ranks:
    """Read who this process is from the variables that `torchrun` sets."""
    if "WORLD_SIZE" not in environment or "RANK" not in environment:
        return ALONE
    return Ranks(
        rank=int(environment["RANK"]),
        count=int(environment["WORLD_SIZE"]),
        local=int(environment.get("LOCAL_RANK", 0)),
    )


@contextlib.contextmanager
def joined(ranks: Ranks, device: torch.device) -> Iterator[None]:
    """Be connected with the other processes, over NCCL on GPUs and gloo on CPUs."""
    if ranks.count == 1:
        yield
        return
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo", rank=ranks.rank, world_size=ranks.count
    )
    try:
        yield
    finally:
        leave()


def leave() -> None:
    """Part from the other processes; from here on, what is computed is one's own."""
    if dist.is_initialized():
        dist.destroy_process_group()


def check(ranks: Ranks, batch_size: int, frames: Mapping[str, int]) -> None:
    """Check that there is something to do for every process.

    Raises
    ------
    SettingsError
        If there are more processes than samples in a batch, or in a split.
    """
    for what, size in (("--batch-size", batch_size), *frames.items()):
        if size < ranks.count:
            raise SettingsError(
                f"{ranks.count} processes cannot share {what} {size}; start fewer with "
                "torchrun --nproc-per-node"
            )


def done_by_first(work: Callable[[], Value], ranks: Ranks) -> Value:
    """Let the first process alone do some work, and give its result to every process."""
    if ranks.count == 1:
        return work()
    told: list[Any] = [work() if ranks.first else None]
    dist.broadcast_object_list(told, src=0)
    return told[0]


def summed(value: float, ranks: Ranks, device: torch.device) -> float:
    """Sum a number over all processes."""
    if ranks.count == 1:
        return value
    total = torch.tensor(value, dtype=torch.float64, device=device)
    dist.all_reduce(total)
    return float(total)


def synchronise_normalisation(network: nn.Module, ranks: Ranks, device: torch.device) -> nn.Module:
    """Make batch normalisation take its statistics over the batches of all processes."""
    if ranks.count == 1:
        return network
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    for module in network.modules():
        for name, child in module.named_children():
            if type(child) is nn.BatchNorm2d:
                setattr(module, name, _SharedBatchNorm(child))
    return network


def in_parallel(network: nn.Module, ranks: Ranks, device: torch.device) -> nn.Module:
    """Average gradients over all processes as they are computed."""
    if ranks.count == 1:
        return network
    return DistributedDataParallel(
        network, device_ids=[device.index] if device.type == "cuda" else None
    )


class _Sum(torch.autograd.Function):
    """Sum over all processes; each one's share has the gradients of all, summed as well."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total


def _sum_over_processes(values: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(values)  # type: ignore[no-untyped-call]
    return total


class _SharedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation over all processes' batches; torch's own works on GPUs alone."""

    def __init__(self, other: nn.BatchNorm2d) -> None:
        super().__init__(other.num_features, other.eps, other.momentum, dtype=other.weight.dtype)
        self.load_state_dict(other.state_dict())

    def forward(self, images: Tensor) -> Tensor:
        if not self.training:
            return super().forward(images)
        own = images.new_tensor(images.numel() / self.num_features).reshape(1)
        sums = torch.cat([own, images.sum((0, 2, 3))])
        count, sums = _sum_over_processes(sums).tensor_split([1])
        mean = sums / count
        offsets = images - mean[:, None, None]
        squares = offsets.square().sum((0, 2, 3))
        variance = _sum_over_processes(squares) / count
        with torch.no_grad():
            assert self.running_mean is not None and self.running_var is not None
            assert self.num_batches_tracked is not None and self.momentum is not None
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
            self.num_batches_tracked += 1
        scaled = offsets * (variance + self.eps).rsqrt()[:, None, None]
        return scaled * self.weight[:, None, None] + self.bias[:, None, None]
