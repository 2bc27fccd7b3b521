"""The corruptions against SciPy and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from echo_train.runtime.counter_rng import epoch_key, frame_keys
from echo_train.transforms.corruptions import CORRUPTIONS, add_noise, grades, lower_resolution

SIZE = (112, 112)
KEYS = frame_keys(torch.arange(4), epoch_key(0, 0))


def gray(level: float, count: int = 4) -> Tensor:
    return torch.full((count, 1, *SIZE), level)


def pictures() -> Tensor:
    """Four smooth images within [0.2, 0.8]."""
    noise = np.random.default_rng(0).normal(size=(4, *SIZE))
    smooth = ndimage.gaussian_filter(noise, (0, 6, 6))
    scaled = (smooth - smooth.min()) / np.ptp(smooth)
    return torch.from_numpy(0.2 + 0.6 * scaled).float()[:, None]


@pytest.mark.parametrize(("name", "severity"), grades())
def test_every_grade_gives_images_in_range_and_leaves_its_input(name: str, severity: float) -> None:
    images = pictures()
    before = images.clone()
    found = CORRUPTIONS[name].apply(images, severity, KEYS)
    assert torch.equal(images, before)
    assert found.shape == images.shape and found.dtype == torch.float32
    assert found.min() >= 0 and found.max() <= 1
    assert (found - images).abs().mean() > 1e-3


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_severities_ascend_and_get_worse_away_from_clean(name: str) -> None:
    corruption = CORRUPTIONS[name]
    severities, clean = corruption.severities, corruption.clean
    assert list(severities) == sorted(severities) and clean not in severities
    images = pictures()
    for side in (1, -1):
        errors = [
            (corruption.apply(images, severity, KEYS) - images).square().mean().item()
            for severity in severities[::side]
            if side * (severity - clean) > 0
        ]
        assert errors == sorted(errors) and len(set(errors)) == len(errors)


@pytest.mark.parametrize("deviation", [0.02, 0.1])
def test_noise_has_its_deviation_and_no_bias(deviation: float) -> None:
    noise = add_noise(gray(0.5), deviation, KEYS) - 0.5
    assert noise.std().item() == pytest.approx(deviation, rel=0.02)
    assert noise.mean().item() == pytest.approx(0, abs=0.02 * deviation)
    # White: neighbouring pixels and consecutive frames are uncorrelated.
    flat = noise.flatten(1).numpy()
    assert abs(np.corrcoef(flat[0, 1:], flat[0, :-1])[0, 1]) < 0.03
    assert abs(np.corrcoef(flat[0], flat[1])[0, 1]) < 0.03


def test_speckle_grows_with_the_gray_value() -> None:
    apply = CORRUPTIONS["speckle"].apply
    for level in (0.2, 0.4):
        noise = apply(gray(level), 0.2, KEYS) - level
        assert noise.std().item() == pytest.approx(0.2 * level, rel=0.05)
    assert apply(gray(0.0), 0.8, KEYS).max() == 0


@pytest.mark.parametrize("sigma", CORRUPTIONS["blur"].severities)
def test_blur_equals_scipy(sigma: float) -> None:
    images = pictures()
    found = CORRUPTIONS["blur"].apply(images, sigma, KEYS)
    for image, blurred in zip(images[:, 0].numpy(), found[:, 0].numpy(), strict=True):
        expected = ndimage.gaussian_filter(image, sigma, mode="constant", truncate=4)
        np.testing.assert_allclose(blurred, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("decibel", "factor"), [(-6.0, 0.501187), (6.0, 1.995262), (-18.0, 0.125893)]
)
def test_gain_is_a_factor_in_decibels(decibel: float, factor: float) -> None:
    found = CORRUPTIONS["gain"].apply(pictures(), decibel, KEYS)
    expected = (pictures() * factor).clamp(0, 1)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_resolution_is_block_means_interpolated_between_their_centres() -> None:
    images = pictures()
    found = lower_resolution(images, 4)[:, 0].numpy()
    blocks = images[:, 0].numpy().reshape(4, 28, 4, 28, 4).mean(axis=(2, 4))
    # The centre of block b is at pixel 4 b + 1.5.
    positions = (np.arange(112) - 1.5) / 4
    y, x = np.meshgrid(positions, positions, indexing="ij")
    for block, image in zip(blocks, found, strict=True):
        expected = ndimage.map_coordinates(block, [y, x], order=1, mode="nearest")
        np.testing.assert_allclose(image, expected, atol=1e-5)
    ramp = torch.linspace(0, 1, 112).expand(1, 1, 112, 112)
    torch.testing.assert_close(lower_resolution(ramp, 2)[..., 2:-2], ramp[..., 2:-2])


@pytest.mark.parametrize("degrees", [10.0, 60.0])
def test_sector_blacks_out_its_angle_of_the_fan_and_nothing_else(degrees: float) -> None:
    found = CORRUPTIONS["sector"].apply(gray(0.5), degrees, KEYS)[:, 0].numpy()
    y, x = np.mgrid[:112, :112]
    angle = np.degrees(np.arctan2(x - 61, y - 7))
    for frame in found:
        assert set(np.unique(frame)) == {0.0, 0.5}
        black = angle[frame == 0]
        assert np.ptp(black) == pytest.approx(degrees, abs=1.5)
        assert black.min() >= -45.01 and black.max() <= 45.01
        inside = (angle > black.min()) & (angle < black.max())
        assert (frame[inside] == 0).all()
    assert len({frame.tobytes() for frame in found}) == 4


def test_two_runs_see_the_same_images_in_batches_of_any_size() -> None:
    images, rows = pictures(), torch.tensor([7, 100, 3, 42])
    for corruption in CORRUPTIONS.values():
        worst = corruption.severities[-1]
        together = corruption.apply(images, worst, frame_keys(rows, epoch_key(5, 1)))
        separate = [
            corruption.apply(
                images[index : index + 1], worst, frame_keys(row[None], epoch_key(5, 1))
            )
            for index, row in enumerate(rows)
        ]
        torch.testing.assert_close(torch.cat(separate), together, atol=1e-6, rtol=0)
    other = add_noise(images, 0.1, frame_keys(rows, epoch_key(6, 1)))
    assert not torch.equal(other, add_noise(images, 0.1, frame_keys(rows, epoch_key(5, 1))))
