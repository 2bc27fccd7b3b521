"""Where the pixels of a run come from: the device's own memory, or the store.

A source gives the frames that it is asked for, in the order that it is asked
for. `resident` reads the store once, in order, into uint8 tensors on the
device; a batch is then an index into what is there already, and the network
never waits for a disk. `stream`, for stores that do not fit, is in
`echo_train.data.stream`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from echo_common.store import schema
from echo_common.store.reader import EchoStore
from echo_train.data.frame_set import Choice, FrameSet
from echo_train.data.settings import LoaderSettings
from echo_train.data.stream import StreamSource
from echo_train.runtime import device as devices
from echo_train.transforms.batch import Pixels, epoch_order

RESIDENT_SHARE = 0.5
"""Share of the free memory that frames may take; the network and its gradients need the rest."""


class Source(Protocol):
    """Gives pixels by frame.

    Attributes
    ----------
    name : str
        As `--loader` has it.
    device : torch.device
        Where the pixels are given.
    """

    name: str
    device: torch.device

    def order(self, indices: np.ndarray, seed: int, epoch: int) -> np.ndarray:
        """Shuffle the frames of one epoch: a function of seed and epoch alone."""

    def pixels(self, order: np.ndarray, batch_size: int) -> Iterator[Pixels]:
        """Give frames in an order, in batches; the last one may be smaller."""


class ResidentSource:
    """All frames with their targets, as uint8 on one device.

    Parameters
    ----------
    store : EchoStore
    frames : FrameSet
    arrays : dict of str to str
        From `wanted_arrays`.
    device : torch.device

    Raises
    ------
    StoreDamagedError
        If a chunk is missing or altered.
    """

    name = "resident"

    def __init__(
        self, store: EchoStore, frames: FrameSet, arrays: dict[str, str], device: torch.device
    ) -> None:
        self.device = device

        def tensor(path: str) -> Tensor:
            values = store.read(path)
            if len(frames) != len(values):
                values = values[frames.rows]
            return torch.from_numpy(values).to(device)

        self._tensors = {name: tensor(path) for name, path in arrays.items()}

    def order(self, indices: np.ndarray, seed: int, epoch: int) -> np.ndarray:
        """Shuffle the frames of one epoch: a function of seed and epoch alone."""
        return epoch_order(indices, seed, epoch)

    def pixels(self, order: np.ndarray, batch_size: int) -> Iterator[Pixels]:
        """Give frames in an order, in batches; the last one may be smaller."""
        # One transfer an epoch: the order is a few kilobytes, and a batch is then a view of it.
        for index in torch.split(torch.from_numpy(order).to(self.device), batch_size):
            yield Pixels(
                index=index, **{name: values[index] for name, values in self._tensors.items()}
            )


def wanted_arrays(choice: Choice, heatmaps: str) -> dict[str, str]:
    """Which of a store's arrays a run reads pixels from, by the name of the `Pixels` field."""
    arrays = {"images": schema.FRAMES, "masks": schema.mask_path(choice.method)}
    if choice.landmarks is not None and heatmaps == "cached":
        arrays["heatmaps"] = choice.landmarks.heatmap(str(choice.falloff))
    return arrays


def row_bytes(store: EchoStore, arrays: dict[str, str]) -> int:
    """Bytes of a row in all of the arrays that a run reads pixels from."""
    return sum(math.prod(store.shape(path)[1:]) for path in arrays.values())


def pick_source(
    settings: LoaderSettings, store: EchoStore, arrays: dict[str, str], device: torch.device
) -> str:
    """Name of the source that the settings ask for; `auto` is resident where the frames fit."""
    if settings.loader != "auto":
        return settings.loader
    size = store.rows * row_bytes(store, arrays)
    return "resident" if size <= RESIDENT_SHARE * devices.free_memory(device) else "stream"


def make_source(
    settings: LoaderSettings,
    store: EchoStore,
    frames: FrameSet,
    arrays: dict[str, str],
    device: torch.device,
) -> Source:
    """Make the source that the settings ask for.

    Raises
    ------
    StoreDamagedError
        If a chunk is missing or altered.
    SettingsError
        If the buffer of a stream is too small.
    """
    if pick_source(settings, store, arrays, device) == "resident":
        return ResidentSource(store, frames, arrays, device)
    size = row_bytes(store, arrays)
    return StreamSource(store, frames, arrays, device, size, settings.buffer_mb * 1_000_000)
