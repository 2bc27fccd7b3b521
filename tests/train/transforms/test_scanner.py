"""Changes by other scanners against SciPy and closed forms; strength 0 changes nothing."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import scipy.ndimage
import torch

from echo_train.runtime.counter_rng import epoch_key, frame_keys
from echo_train.transforms import intensity, scanner

KEYS = frame_keys(torch.arange(3), epoch_key(0, 1))


@pytest.fixture
def images() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).random((3, 1, 40, 56), dtype=np.float32))


def test_a_wider_beam_smears_amplitudes(images: torch.Tensor) -> None:
    sigma, power = torch.tensor([0.0, 1.2, 0.8]), torch.tensor([5.0, 6.0, -3.0])
    found = scanner.spread(images, sigma, power, reach=6)
    np.testing.assert_allclose(found[0], images[0], atol=1e-6)
    for frame in (1, 2):
        amplitude = np.exp(power[frame].item() * images[frame, 0].numpy().astype(float))
        smeared = scipy.ndimage.gaussian_filter(
            amplitude, sigma[frame].item(), mode="constant", cval=1, radius=6
        )
        expected = np.clip(np.log(smeared) / power[frame].item(), 0, 1)
        np.testing.assert_allclose(found[frame, 0], expected, atol=1e-5)
    # The border of a bright half moves into the dark one if amplitudes grow with gray values.
    half = (torch.arange(56) < 28).float().expand(3, 1, 40, 56)
    wider = scanner.spread(half, torch.full((3,), 1.5), torch.tensor([6.0, 0.0, -6.0]), reach=6)
    covered = (wider[:, 0, 20] > 0.5).sum(1)
    assert covered[0] > covered[1] == 28 > covered[2]
    blurred = intensity.blur(half, torch.full((3,), 1.5), reach=6)
    np.testing.assert_allclose(wider[1], blurred[1], atol=0.01)


def test_edges_are_added_as_the_difference_from_a_smoothed_frame(images: torch.Tensor) -> None:
    # An edge that is smooth enough for OpenCV's and this smoothing at half the size to agree.
    edge = 0.3 + 0.2 * np.tanh((np.arange(96) - 48) / 3, dtype=np.float32)
    frames = torch.from_numpy(np.tile(edge, (3, 1, 96, 1)))
    found = scanner.enhance_edges(
        frames, torch.tensor([0.0, 1.0, 2.0]), torch.tensor([4.0, 2.0, 4.0])
    )
    assert torch.equal(found[0], frames[0])
    for frame, (strength, sigma) in enumerate([(1.0, 2.0), (2.0, 4.0)], start=1):
        smooth = cv2.GaussianBlur(frames[frame, 0].numpy(), (0, 0), sigma)
        expected = edge + strength * (edge - smooth)
        np.testing.assert_allclose(found[frame, 0, 30:66, 30:66], expected[30:66, 30:66], atol=0.01)
    strong = scanner.enhance_edges(images, torch.full((3,), 9.0), torch.full((3,), 3.0))
    assert strong.min() == 0 and strong.max() == 1


def test_muscle_around_a_mask_gets_darker_up_to_the_given_reach() -> None:
    y, x = np.mgrid[:112, :112]
    distance = np.hypot(x - 55.5, y - 55.5) - 25
    masks = torch.from_numpy(distance < 0).float().expand(3, -1, -1)
    gray = torch.full((3, 1, 112, 112), 0.8)
    reach = torch.tensor([4.0, 4.0, 2.0])
    found = scanner.darken_wall(gray, torch.tensor([0.0, 1.0, 1.0]), masks, reach)[:, 0]
    assert torch.equal(found[0], gray[0, 0])
    for frame, near in ((1, 4.0), (2, 2.0)):
        inside, wall, outside = distance < -3, (distance > 1.5) & (distance < near), distance > 14
        np.testing.assert_allclose(found[frame][inside], 0.8, atol=1e-3)
        np.testing.assert_allclose(found[frame][wall], 0.4, atol=0.06)
        np.testing.assert_allclose(found[frame][outside], 0.8, atol=1e-3)
    # The longer reach darkens more.
    assert found[1].mean() < found[2].mean() - 0.01


def test_shading_is_smooth_and_log_normal() -> None:
    gray = torch.full((400, 1, 112, 112), 0.01)
    keys = frame_keys(torch.arange(400), epoch_key(0, 1))
    found = scanner.change_shading(gray, torch.tensor([0.0, 1.0]).repeat(200), keys)
    assert torch.equal(found[::2], gray[::2])
    # The corners are those of the grid.
    corners = (found[1::2, 0, ::111, ::111] / 0.01).log()
    assert corners.mean() == pytest.approx(0, abs=0.08)
    assert corners.std() == pytest.approx(1, rel=0.08)
    # Neighbouring pixels are a small part of a cell apart, and the noise is at most 3.5.
    assert found[1::2].diff(dim=3).abs().max() < 0.01 * np.exp(3.5) * 9 / 112
    assert scanner.change_shading(torch.ones(1, 1, 40, 56), torch.ones(1), keys[:1]).max() == 1


def test_haze_fades_with_the_distance_from_the_probe() -> None:
    black = torch.zeros(300, 1, 112, 112)
    keys = frame_keys(torch.arange(300), epoch_key(0, 1))
    strength = torch.tensor([0.0, 0.4, 0.4]).repeat(100)
    found = scanner.add_haze(black, strength, torch.tensor([0.2, 0.2, 0.4]).repeat(100), keys)
    assert torch.equal(found[::3], black[::3])
    for frames, reach in ((found[1::3], 0.2), (found[2::3], 0.4)):
        for depth in (10, 30, 60):  # pixels below the probe
            expected = 0.4 * np.exp(-((depth / (112 * reach)) ** 1.4))
            there = frames[:, 0, 7 + depth, 58:65]
            assert there.mean() == pytest.approx(expected, rel=0.08)
            # Linear interpolation along two axes leaves 2/3 of the standard deviation on average.
            assert there.std(0).mean() == pytest.approx(0.35 * 2 / 3 * expected, rel=0.3)
    # Only inside the fan, and white stays white.
    assert found[:, 0, 10, :50].max() == 0 and found[:, 0, :7].max() == 0
    assert torch.equal(
        scanner.add_haze(black + 1, strength, torch.full((300,), 0.4), keys), black + 1
    )


def test_an_overlay_lies_near_the_edges_of_the_frame() -> None:
    keys = frame_keys(torch.arange(60), epoch_key(0, 1))
    black = torch.zeros(60, 1, 112, 112)
    found = scanner.draw_overlay(black, torch.tensor([0.0, 1.0]).repeat(30), keys)
    assert torch.equal(found[::2], black[::2])
    drawn = found[1::2, 0]
    # An ECG along the bottom, depth ticks at one side, and a ring at the top.
    assert (drawn[:, 80:].amax(1) > 0.2).float().mean() > 0.95
    ticks = drawn[:, 25:85] > 0
    assert not ticks[:, :, 12:100].any()
    assert (ticks[:, :, :12].flatten(1).any(1) ^ ticks[:, :, 100:].flatten(1).any(1)).all()
    assert drawn[:, :20, 20:95].flatten(1).amax(1).min() > 0.2
    # Nothing gets darker, and the brightness is that of white times 0.35 to 1.
    brightest = drawn.flatten(1).amax(1)
    assert 0.35 <= brightest.min() < 0.5 and 0.85 < brightest.max() <= 1
    white = torch.ones(60, 1, 40, 56)
    assert torch.equal(scanner.draw_overlay(white, torch.ones(60), keys), white)


def test_a_fan_crop_keeps_the_given_fan() -> None:
    gray = torch.ones(4, 1, 112, 112)
    found = scanner.crop_fan(
        gray,
        torch.tensor([0.0, 0.0, 8.0, 0.0]),
        torch.tensor([45.0, 30.0, 30.0, 45.0]),
        torch.tensor([1.0, 1.0, 1.0, 0.8]),
    )
    assert torch.equal(found[0], gray[0])
    apex_x, apex_y, depth = 61, 7, 60
    for frame, angles in ((1, (-30, 30)), (2, (-22, 38))):
        kept = np.flatnonzero(found[frame, 0, apex_y + depth].numpy())
        low, high = (depth * np.tan(np.radians(angle)) + apex_x for angle in angles)
        assert abs(kept.min() - low) <= 1 and abs(kept.max() - high) <= 1
        assert np.array_equal(kept, np.arange(kept.min(), kept.max() + 1))
    assert np.flatnonzero(found[3, 0, :, apex_x].numpy()).max() == apex_y + 0.8 * 105 - 1


def test_a_dropped_sector_has_the_given_angle() -> None:
    gray = torch.ones(3, 1, 112, 112)
    found = scanner.drop_sector(gray, torch.tensor([0.0, 30.0, 0.0]), torch.tensor([0.0, 20.0, 90]))
    assert torch.equal(found[0], gray[0])
    # Along a row at depth d below the apex, from d tan(20 degrees) to d tan(40 degrees).
    apex_x, apex_y = 61, 7
    for depth in (30, 60):
        dark = np.flatnonzero(found[1, 0, apex_y + depth].numpy() == 0)
        low, high = (depth * np.tan(np.radians(angle)) + apex_x for angle in (20, 40))
        assert abs(dark.min() - low) <= 1 and abs(dark.max() - min(high, 111)) <= 1
        assert np.array_equal(dark, np.arange(dark.min(), dark.max() + 1))
    # 90 degrees about vertical: the whole fan, and nothing above the apex.
    assert found[2, 0, apex_y + 20, apex_x - 19 : apex_x + 20].max() == 0
    assert found[2, 0, : apex_y - 1].min() == 1
