"""A stream gives what the resident source gives, reads each chunk once, and holds few of them."""

from __future__ import annotations

import collections
import dataclasses
import shutil
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

from echo_common.errors import SettingsError, StoreDamagedError
from echo_common.store import schema
from echo_common.store.reader import EchoStore
from echo_train.data import stream
from echo_train.data.frame_set import Choice, FrameSet, read_frame_set
from echo_train.data.loader import make_loader
from echo_train.data.selection import choose
from echo_train.data.sources import ResidentSource, row_bytes, wanted_arrays
from echo_train.data.stream import StreamSource
from echo_train.settings import TrainSettings
from echo_train.training.train import train
from echo_train.transforms.batch import Batch
from support.training import assert_same_states, checkpoint, tiny

CPU = torch.device("cpu")
CHOICE = Choice(method="chords")
ARRAYS = wanted_arrays(CHOICE, "cached")
ROW = 2 * 112 * 112


class WatchedStore(EchoStore):
    """A store of six chunks of four rows, that counts what is read of it and still held."""

    chunk_rows = 4

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.reads: collections.Counter[tuple[str, int]] = collections.Counter()
        self.held = 0
        self.most = 0

    def read_rows(self, array: str, start: int, stop: int) -> np.ndarray:
        values = super().read_rows(array, start, stop).copy()
        self.reads[array, start] += 1
        self.held += 1
        self.most = max(self.most, self.held)
        weakref.finalize(values, self._drop)
        return values

    def _drop(self) -> None:
        self.held -= 1


def source(path: Path, chunks: int) -> tuple[WatchedStore, FrameSet, StreamSource]:
    """A stream whose buffer holds so many chunks."""
    store = WatchedStore(path)
    frames = read_frame_set(store, CHOICE)
    return store, frames, StreamSource(store, frames, ARRAYS, CPU, ROW, chunks * 4 * ROW)


def given(batches: list[stream.Pixels]) -> np.ndarray:
    return torch.cat([batch.index for batch in batches]).numpy()


@pytest.mark.parametrize("chunks", [2, 3, 4, 5, 6, 100])
@pytest.mark.parametrize("size", [1, 5, 7, 24])
def test_every_order_and_batch_size_gives_the_frames_asked_for(
    small_store: Path, chunks: int, size: int
) -> None:
    store, frames, streamed = source(small_store, chunks)
    resident = ResidentSource(store, frames, ARRAYS, CPU)
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
        for one, other in zip(found, expected, strict=True):
            assert torch.equal(one.index, other.index)
            assert torch.equal(one.images, other.images)
            assert torch.equal(one.masks, other.masks)


def batches_of(settings: TrainSettings) -> list[Batch]:
    store = EchoStore(settings.store)
    loader = make_loader(store, choose(store, settings), settings, CPU)
    assert loader.name == settings.loader
    train = loader.frames.indices("TRAIN")
    return [
        batch for epoch in (1, 2) for batch in loader.batches(loader.order(train, epoch), 5, epoch)
    ] + list(loader.batches(loader.frames.indices("VAL"), 5))


@pytest.mark.parametrize("augment", ["none", "strong"])
@pytest.mark.parametrize("heatmaps", ["cached", "rendered"])
def test_where_the_buffer_holds_everything_both_loaders_give_the_same_batches(
    small_store: Path, augment: str, heatmaps: str
) -> None:
    settings = TrainSettings(
        store=small_store, target="landmarks", augment=augment, heatmaps=heatmaps, seed=3
    )
    resident = batches_of(dataclasses.replace(settings, loader="resident"))
    streamed = batches_of(dataclasses.replace(settings, loader="stream"))
    assert len(resident) == len(streamed) == 3 + 3 + 2
    for one, other in zip(resident, streamed, strict=True):
        for field in dataclasses.fields(Batch):
            left, right = getattr(one, field.name), getattr(other, field.name)
            assert torch.equal(left, right), field.name


