"""Changes of gray values against SciPy and closed forms; strength 0 changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import torch

from echo_train.runtime.counter_rng import epoch_key, frame_keys
from echo_train.transforms import intensity

KEYS = frame_keys(torch.arange(3), epoch_key(0, 1))


@pytest.fixture
def images() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).random((3, 1, 40, 56), dtype=np.float32))


def test_blur_equals_scipy(images: torch.Tensor) -> None:
    sigmas = [0.0, 0.8, 1.5]
    found = intensity.blur(images, torch.tensor(sigmas), reach=6).numpy()
    assert np.array_equal(found[0], images[0].numpy())
    for frame, sigma in enumerate(sigmas[1:], start=1):
        expected = scipy.ndimage.gaussian_filter(
            images[frame, 0].numpy(), sigma, mode="constant", radius=6
        )
        np.testing.assert_allclose(found[frame, 0], expected, atol=1e-6)


def test_speckle_is_multiplicative_noise_of_the_given_strength() -> None:
    gray = torch.full((3, 1, 112, 112), 0.5)
    found = intensity.add_speckle(gray, torch.tensor([0.0, 0.1, 0.2]), KEYS)
    assert torch.equal(found[0], gray[0])
    assert found[1].mean() == pytest.approx(0.5, abs=0.005)
    assert found[1].std() == pytest.approx(0.05, rel=0.05)
    assert found[2].std() == pytest.approx(0.1, rel=0.05)
    # Grain: after 1-2-1 smoothing, neighbouring pixels have a correlation of 4/6.
    noise = found[1, 0] - found[1].mean()
    assert (noise[:, 1:] * noise[:, :-1]).mean() / noise.var() == pytest.approx(4 / 6, abs=0.04)
    assert intensity.add_speckle(0 * gray, torch.ones(3), KEYS).abs().max() == 0


def test_gamma_and_gain(images: torch.Tensor) -> None:
    power = torch.tensor([1.0, 2.0, 0.5])
    found = intensity.change_gamma(images, power)
    assert torch.equal(found[0], images[0])
    np.testing.assert_allclose(found[1], images[1].numpy() ** 2, rtol=1e-6)
    np.testing.assert_allclose(found[2], np.sqrt(images[2].numpy()), rtol=1e-6)
    assert intensity.change_gamma(0 * images, power).abs().max() == 0
    found = intensity.change_gain(images, power)
    np.testing.assert_allclose(found, np.minimum(images.numpy() * [[[[1]]], [[[2]]], [[[0.5]]]], 1))


def test_a_tone_curve_is_numpy_s_interpolation(images: torch.Tensor) -> None:
    steps = np.random.default_rng(1).uniform(0.05, 1, (3, 6)).astype(np.float32)
    steps /= steps.sum(1, keepdims=True)
    ramp = torch.linspace(0, 1, 1001).expand(3, 1, 1, -1)
    found = intensity.change_tone(ramp, torch.from_numpy(steps))
    assert (found.diff() > 0).all()
    np.testing.assert_allclose(found[:, 0, 0, [0, -1]], [[0, 1]] * 3, atol=1e-6)
    found = intensity.change_tone(images, torch.from_numpy(steps))
    for frame in range(3):
        knots = np.concatenate([[0], np.cumsum(steps[frame])])
        expected = np.interp(images[frame, 0].numpy(), np.linspace(0, 1, 7), knots)
        np.testing.assert_allclose(found[frame, 0], expected, atol=1e-6)
    even = intensity.change_tone(images, torch.full((3, 4), 0.25))
    np.testing.assert_allclose(even, images, atol=1e-6)
