"""The loader: stored pixels, then augmentation, heatmaps and normalisation, in this order."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch._inductor.config
import torch._inductor.metrics
from torch import _inductor as inductor
from torch._dynamo.exc import BackendCompilerFailed
from torch._inductor.async_compile import AsyncCompile
from torch.utils._python_dispatch import TorchDispatchMode

from echo_common.errors import SettingsError
from echo_common.store import schema
from echo_common.store.reader import EchoStore
from echo_common.store.schema import LandmarkSet
from echo_train.data.loader import Loader, make_augmenter
from echo_train.landmarks.heatmaps import HeatmapShape, render_heatmaps
from echo_train.runtime import device as devices
from echo_train.runtime.counter_rng import epoch_key
from echo_train.transforms.augment import Augmenter
from echo_train.transforms.batch import Batch
from echo_train.transforms.settings import AUGMENTS, AugmentSettings
from support.training import open_loader, tiny


class CountOperations(TorchDispatchMode):
    """Counts the operations that compute, each of which is launched alone on a GPU."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += not func.is_view
        return func(*args, **(kwargs or {}))


def loader_of(store: Path, **changes: object) -> Loader:
    return open_loader(tiny(store, **{"target": "landmarks", **changes}))[1]


def training_batch(loader: Loader, augment_epoch: int | None = None) -> Batch:
    (batch,) = loader.batches(loader.frames.indices("TRAIN"), 100, augment_epoch)
    return batch


def test_a_batch_equals_the_content_of_the_store(small_store: Path) -> None:
    loader = loader_of(small_store, heatmaps="cached")
    store, batch = EchoStore(small_store), training_batch(loader)
    rows = loader.frames.rows[batch.index]
    (landmarks,) = store.landmark_sets()
    np.testing.assert_allclose(batch.images[:, 0], store.read(schema.FRAMES)[rows] / 255, rtol=1e-6)
    np.testing.assert_array_equal(batch.masks, store.read(schema.mask_path("chords"))[rows])
    assert batch.points is not None and batch.heatmaps is not None
    np.testing.assert_array_equal(batch.points, store.read(landmarks.points)[rows])
    np.testing.assert_allclose(
        batch.heatmaps, store.read(landmarks.heatmap("gaussian"))[rows] / 255, rtol=1e-6
    )


def test_rendered_heatmaps_equal_cached_ones_except_for_rounding(small_store: Path) -> None:
    rendered = training_batch(loader_of(small_store, heatmaps="rendered"))
    cached = training_batch(loader_of(small_store, heatmaps="cached"))
    assert rendered.heatmaps is not None and cached.heatmaps is not None
    assert (rendered.heatmaps - cached.heatmaps).abs().max() <= 0.5 / 255 + 1e-5
    assert torch.equal(rendered.images, cached.images)


def test_frames_are_augmented_only_if_an_epoch_is_given(small_store: Path) -> None:
    loader = loader_of(small_store, augment="strong", seed=4)
    plain, augmented = training_batch(loader), training_batch(loader, augment_epoch=2)
    stored = training_batch(loader_of(small_store))
    assert torch.equal(plain.images, stored.images)
    augmenter = Augmenter(AUGMENTS["strong"], list(range(6, -1, -1)))
    every_frame = torch.arange(len(loader.frames))
    expected = augmenter(stored, augmenter.draw(every_frame, epoch_key(4, 2)))
    assert torch.equal(augmented.images, expected.images)
    assert torch.equal(augmented.masks, expected.masks)
    assert augmented.points is not None and expected.points is not None
    assert torch.equal(augmented.points, expected.points)
    assert not torch.equal(augmented.masks, plain.masks)


def test_heatmaps_are_rendered_from_the_augmented_points(small_store: Path) -> None:
    batch = training_batch(loader_of(small_store, augment="strong"), augment_epoch=1)
    store = EchoStore(small_store)
    (landmarks,) = store.landmark_sets()
    shape = HeatmapShape.of(store.manifests[landmarks.heatmap("gaussian")].parameters)
    assert batch.points is not None and batch.heatmaps is not None
    assert torch.equal(batch.heatmaps, render_heatmaps(batch.points, batch.masks, shape))