@pytest.mark.parametrize("chunks", [2, 4, 5])
def test_an_epoch_reads_each_chunk_once_and_holds_no_more_than_the_buffer(
    small_store: Path, chunks: int
) -> None:
    store, _, streamed = source(small_store, chunks)
    for epoch in (1, 2):
        order = streamed.order(np.arange(24), 0, epoch)
        store.reads.clear()
        assert given(list(streamed.pixels(order, 5))).tolist() == order.tolist()
        assert store.reads == {
            (path, 4 * chunk): 1 for path in ARRAYS.values() for chunk in range(6)
        }
    # Each chunk is an array of frames and one of masks.
    assert store.most <= 2 * chunks
    assert store.held == 0


def test_what_fits_whole_is_read_once_for_all_epochs_and_splits(small_store: Path) -> None:
    store, frames, streamed = source(small_store, 6)
    for epoch in (1, 2):
        list(streamed.pixels(streamed.order(frames.indices("TRAIN"), 0, epoch), 5))
        list(streamed.pixels(frames.indices("VAL"), 5))
    assert set(store.reads.values()) == {1}


def test_the_order_mixes_within_windows_and_between_them(small_store: Path) -> None:
    _, frames, streamed = source(small_store, 4)
    everything = np.arange(24)
    orders = [streamed.order(everything, 0, epoch) for epoch in range(1, 9)]
    for order in orders:
        assert sorted(order) == everything.tolist()
        # Two chunks of four at a time.
        for start in range(0, 24, 8):
            assert len(set(frames.rows[order[start : start + 8]] // 4)) == 2
    assert len({tuple(order) for order in orders}) == 8
    firsts = {frozenset(frames.rows[order[:8]] // 4) for order in orders}
    assert len(firsts) > 3
    assert np.array_equal(orders[0], streamed.order(everything, 0, 1))
    assert not np.array_equal(orders[0], streamed.order(everything, 1, 1))


def test_a_damaged_chunk_stops_the_epoch(small_store: Path, tmp_path: Path) -> None:
    shutil.copytree(small_store, tmp_path / "copy.zarr")
    _, frames, streamed = source(tmp_path / "copy.zarr", 2)
    (tmp_path / "copy.zarr" / schema.mask_path("chords") / "c.0.0.0").unlink()
    with pytest.raises(StoreDamagedError, match="masks/chords is missing"):
        list(streamed.pixels(frames.indices("TRAIN"), 5))


def test_an_epoch_that_is_left_in_the_middle_leaves_nothing_behind(small_store: Path) -> None:
    store, frames, streamed = source(small_store, 2)
    batches = streamed.pixels(np.arange(24), 4)
    next(batches)
    batches.close()
    assert store.held == 0
    assert len(list(streamed.pixels(frames.indices("VAL"), 4))) == 2


def test_a_buffer_too_small_for_two_chunks_is_refused(small_store: Path) -> None:
    with pytest.raises(SettingsError, match=r"--buffer-mb 0 does not hold two chunks.*at least 1"):
        source(small_store, 1)


@pytest.mark.parametrize(
    ("free", "name"), [(2 * 24 * ROW, "resident"), (2 * 24 * ROW - 1, "stream")]
)
def test_auto_is_resident_where_half_of_the_free_memory_holds_the_store(
    small_store: Path, free: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("echo_train.runtime.device.free_memory", lambda device: free)
    loader = make_loader(EchoStore(small_store), CHOICE, TrainSettings(), CPU)
    assert loader.name == name


def test_bytes_of_a_row_are_those_of_its_arrays(small_store: Path) -> None:
    store = EchoStore(small_store)
    for target, heatmaps in (
        ("mask", "cached"),
        ("landmarks", "cached"),
        ("landmarks", "rendered"),
    ):
        choice = choose(store, TrainSettings(target=target))
        arrays = wanted_arrays(choice, heatmaps)
        expected = sum(store.read(path)[0].nbytes for path in arrays.values())
        assert row_bytes(store, arrays) == expected


def test_a_run_learns_the_same_weights_from_either_loader(
    small_store: Path, tmp_path: Path
) -> None:
    states = []
    for name in ("resident", "stream"):
        folder = train(
            tiny(small_store, tmp_path / name, loader=name, target="landmarks", augment="strong")
        )
        assert f'loader = "{name}"' in (folder / "config.toml").read_text()
        states.append(checkpoint(folder / "last.pt")["network"])
    assert_same_states(*states)
