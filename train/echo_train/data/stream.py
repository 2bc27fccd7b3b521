"""Pixels from a store of any size: read chunk by chunk, shuffled in a bounded buffer.

A chunk is read as a whole and in one go, which is what a disk is good at. The
buffer holds two windows of chunks: the samples of one are given in a random
order while a thread reads the next.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from echo_common.errors import SettingsError
from echo_common.store.reader import EchoStore
from echo_train.data.frame_set import FrameSet
from echo_train.transforms.batch import Pixels, epoch_order

Chunk = dict[str, np.ndarray]
"""A chunk's rows of each array, by the name of the `Pixels` field."""

Window = dict[int, Chunk]
"""Chunks by their number."""


class StreamSource:
    """Reads frames as they are asked for, and holds no more than the buffer.

    Parameters
    ----------
    store : EchoStore
    frames : FrameSet
    arrays : dict of str to str
        Path in the store of each field of `Pixels`.
    device : torch.device
    row_bytes : int
        Bytes of a row in all of these arrays.
    buffer_bytes : int
        The most that is held of the store at a time.

    Raises
    ------
    SettingsError
        If the buffer is too small for two chunks.
    """

    name = "stream"

    def __init__(
        self,
        store: EchoStore,
        frames: FrameSet,
        arrays: dict[str, str],
        device: torch.device,
        row_bytes: int,
        buffer_bytes: int,
    ) -> None:
        self.device = device
        self._store = store
        self._arrays = arrays
        each = store.chunk_rows
        self._chunk, self._place = np.divmod(frames.rows, each)
        fit = buffer_bytes // (each * row_bytes)
        chunks = len(np.unique(self._chunk))
        if fit < min(2, chunks):
            least = -(-2 * each * row_bytes // 1_000_000)
            raise SettingsError(
                f"--buffer-mb {buffer_bytes // 1_000_000} does not hold two chunks of "
                f"{each} rows; give at least {least}"
            )
        # What is held whole is read once; else one half of the buffer is read into while the
        # other is given out.
        self._whole = chunks <= fit
        self._window = chunks if self._whole else fit // 2
        self._kept: Window = {}
        self._copies = (
            torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            if device.type == "cuda"
            else None
        )

    def order(self, indices: np.ndarray, seed: int, epoch: int) -> np.ndarray:
        """Shuffle the chunks, then the samples of each window of chunks.

        Where one window holds all of them this is `epoch_order`, as the
        resident source has it.

        Parameters
        ----------
        indices : ndarray, (sample,) int64
        seed, epoch : int

        Returns
        -------
        order : ndarray, (sample,) int64
        """
        chunks, chunk_of = np.unique(self._chunk[indices], return_inverse=True)
        if len(chunks) <= self._window:
            return epoch_order(indices, seed, epoch)
        generator = np.random.default_rng([seed, epoch])
        window_of = generator.permutation(len(chunks))[chunk_of] // self._window
        return np.concatenate(
            [
                generator.permutation(indices[window_of == window])
                for window in range(window_of.max() + 1)
            ]
        )

    def pixels(self, order: np.ndarray, batch_size: int) -> Iterator[Pixels]:
        """Give frames in an order, in batches; the last one may be smaller.

        Any order is possible; one that goes from chunk to chunk, as `order` and
        the store's own do, reads each chunk once.

        Raises
        ------
        StoreDamagedError
            If a chunk is missing or altered.
        """
        sent: _Sent | None = None
        for batch in self._gathered(order, batch_size):
            # The next batch is on its way to the device before this one is trained on.
            ahead = self._send(batch)
            if sent is not None:
                yield sent.received()
            sent = ahead
        if sent is not None:
            yield sent.received()

    def _gathered(self, order: np.ndarray, batch_size: int) -> Iterator[Pixels]:
        chunks, places = self._chunk[order].tolist(), self._place[order].tolist()
        with ThreadPoolExecutor(max_workers=1) as pool:
            windows = self._windows(chunks, pool)
            window: Window = {}
            stop = 0
            for start in range(0, len(order), batch_size):
                index = order[start : start + batch_size]
                batch: dict[str, np.ndarray] = {}
                tensors: dict[str, Tensor] = {}
                for row in range(start, start + len(index)):
                    if row == stop:
                        window, stop = next(windows)
                    chunk, place = window[chunks[row]], places[row]
                    if not batch:
                        tensors = self._empty(chunk, len(index))
                        batch = {name: values.numpy() for name, values in tensors.items()}
                    for name, values in batch.items():
                        values[row - start] = chunk[name][place]
                yield Pixels(index=torch.from_numpy(index), **tensors)

    def _windows(self, chunks: list[int], pool: ThreadPoolExecutor) -> Iterator[tuple[Window, int]]:
        """Read windows one ahead; gives each with the sample that it does not serve any more."""
        reading: Future[Window] | None = None
        stop = 0
        for following, wanted in _cut(chunks, self._window):
            if reading is None:
                reading, stop = pool.submit(self._read, wanted, self._kept), following
                continue
            window = reading.result()
            reading = pool.submit(self._read, wanted, window)
            yield window, stop
            # Nothing of it may be held while the one after the next is read.
            del window
            stop = following
        if reading is not None:
            window = reading.result()
            if self._whole:
                self._kept |= window
            yield window, stop

    def _read(self, wanted: list[int], held: Window) -> Window:
        return {
            number: held[number] if number in held else self._read_chunk(number)
            for number in wanted
        }

    def _read_chunk(self, number: int) -> Chunk:
        start = number * self._store.chunk_rows
        stop = min(start + self._store.chunk_rows, self._store.rows)
        return {
            name: self._store.read_rows(path, start, stop) for name, path in self._arrays.items()
        }

    def _empty(self, chunk: Chunk, count: int) -> dict[str, Tensor]:
        # Only from pinned memory does a copy to a GPU run beside other work.
        return {
            name: torch.empty(
                (count, *values.shape[1:]), dtype=torch.uint8, pin_memory=self._copies is not None
            )
            for name, values in chunk.items()
        }

    def _send(self, batch: Pixels) -> _Sent:
        if self._copies is None:
            return _Sent(pixels=_moved(batch, self.device))
        with torch.cuda.stream(self._copies):
            return _Sent(pixels=_moved(batch, self.device), arrival=self._copies.record_event())


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Sent:
    """A batch on its way to the device."""

    pixels: Pixels
    arrival: torch.cuda.Event | None = None

    def received(self) -> Pixels:
        """Let what follows on the device wait for the batch."""
        if self.arrival is not None:
            stream = torch.cuda.current_stream(self.pixels.images.device)
            stream.wait_event(self.arrival)
            for values in vars(self.pixels).values():
                if values is not None:
                    # Its memory is not to be used again before this stream is done with it.
                    values.record_stream(stream)
        return self.pixels


def _moved(pixels: Pixels, device: torch.device) -> Pixels:
    def put(values: Tensor) -> Tensor:
        return values.to(device, non_blocking=True)

    return Pixels(
        index=put(pixels.index),
        images=put(pixels.images),
        masks=put(pixels.masks),
        heatmaps=None if pixels.heatmaps is None else put(pixels.heatmaps),
    )


def _cut(chunks: list[int], most: int) -> Iterator[tuple[int, list[int]]]:
    """Cut an order of samples where it would need more than `most` chunks at a time.

    Gives, for each part, where it ends and its chunks, ascending.
    """
    wanted: set[int] = set()
    for place, chunk in enumerate(chunks):
        if chunk not in wanted and len(wanted) == most:
            yield place, sorted(wanted)
            wanted = set()
        wanted.add(chunk)
    if wanted:
        yield len(chunks), sorted(wanted)
