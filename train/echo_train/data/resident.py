"""Frames in the memory of a device, read once for several runs in a process.

`echo_train.data.loader` takes batches from them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from echo_common.store.reader import EchoStore
from echo_train.data.frame_set import FrameSet
from echo_train.transforms.batch import Pixels, epoch_order


class SharedArrays:
    """Arrays of a store in the memory of a device, kept between the runs of a sweep.

    Only the arrays of the latest run are kept.
    """

    def __init__(self) -> None:
        self._arrays: dict[tuple[object, ...], Tensor] = {}

    def read(
        self, store: EchoStore, frames: FrameSet, arrays: dict[str, str], device: torch.device
    ) -> dict[str, Tensor]:
        """Read arrays of some frames, unless the previous call read the same.

        Parameters
        ----------
        arrays : dict of str to str
            From `echo_train.data.loader.pixel_arrays`.

        Returns
        -------
        tensors : dict of str to Tensor
            With the keys of `arrays`; their first dimension is that of `frames`.

        Raises
        ------
        StoreDamagedError
            If a chunk is missing or altered.
        """
        rows = frames.rows.tobytes()
        keys: dict[str, tuple[object, ...]] = {
            name: (str(store.path), path, store.manifests[path].key, rows, device)
            for name, path in arrays.items()
        }
        before, self._arrays = self._arrays, {}
        kept = {key: before[key] for key in keys.values() if key in before}
        # Arrays that are not needed make room before others are read.
        del before
        self._arrays = kept
        for name, key in keys.items():
            if key not in kept:
                values = store.read(arrays[name])
                if len(frames) != len(values):
                    values = values[frames.rows]
                kept[key] = torch.from_numpy(values).to(device)
        return {name: kept[key] for name, key in keys.items()}

    def size(self, device: torch.device) -> int:
        """Bytes of the arrays on a device."""
        return sum(values.nbytes for values in self._arrays.values() if values.device == device)


class ResidentSource:
    """All frames and targets in the memory of a device, as uint8.

    Parameters
    ----------
    tensors : dict of str to Tensor
        Pixels of all frames on the device, by field of `Pixels`; from `SharedArrays`.
    """

    name = "resident"

    def __init__(self, tensors: dict[str, Tensor], device: torch.device) -> None:
        self.device = device
        self._tensors = tensors

    def order(self, indices: np.ndarray, seed: int, epoch: int) -> np.ndarray:
        """Shuffle the frames of an epoch; the order depends on seed and epoch alone."""
        return epoch_order(indices, seed, epoch)

    def pixels(self, order: np.ndarray, batch_size: int) -> Iterator[Pixels]:
        """Yield batches of frames in an order; the last batch may be smaller."""
        # The order is copied to the device once per epoch; the indices of a batch are a view of it.
        for index in torch.split(torch.from_numpy(order).to(self.device), batch_size):
            # On a CPU, values[index] takes fifteen times as long.
            pixels = {name: values.index_select(0, index) for name, values in self._tensors.items()}
            yield Pixels(index=index, **pixels)
