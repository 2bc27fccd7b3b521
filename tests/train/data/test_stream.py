"""The stream: the same frames as the resident source, each chunk read once, little memory."""

from __future__ import annotations

import collections
import dataclasses
import shutil
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

from echo_common.cli.settings import replace
from echo_common.errors import SettingsError, StoreDamagedError
from echo_common.store import schema
from echo_common.store.reader import EchoStore
from echo_train.data import stream
from echo_train.data.frame_set import Choice, FrameSet, choose, read_frame_set
from echo_train.data.loader import make_loader, pixel_arrays, row_bytes
from echo_train.data.resident import ResidentSource, SharedArrays
from echo_train.data.settings import LoaderSettings, SelectionSettings
from echo_train.data.stream import StreamSource
from echo_train.training.settings import TrainSettings
from echo_train.training.train import train
from echo_train.transforms.batch import Batch
from support.training import assert_same_states, checkpoint, open_loader, tiny

CPU = torch.device("cpu")
CHOICE = Choice(method="chords")
ARRAYS = pixel_arrays(CHOICE, "cached")
ROW = 2 * 112 * 112


class WatchedStore(EchoStore):
    """A store of six chunks of four rows that counts reads and arrays still in memory."""

    chunk_rows = 4

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.reads: collections.Counter[tuple[str, int]] = collections.Counter()
        self.in_memory = 0
        self.peak = 0

    def read_rows(self, array: str, start: int, stop: int) -> np.ndarray:
        values = super().read_rows(array, start, stop).copy()
        self.reads[array, start] += 1
        self.in_memory += 1
        self.peak = max(self.peak, self.in_memory)
        weakref.finalize(values, self._drop)
        return values

    def _drop(self) -> None:
        self.in_memory -= 1


def source(path: Path, chunks: int) -> tuple[WatchedStore, FrameSet, StreamSource]:
    """A stream whose buffer has room for this number of chunks."""
    store = WatchedStore(path)
    frames = read_frame_set(store, CHOICE)
    return store, frames, StreamSource(store, frames, ARRAYS, CPU, ROW, chunks * 4 * ROW)


def indices_of(batches: list[stream.Pixels]) -> np.ndarray:
    return torch.cat([batch.index for batch in batches]).numpy()


