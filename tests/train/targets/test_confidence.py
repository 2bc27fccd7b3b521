"""Confidence of predictions, and the average of several models' predictions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from echo_common.store.schema import LandmarkSet
from echo_train.data.frame_set import Choice
from echo_train.landmarks.settings import LandmarkSettings
from echo_train.losses.settings import LossSettings
from echo_train.targets.base import Target
from echo_train.targets.factory import restore_target


def target(landmarks: int = 0, loss: str = "spatial-ce") -> Target:
    if not landmarks:
        return restore_target(LossSettings(), LandmarkSettings(), Choice(method="chords"), {})
    chosen = LandmarkSet(method="chords", identity="anatomical", count=landmarks)
    choice = Choice(method="chords", landmarks=chosen, falloff="gaussian")
    decoding = LandmarkSettings(shape_prior=False)
    return restore_target(LossSettings(loss=loss), decoding, choice, {})


def disc(radius: float, slope: float) -> Tensor:
    """Logits that are 0 on a circle and fall by `slope` a pixel."""
    y, x = torch.meshgrid(torch.arange(112.0), torch.arange(112.0), indexing="ij")
    return slope * (radius - torch.hypot(x - 56, y - 56))[None, None]


@pytest.mark.parametrize("slope", [0.1, 0.5, 4.0])
def test_the_confidence_of_a_mask_is_the_ratio_of_two_areas(slope: float) -> None:
    """A probability of 75 % has the logit ln 3."""
    margin = np.log(3) / slope
    (found,) = target().predict(disc(30, slope)).confidence
    assert found == pytest.approx(((30 - margin) / (30 + margin)) ** 2, abs=0.01)


def test_nothing_has_no_confidence() -> None:
    prediction = target().predict(torch.full((1, 1, 40, 40), -5.0))
    assert prediction.confidence.tolist() == [0]
    assert prediction.reasons().tolist() == ["no ventricle found"]


def test_the_confidence_of_landmarks_is_their_mean() -> None:
    logits = torch.full((1, 7, 112, 112), -100.0)
    # Four maps have all of their weight at a point. Three are flat, with the maximum in a corner.
    logits[:, :4, 50, 40] = 0
    logits[:, 4:] = 0
    (found,) = target(7).predict(logits).confidence
    flat = 11 * 11 / 112**2
    assert found == pytest.approx((4 + 3 * flat) / 7, abs=1e-3)


def test_masks_are_combined_by_their_mean_probability() -> None:
    parts = [torch.tensor([[[[0.0, 2.0]]]]), torch.tensor([[[[-4.0, 1.0]]]])]
    mean = np.mean([1 / (1 + np.exp(-part.numpy())) for part in parts], axis=0)
    found = target().combine(parts).numpy()
    np.testing.assert_allclose(found, np.log(mean / (1 - mean)), rtol=1e-5)


def test_maps_are_combined_by_their_mean() -> None:
    first, second = torch.randn(2, 1, 7, 12, 12)
    for loss, maps in (("spatial-ce", lambda part: part.flatten(2).softmax(2)), ("mse", None)):
        found = target(7, loss).combine([first, second])
        if maps is None:
            torch.testing.assert_close(found, (first + second) / 2)
        else:
            expected = (maps(first) + maps(second)) / 2
            torch.testing.assert_close(maps(found), expected, rtol=1e-4, atol=1e-7)
