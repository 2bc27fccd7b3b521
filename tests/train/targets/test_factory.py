"""The mask target: its loss, what the loss takes from the training split, and its masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import zarr
from torch import Tensor

from echo_common.errors import SettingsError
from echo_train.data.frame_set import Choice
from echo_train.data.loader import Loader
from echo_train.losses.settings import LossSettings, MaskLossSettings
from echo_train.targets.base import Target
from echo_train.targets.factory import make_target
from echo_train.targets.landmarks import LandmarkTarget
from echo_train.targets.mask import MaskTarget
from echo_train.training.settings import TrainSettings
from echo_train.transforms.batch import Batch, Pixels
from support import mask_losses as oracle
from support.training import open_loader, tiny


def batch_of(masks: Tensor) -> Batch:
    return Batch(
        index=torch.arange(len(masks)),
        images=torch.zeros(len(masks), 1, *masks.shape[1:]),
        masks=masks,
        heatmaps=None,
        points=None,
    )


def loaded(store: Path, **changes: object) -> tuple[TrainSettings, Choice, Loader]:
    settings = tiny(store, **changes)
    return settings, *open_loader(settings)


def target_of(
    settings: TrainSettings, choice: Choice, loader: Loader, weights: Tensor | None = None
) -> Target:
    return make_target(settings.losses, settings.decoding, choice, loader, weights)


def weighted_bce(positive_weight: float) -> LossSettings:
    return LossSettings(loss="weighted-bce", mask=MaskLossSettings(positive_weight=positive_weight))


def logits_and_masks() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    logits = torch.randn(3, 1, 20, 20, generator=generator)
    return logits, (torch.rand(3, 20, 20, generator=generator) < 0.2).float()


def test_masks_are_the_pixels_whose_logit_is_positive() -> None:
    logits, _ = logits_and_masks()
    logits[0, 0, 0, 0] = 0
    prediction = MaskTarget(LossSettings(), None).predict(logits)
    assert prediction.points is None and prediction.masks.dtype == np.uint8
    np.testing.assert_array_equal(prediction.masks, logits[:, 0].numpy() > 0)
    assert prediction.masks[0, 0, 0] == 0


@pytest.mark.parametrize("weighed", [False, True])
def test_loss_is_the_named_one_with_its_numbers_and_weights(weighed: bool) -> None:
    logits, masks = logits_and_masks()
    weights = torch.linspace(0.5, 1.5, 400).reshape(20, 20)
    settings = weighted_bce(3.5)
    found = MaskTarget(settings, weights if weighed else None).loss(logits, batch_of(masks))
    expected = oracle.cross_entropy(
        logits[:, 0].numpy(),
        masks.numpy(),
        weights.numpy() if weighed else np.ones((20, 20)),
        positive=3.5,
    )
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_weight_of_the_ventricle_is_counted_from_the_training_split(small_store: Path) -> None:
    settings, choice, loader = loaded(small_store, loss="weighted-bce")
    state = target_of(settings, choice, loader).state()
    group = zarr.open_group(small_store, mode="r")
    masks = np.asarray(group["masks/chords"])[np.asarray(group["index/split"]) == 0]
    expected = (masks == 0).sum() / (masks == 1).sum()
    assert state["positive_weight"].item() == pytest.approx(expected, rel=1e-6)


def test_a_weight_that_is_given_is_not_counted(small_store: Path) -> None:
    settings, choice, loader = loaded(small_store, loss="weighted-bce", positive_weight=2.5)
    assert target_of(settings, choice, loader).state()["positive_weight"] == 2.5


def test_a_weight_cannot_be_counted_from_empty_masks(small_store: Path) -> None:
    class Empty:
        device = torch.device("cpu")

        def order(self, indices: np.ndarray, seed: int, epoch: int) -> np.ndarray:
            return indices

        def pixels(self, order: np.ndarray, batch_size: int) -> list[Pixels]:
            black = torch.zeros(len(order), 112, 112, dtype=torch.uint8)
            return [Pixels(index=torch.from_numpy(order), images=black, masks=black)]

    settings, choice, loader = loaded(small_store, loss="weighted-bce")
    loader._source = Empty()  # type: ignore[assignment]
    with pytest.raises(SettingsError, match="--positive-weight"):
        target_of(settings, choice, loader)


def test_what_the_loss_took_travels_with_the_checkpoint() -> None:
    logits, masks = logits_and_masks()
    weights = torch.linspace(0.5, 1.5, 400).reshape(20, 20)
    begun = MaskTarget(weighted_bce(9.123456789), weights)
    other = MaskTarget(weighted_bce(1.0), None)
    batch = batch_of(masks)
    assert other.loss(logits, batch) != begun.loss(logits, batch)
    other.restore(begun.state())
    assert other.loss(logits, batch) == begun.loss(logits, batch)


def test_landmark_target_learns_its_prior_from_the_training_split(small_store: Path) -> None:
    settings, choice, loader = loaded(small_store, target="landmarks", shape_prior=True)
    assert loader.frames.points is not None
    points = loader.frames.points[loader.frames.split == 0]
    expected = LandmarkTarget(settings.losses, settings.decoding, choice, points).state()
    found = target_of(settings, choice, loader).state()
    assert found.keys() == expected.keys() and found
    assert all(torch.equal(found[key], expected[key]) for key in found)


@pytest.mark.parametrize("target", ["mask", "landmarks"])
def test_a_split_of_one_frame_is_measured(small_store: Path, target: str) -> None:
    settings, choice, loader = loaded(small_store, target=target)
    made = target_of(settings, choice, loader)
    collector = made.collector(loader.frames, torch.device("cpu"))
    (batch,) = loader.batches(np.array([3]), 1)
    collector.update(torch.randn(1, made.channels, *loader.frames.shape), batch)
    results = collector.results()
    assert results.index.tolist() == [3]
    assert results.dice().shape == results.pixel_accuracy().shape == (1,)
