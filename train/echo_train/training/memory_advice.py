"""Smaller settings for a run that did not fit into the memory of its device."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from echo_common.cli.settings import replace
from echo_common.store import schema
from echo_common.store.reader import EchoStore
from echo_train.networks.architecture import Architecture
from echo_train.runtime.distributed import ONLY_PROCESS, Process
from echo_train.runtime.memory import free_memory, training_bytes
from echo_train.runtime.precision import choose_precision
from echo_train.training.settings import TrainSettings

USABLE = 0.9
"""Fraction of the memory to plan with; kernels and fragmentation need the rest."""


def settings_bytes(
    settings: TrainSettings,
    shape: tuple[int, int],
    device: torch.device,
    process: Process = ONLY_PROCESS,
) -> int:
    """Estimate the memory that training needs on each device, without its frames.

    Parameters
    ----------
    settings : TrainSettings
    shape : tuple of int
        (height, width) of the frames.
    device : torch.device
    process : Process
        Its share of a batch is on its device.
    """
    count = settings.selection.landmarks if settings.selection.target == "landmarks" else 1
    prior = settings.location_prior
    architecture = Architecture(
        network=settings.architecture.network,
        out_channels=count,
        width=settings.architecture.width,
        prior_shape=shape if prior.prior != "none" and prior.prior_use == "channel" else None,
    )
    frames = process.batch_size(settings.training.batch_size)
    precision = choose_precision(settings.hardware.precision, device)
    return training_bytes(architecture.make, (frames, 1, *shape), precision)


def advise_smaller(settings: TrainSettings, device: torch.device, process: Process) -> str:
    """Name the setting to lower, and the highest value by halving that should fit."""
    shape = EchoStore(settings.selection.store).shape(schema.FRAMES)[1:]
    usable = USABLE * free_memory(device)
    if device.type == "cuda":
        # What this process has taken is free again when it ends.
        usable += USABLE * torch.cuda.memory_reserved(device)
    batch_size, width = settings.training.batch_size, settings.architecture.width
    candidates = [
        *(("batch_size", value, batch_size) for value in _halves(batch_size, process.world_size)),
        *(("width", value, width) for value in _halves(width, 1)),
    ]
    for name, value, before in candidates:
        smaller = replace(settings, **{name: value})
        if settings_bytes(smaller, (shape[0], shape[1]), device, process) <= usable:
            return f"lower --{name.replace('_', '-')} to {value} (it is {before})"
    return "neither a smaller --batch-size nor a smaller --width fits; use another --device"


def _halves(value: int, smallest: int) -> Iterator[int]:
    while (value := value // 2) >= smallest:
        yield value
