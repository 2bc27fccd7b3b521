"""The loader puts source, augmentation and drawing together, in that order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from echo_common.errors import SettingsError
from echo_common.store import schema
from echo_common.store.reader import EchoStore
from echo_common.store.schema import LandmarkSet
from echo_train.data.loader import Loader, make_augmenter
from echo_train.landmarks.heatmaps import HeatmapShape, render_heatmaps
from echo_train.transforms.augment import Augmenter
from echo_train.transforms.batch import Batch
from echo_train.transforms.settings import AUGMENTS, AugmentSettings
from support.training import open_loader, tiny


def loader_of(store: Path, **changes: object) -> Loader:
    return open_loader(tiny(store, **{"target": "landmarks", **changes}))[1]


def one_batch(loader: Loader, augment: int | None = None) -> Batch:
    (batch,) = loader.batches(loader.frames.indices("TRAIN"), 100, augment)
    return batch


def test_a_batch_is_what_the_store_holds(small_store: Path) -> None:
    loader = loader_of(small_store, heatmaps="cached")
    store, batch = EchoStore(small_store), one_batch(loader)
    rows = loader.frames.rows[batch.index]
    (landmarks,) = store.landmark_sets()
    np.testing.assert_allclose(batch.images[:, 0], store.read(schema.FRAMES)[rows] / 255, rtol=1e-6)
    np.testing.assert_array_equal(batch.masks, store.read(schema.mask_path("chords"))[rows])
    assert batch.points is not None and batch.heatmaps is not None
    np.testing.assert_array_equal(batch.points, store.read(landmarks.points)[rows])
    np.testing.assert_allclose(
        batch.heatmaps, store.read(landmarks.heatmap("gaussian"))[rows] / 255, rtol=1e-6
    )


def test_drawn_heatmaps_are_the_cached_ones_to_their_rounding(small_store: Path) -> None:
    drawn = one_batch(loader_of(small_store, heatmaps="rendered"))
    cached = one_batch(loader_of(small_store, heatmaps="cached"))
    assert drawn.heatmaps is not None and cached.heatmaps is not None
    assert (drawn.heatmaps - cached.heatmaps).abs().max() <= 0.5 / 255 + 1e-5
    assert torch.equal(drawn.images, cached.images)


def test_frames_are_changed_where_an_epoch_is_named_and_only_there(small_store: Path) -> None:
    loader = loader_of(small_store, augment="strong", seed=4)
    plain, changed = one_batch(loader), one_batch(loader, augment=2)
    untouched = one_batch(loader_of(small_store))
    assert torch.equal(plain.images, untouched.images)
    expected = Augmenter(AUGMENTS["strong"], 4, list(range(6, -1, -1)))(untouched, 2)
    assert torch.equal(changed.images, expected.images)
    assert torch.equal(changed.masks, expected.masks)
    assert changed.points is not None and expected.points is not None
    assert torch.equal(changed.points, expected.points)
    assert not torch.equal(changed.masks, plain.masks)


def test_heatmaps_are_drawn_after_the_points_are_moved(small_store: Path) -> None:
    batch = one_batch(loader_of(small_store, augment="strong"), augment=1)
    store = EchoStore(small_store)
    (landmarks,) = store.landmark_sets()
    shape = HeatmapShape.of(store.manifests[landmarks.heatmap("gaussian")].parameters)
    assert batch.points is not None and batch.heatmaps is not None
    assert torch.equal(batch.heatmaps, render_heatmaps(batch.points, batch.masks, shape))


def test_images_are_normalised_last(small_store: Path) -> None:
    batch = one_batch(loader_of(small_store, augment="strong", normalise="frame"), augment=1)
    flat = batch.images.flatten(1)
    torch.testing.assert_close(flat.mean(1), torch.zeros(len(flat)), atol=1e-4, rtol=0)
    torch.testing.assert_close(flat.std(1, correction=0), torch.ones(len(flat)), atol=1e-3, rtol=0)


def test_the_pixels_for_pictures_are_the_store_s(small_store: Path) -> None:
    pixels = loader_of(small_store, augment="strong", normalise="frame").pixels(np.array([5, 2]))
    np.testing.assert_array_equal(pixels.images, EchoStore(small_store).read(schema.FRAMES)[[5, 2]])


@pytest.mark.parametrize("flip", [0.0, 0.5])
def test_landmarks_without_a_mirror_image_are_refused_where_they_were_to_be_mirrored(
    flip: float,
) -> None:
    landmarks = LandmarkSet(method="chords", identity="anatomical", count=8)
    settings = AugmentSettings(augment="strong", augment_flip=flip)
    if flip:
        with pytest.raises(SettingsError, match="8 anatomical landmarks cannot be mirrored"):
            make_augmenter(settings, landmarks)
    else:
        assert make_augmenter(settings, landmarks).strengths.flip == 0
