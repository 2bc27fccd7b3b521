"""Pixels streamed from a store of any size, shuffled in a buffer of limited size.

`echo_train.data.loader` uses it if the store does not fit in memory. Chunks are
read completely and sequentially, which suits a disk. The buffer has room for two
windows of chunks: the samples of one are returned in random order while a thread
reads the next.
"""

from __future__ import annotations

import contextlib
import threading
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
"""The rows of a chunk, by name of the `Pixels` field."""

Window = dict[int, Chunk]
"""Chunks by number."""


class StreamSource:
    """Reads frames on demand and holds no more of the store than the buffer.

    Parameters
    ----------
    arrays : dict of str to str
        Path in the store of each field of `Pixels`.
    row_bytes : int
        Bytes per row of these arrays together.
    buffer_bytes : int
        Size of the buffer.

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
        chunk_rows = store.chunk_rows
        self._chunk, self._row_in_chunk = np.divmod(frames.rows, chunk_rows)
        capacity = buffer_bytes // (chunk_rows * row_bytes)
        chunks = len(np.unique(self._chunk))
        if capacity < min(2, chunks):
            smallest = -(-2 * chunk_rows * row_bytes // 1_000_000)
            raise SettingsError(
                f"--buffer-mb {buffer_bytes // 1_000_000} does not hold two chunks of "
                f"{chunk_rows} rows; give at least {smallest}"
            )
        # A store that fits in the buffer is read once. Otherwise half of the buffer is filled
        # while the samples of the other half are returned.
        self._all_fit = chunks <= capacity
        self._window_chunks = chunks if self._all_fit else capacity // 2
        self._cache: Window = {}
        self._copy_stream = (
            torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
            if device.type == "cuda"
            else None
        )

    def order(self, indices: np.ndarray, seed: int, epoch: int) -> np.ndarray:
        """Shuffle the chunks, then the samples of each window of chunks.

        If one window holds all chunks, this is `epoch_order`, as for the
        resident source.

        Parameters
        ----------
        indices : ndarray, (sample,) int64
        """
        chunks, chunk_of = np.unique(self._chunk[indices], return_inverse=True)
        if len(chunks) <= self._window_chunks:
            return epoch_order(indices, seed, epoch)
        generator = np.random.default_rng([seed, epoch])
        window_of = generator.permutation(len(chunks))[chunk_of] // self._window_chunks
        return np.concatenate(
            [
                generator.permutation(indices[window_of == window])
                for window in range(window_of.max() + 1)
            ]
        )

    def pixels(self, order: np.ndarray, batch_size: int) -> Iterator[Pixels]:
        """Yield batches of frames in an order; the last batch may be smaller.

        Any order is possible. An order that visits chunk after chunk, such as
        that of `order` or of the store, reads each chunk once.

        Raises
        ------
        StoreDamagedError
            If a chunk is missing or altered.
        """
        transfer = None
        for batch in self._gather(order, batch_size):
            # The copy of the next batch starts before the caller trains on this one.
            next_transfer = self._send(batch)
            if transfer is not None:
                yield self._wait(*transfer)
            transfer = next_transfer
        if transfer is not None:
            yield self._wait(*transfer)

    def _gather(self, order: np.ndarray, batch_size: int) -> Iterator[Pixels]:
        chunks, rows = self._chunk[order].tolist(), self._row_in_chunk[order].tolist()
        closing = threading.Event()
        with ThreadPoolExecutor(max_workers=1) as pool, contextlib.ExitStack() as stack:
            # Ctrl-C waits for the chunk that is being read, and not for the rest of the window.
            stack.callback(closing.set)
            windows = self._windows(chunks, pool, closing)
            window: Window = {}
            stop = 0
            for start in range(0, len(order), batch_size):
                index = order[start : start + batch_size]
                batch: dict[str, np.ndarray] = {}
                tensors: dict[str, Tensor] = {}
                for sample in range(start, start + len(index)):
                    if sample == stop:
                        window, stop = next(windows)
                    chunk = window[chunks[sample]]
                    if not batch:
                        tensors = self._empty(chunk, len(index))
                        batch = {name: values.numpy() for name, values in tensors.items()}
                    for name, values in batch.items():
                        values[sample - start] = chunk[name][rows[sample]]
                yield Pixels(index=torch.from_numpy(index), **tensors)

    def _windows(
        self, chunks: list[int], pool: ThreadPoolExecutor, closing: threading.Event
    ) -> Iterator[tuple[Window, int]]:
        """Yield each window with the end of its samples, while the next one is being read."""
        reading: Future[Window] | None = None
        stop = 0
        for next_stop, numbers in _divide(chunks, self._window_chunks):
            if reading is None:
                reading, stop = pool.submit(self._read, numbers, self._cache, closing), next_stop
                continue
            window = reading.result()
            reading = pool.submit(self._read, numbers, window, closing)
            yield window, stop
            # Free its chunks before the window after the next is read.
            del window
            stop = next_stop
        if reading is not None:
            window = reading.result()
            if self._all_fit:
                self._cache |= window
            yield window, stop

    def _read(self, numbers: list[int], previous: Window, closing: threading.Event) -> Window:
        """Read chunks, except those in the previous window; none if nobody waits for them."""
        return {
            number: previous[number] if number in previous else self._read_chunk(number)
            for number in numbers
            if not closing.is_set()
        }

    def _read_chunk(self, number: int) -> Chunk:
        start = number * self._store.chunk_rows
        stop = min(start + self._store.chunk_rows, self._store.rows)
        return {
            name: self._store.read_rows(path, start, stop) for name, path in self._arrays.items()
        }

    def _empty(self, chunk: Chunk, count: int) -> dict[str, Tensor]:
        # A copy to a GPU is asynchronous only from pinned memory.
        return {
            name: torch.empty(
                (count, *values.shape[1:]),
                dtype=torch.uint8,
                pin_memory=self._copy_stream is not None,
            )
            for name, values in chunk.items()
        }

    def _send(self, batch: Pixels) -> tuple[dict[str, Tensor], torch.cuda.Event | None]:
        """Start to copy a batch to the device; returns its tensors, and the end of the copy."""
        stream = self._copy_stream
        with torch.cuda.stream(stream):
            tensors = {
                name: values.to(self.device, non_blocking=True)
                for name, values in vars(batch).items()
                if values is not None
            }
            return tensors, None if stream is None else stream.record_event()

    def _wait(self, tensors: dict[str, Tensor], arrival: torch.cuda.Event | None) -> Pixels:
        """Make later work on the device wait for a batch."""
        if arrival is not None:
            stream = torch.cuda.current_stream(self.device)
            stream.wait_event(arrival)
            for values in tensors.values():
                # Its memory may not be reused before this stream has finished with it.
                values.record_stream(stream)
        return Pixels(**tensors)


def _divide(chunks: list[int], limit: int) -> Iterator[tuple[int, list[int]]]:
    """Divide samples into consecutive parts that need at most `limit` chunks each.

    Yields the end of each part and its chunks in ascending order.
    """
    numbers: set[int] = set()
    for sample, chunk in enumerate(chunks):
        if chunk not in numbers and len(numbers) == limit:
            yield sample, sorted(numbers)
            numbers = set()
        numbers.add(chunk)
    if numbers:
        yield len(chunks), sorted(numbers)