def test_images_are_normalised_last(small_store: Path) -> None:
    batch = training_batch(
        loader_of(small_store, augment="strong", normalise="frame"), augment_epoch=1
    )
    flat = batch.images.flatten(1)
    torch.testing.assert_close(flat.mean(1), torch.zeros(len(flat)), atol=1e-4, rtol=0)
    torch.testing.assert_close(flat.std(1, correction=0), torch.ones(len(flat)), atol=1e-3, rtol=0)


def test_pixels_for_pictures_equal_the_stored_ones(small_store: Path) -> None:
    pixels = loader_of(small_store, augment="strong", normalise="frame").pixels(np.array([5, 2]))
    np.testing.assert_array_equal(pixels.images, EchoStore(small_store).read(schema.FRAMES)[[5, 2]])


@pytest.mark.parametrize("flip", [0.0, 0.5])
def test_landmarks_that_cannot_be_mirrored_are_refused_only_if_frames_are_flipped(
    flip: float,
) -> None:
    landmarks = LandmarkSet(method="chords", identity="anatomical", count=8)
    settings = AugmentSettings(augment="strong", augment_flip=flip)
    if flip:
        with pytest.raises(SettingsError, match="8 anatomical landmarks cannot be mirrored"):
            make_augmenter(settings, landmarks)
    else:
        assert make_augmenter(settings, landmarks).strengths.flip == 0


@pytest.mark.parametrize(("target", "most"), [("mask", 6), ("landmarks", 75)])
def test_without_augmentation_few_operations_are_launched(
    small_store: Path, target: str, most: int
) -> None:
    loader = loader_of(small_store, target=target, augment="none")
    order = loader.frames.indices("TRAIN")[:4]
    with CountOperations() as operations:
        next(loader.batches(order, 4, 1))
    assert 0 < operations.count <= most


@pytest.mark.parametrize("target", ["mask", "landmarks"])
def test_compiled_preparation_is_one_graph_for_all_epochs(
    small_store: Path, monkeypatch: pytest.MonkeyPatch, target: str
) -> None:
    loader, plain = (loader_of(small_store, target=target, augment="strong") for _ in range(2))
    graphs = []

    def count(graph: torch.fx.GraphModule, inputs: object) -> object:
        graphs.append(graph)
        return graph.forward

    def compile_on_cpu(function: Any, device: torch.device, enabled: bool) -> Any:
        torch._dynamo.reset()
        return torch.compile(function, dynamic=False, fullgraph=True, backend=count)

    monkeypatch.setattr(devices, "compile_on_cuda", compile_on_cpu)
    loader.compile()
    order = loader.frames.indices("TRAIN")[:6]
    for epoch in (1, 2):
        # The last batch is smaller, and is prepared without a graph of its own.
        for found, expected in zip(
            loader.batches(order, 4, epoch), plain.batches(order, 4, epoch), strict=True
        ):
            for field in dataclasses.fields(Batch):
                values = getattr(found, field.name), getattr(expected, field.name)
                torch.testing.assert_close(*values, atol=1e-4, rtol=0)
    assert len(graphs) == 1
    # Nothing is copied from the host in every batch.
    assert not [node for node in graphs[0].graph.nodes if node.target is torch.tensor]


@pytest.mark.parametrize(("target", "most"), [("mask", 12), ("landmarks", 24)])
def test_compiled_preparation_has_few_kernels(
    small_store: Path, target: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inductor generates them, and their compilation is left out."""

    class GeneratedError(Exception):
        pass

    def stop(*arguments: object, **named: object) -> None:
        raise GeneratedError

    monkeypatch.setattr(AsyncCompile, "cpp_pybinding", stop)
    loader = loader_of(small_store, target=target, augment="strong")
    order = loader.frames.indices("TRAIN")[:4]
    (pixels,) = loader._source.pixels(order, 4)
    draws = loader._augmenter.draw(torch.arange(len(loader.frames)), epoch_key(0, 1))
    torch._dynamo.reset()
    inductor.metrics.reset()
    # A length of 1 asks no compiler for the instructions of this processor.
    settings = inductor.config.patch({"force_disable_caches": True, "cpp.simdlen": 1})
    with settings, pytest.raises(BackendCompilerFailed, match="GeneratedError"):
        prepare = torch.compile(loader._prepare, dynamic=False)
        prepare(pixels, draws, loader._phases, True)
    with CountOperations() as operations:
        next(loader.batches(order, 4, 1))
    assert 0 < inductor.metrics.generated_kernel_count <= most
    assert operations.count > 5 * inductor.metrics.generated_kernel_count
