"""The order of the samples, the conversion to floats, and normalisation."""

from __future__ import annotations

import numpy as np
import torch

from echo_train.transforms.batch import Pixels, epoch_order, normalise, to_batch

INDICES = np.array([2, 3, 5, 8, 13, 21, 34, 55, 89, 144])


def test_the_order_is_a_permutation_that_seed_and_epoch_decide() -> None:
    orders = [
        epoch_order(INDICES, seed, epoch).tolist() for seed in range(3) for epoch in range(1, 4)
    ]
    for order in orders:
        assert sorted(order) == INDICES.tolist()
    assert len({tuple(order) for order in orders}) == 9
    assert epoch_order(INDICES, 2, 3).tolist() == orders[-1]


def test_every_sample_is_equally_likely_at_every_position() -> None:
    orders = np.stack([epoch_order(np.arange(10), 7, epoch) for epoch in range(4000)])
    counts = np.stack([np.bincount(column, minlength=10) for column in orders.T])
    # 400 expected, with a standard deviation of 19.
    assert abs(counts - 400).max() < 90


def test_stored_pixels_become_floats() -> None:
    values = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16)
    pixels = Pixels(
        index=torch.tensor([4]), images=values, masks=(values > 99).byte(), heatmaps=values[None]
    )
    batch = to_batch(pixels, torch.ones(1, 1, 2))
    assert batch.images.shape == (1, 1, 16, 16)
    assert batch.images.dtype == batch.masks.dtype == torch.float32
    expected = np.arange(256).reshape(16, 16) / 255
    np.testing.assert_allclose(batch.images[0, 0], expected, rtol=1e-6)
    assert batch.heatmaps is not None
    np.testing.assert_allclose(batch.heatmaps[0, 0], expected, rtol=1e-6)
    assert batch.masks.sum() == 156


def test_frames_are_standardised_one_by_one() -> None:
    images = torch.from_numpy(np.random.default_rng(0).random((3, 1, 20, 30), dtype=np.float32))
    images[2] = 0.25
    assert normalise(images, "none") is images
    found = normalise(images, "frame").numpy()
    for index in range(2):
        image = images[index].numpy()
        np.testing.assert_allclose(found[index], (image - image.mean()) / image.std(), atol=1e-4)
    np.testing.assert_allclose(found[2], 0, atol=0.05)
    # Gain and offset have no influence.
    np.testing.assert_allclose(normalise(0.4 * images + 0.2, "frame")[:2], found[:2], atol=1e-4)