@pytest.mark.parametrize("chunks", [2, 3, 4, 5, 6, 100])
@pytest.mark.parametrize("size", [1, 5, 7, 24])
def test_every_order_and_batch_size_gives_the_requested_frames(
    small_store: Path, chunks: int, size: int
) -> None:
    store, frames, streamed = source(small_store, chunks)
    resident = ResidentSource(SharedArrays().read(store, frames, ARRAYS, CPU), CPU)
    rng = np.random.default_rng(0)
    for order in (
        streamed.order(frames.indices("TRAIN"), 0, 1),
        frames.indices("VAL"),
        rng.permutation(24),
        rng.integers(0, 24, 40),
    ):
        expected = list(resident.pixels(order, size))
        found = list(streamed.pixels(order, size))
        assert len(found) == len(expected) == -(-len(order) // size)
        for left, right in zip(found, expected, strict=True):
            assert torch.equal(left.index, right.index)
            assert torch.equal(left.images, right.images)
            assert torch.equal(left.masks, right.masks)


def batches_of(settings: TrainSettings) -> list[Batch]:
    _, loader = open_loader(settings)
    assert loader.name == settings.data.loader
    train = loader.frames.indices("TRAIN")
    return [
        batch for epoch in (1, 2) for batch in loader.batches(loader.order(train, epoch), 5, epoch)
    ] + list(loader.batches(loader.frames.indices("VAL"), 5))


@pytest.mark.parametrize("augment", ["none", "strong"])
@pytest.mark.parametrize("heatmaps", ["cached", "rendered"])
def test_if_the_store_fits_in_the_buffer_both_loaders_give_the_same_batches(
    small_store: Path, augment: str, heatmaps: str
) -> None:
    settings = tiny(small_store, target="landmarks", augment=augment, heatmaps=heatmaps, seed=3)
    resident = batches_of(replace(settings, loader="resident"))
    streamed = batches_of(replace(settings, loader="stream"))
    assert len(resident) == len(streamed) == 3 + 3 + 2
    for left, right in zip(resident, streamed, strict=True):
        for field in dataclasses.fields(Batch):
            assert torch.equal(getattr(left, field.name), getattr(right, field.name)), field.name


@pytest.mark.parametrize("chunks", [2, 4, 5])
def test_an_epoch_reads_each_chunk_once_and_stays_within_the_buffer(
    small_store: Path, chunks: int
) -> None:
    store, _, streamed = source(small_store, chunks)
    for epoch in (1, 2):
        order = streamed.order(np.arange(24), 0, epoch)
        store.reads.clear()
        assert indices_of(list(streamed.pixels(order, 5))).tolist() == order.tolist()
        assert store.reads == {
            (path, 4 * chunk): 1 for path in ARRAYS.values() for chunk in range(6)
        }
    # A chunk is read as two arrays, frames and masks.
    assert store.peak <= 2 * chunks
    assert store.in_memory == 0


@pytest.mark.parametrize("done", [1, 2, 3, 4])
def test_the_rest_of_an_epoch_is_read_without_its_beginning(small_store: Path, done: int) -> None:
    """As a resumed epoch reads it: its batches are the same, and each chunk is read once."""
    store, frames, streamed = source(small_store, 4)
    order = streamed.order(np.arange(24), 0, 1)
    expected = list(streamed.pixels(order, 5))[done:]
    store.reads.clear()
    found = list(streamed.pixels(order[done * 5 :], 5))
    for left, right in zip(found, expected, strict=True):
        assert torch.equal(left.index, right.index) and torch.equal(left.images, right.images)
    chunks = set((frames.rows[order[done * 5 :]] // 4).tolist())
    assert store.reads == {(path, 4 * chunk): 1 for path in ARRAYS.values() for chunk in chunks}
    assert done == 1 or len(chunks) < 6


def test_a_stream_that_is_closed_reads_no_further_chunk(small_store: Path) -> None:
    store, _, streamed = source(small_store, 6)
    closing = threading.Event()
    read_rows = store.read_rows

    def close(array: str, start: int, stop: int) -> np.ndarray:
        closing.set()
        return read_rows(array, start, stop)

    store.read_rows = close  # type: ignore[method-assign]
    assert list(streamed._read([0, 1, 2], {}, closing)) == [0]
    assert {start for _, start in store.reads} == {0}


def test_a_store_that_fits_in_the_buffer_is_read_once(small_store: Path) -> None:
    store, frames, streamed = source(small_store, 6)
    for epoch in (1, 2):
        list(streamed.pixels(streamed.order(frames.indices("TRAIN"), 0, epoch), 5))
        list(streamed.pixels(frames.indices("VAL"), 5))
    assert set(store.reads.values()) == {1}


def test_the_order_is_shuffled_within_and_between_windows(small_store: Path) -> None:
    _, frames, streamed = source(small_store, 4)
    samples = np.arange(24)
    orders = [streamed.order(samples, 0, epoch) for epoch in range(1, 9)]
    for order in orders:
        assert sorted(order) == samples.tolist()
        # Two chunks of four at a time.
        for start in range(0, 24, 8):
            assert len(set(frames.rows[order[start : start + 8]] // 4)) == 2
    assert len({tuple(order) for order in orders}) == 8
    firsts = {frozenset(frames.rows[order[:8]] // 4) for order in orders}
    assert len(firsts) > 3
    assert np.array_equal(orders[0], streamed.order(samples, 0, 1))
    assert not np.array_equal(orders[0], streamed.order(samples, 1, 1))


def test_a_damaged_chunk_stops_the_epoch(small_store: Path, tmp_path: Path) -> None:
    shutil.copytree(small_store, tmp_path / "copy.zarr")
    _, frames, streamed = source(tmp_path / "copy.zarr", 2)
    (tmp_path / "copy.zarr" / schema.mask_path("chords") / "c.0.0.0").unlink()
    with pytest.raises(StoreDamagedError, match="masks/chords is missing"):
        list(streamed.pixels(frames.indices("TRAIN"), 5))


def test_an_interrupted_epoch_frees_its_memory(small_store: Path) -> None:
    store, frames, streamed = source(small_store, 2)
    batches = streamed.pixels(np.arange(24), 4)
    next(batches)
    batches.close()
    assert store.in_memory == 0
    assert len(list(streamed.pixels(frames.indices("VAL"), 4))) == 2


def test_a_buffer_too_small_for_two_chunks_is_refused(small_store: Path) -> None:
    with pytest.raises(SettingsError, match=r"--buffer-mb 0 does not hold two chunks.*at least 1"):
        source(small_store, 1)


@pytest.mark.parametrize(
    ("free", "name"), [(2 * 24 * ROW, "resident"), (2 * 24 * ROW - 1, "stream")]
)
def test_auto_is_resident_if_the_store_fits_in_half_of_the_free_memory(
    small_store: Path, free: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("echo_train.runtime.memory.free_memory", lambda device: free)
    loader = make_loader(EchoStore(small_store), CHOICE, LoaderSettings(), CPU)
    assert loader.name == name


def test_the_bytes_of_a_row_are_those_of_its_arrays(small_store: Path) -> None:
    store = EchoStore(small_store)
    for target, heatmaps in (
        ("mask", "cached"),
        ("landmarks", "cached"),
        ("landmarks", "rendered"),
    ):
        choice = choose(store, SelectionSettings(target=target))
        arrays = pixel_arrays(choice, heatmaps)
        expected = sum(store.read(path)[0].nbytes for path in arrays.values())
        assert row_bytes(store, arrays) == expected


def test_both_loaders_give_the_same_weights(small_store: Path, tmp_path: Path) -> None:
    states = []
    for name in ("resident", "stream"):
        folder = train(
            tiny(small_store, tmp_path / name, loader=name, target="landmarks", augment="strong")
        )
        assert f'loader = "{name}"' in (folder / "config.toml").read_text()
        states.append(checkpoint(folder / "last.pt")["network"])
    assert_same_states(*states)
