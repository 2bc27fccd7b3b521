from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from echo_prep.synth.phantom.scanner import BEAMS, DEPTHS, PolarGrid, Scanner, fan_mask, gray_map
from echo_prep.synth.phantom.study import SIZE, Appearance, Probe
from echo_prep.synth.random_study import sample_study

PROBE = Probe(x=61.0, y=7.0, tilt=0.0, half_angle=np.radians(45), radius=103.0)


def plain_appearance(**changes: object) -> Appearance:
    appearance = sample_study(np.random.default_rng(0), 16).appearance
    values = {
        "gray_wall": 180.0, "range_db": 50.0, "haze": 0.0, "noise": 0.0, "attenuation": 0.0,
        "gain_slope": 0.0, "shadows": (), "edge_loss": 0.0, "gamma": 1.0, "persistence": 0.0,
        "axial": 1.0, "angular": 1.2, "smoothing": 0.0, "native": 224,
    }  # fmt: skip
    return dataclasses.replace(appearance, **{**values, **changes})  # type: ignore[arg-type]


def test_conversions_between_samples_and_pixels_are_inverse() -> None:
    grid = PolarGrid(PROBE)
    points = np.array([[61.0, 40.0], [20.0, 80.0], [95.0, 60.0]])
    np.testing.assert_allclose(grid.to_frame(grid.to_samples(points)), points, atol=1e-9)
    samples = grid.to_samples(grid.points())[5:]
    beam, depth = np.meshgrid(np.arange(BEAMS), np.arange(DEPTHS))
    np.testing.assert_allclose(samples, np.stack([beam, depth], axis=-1)[5:], atol=1e-9)


def test_fan_is_that_of_echonet_dynamic() -> None:
    mask = fan_mask()
    for x in range(SIZE):
        for y in range(SIZE):
            assert (mask[y, x] == 255) == (x + y > 67 and x - y < 67)


def test_speckle_is_fully_developed() -> None:
    # Goodman: in fully developed speckle the mean magnitude is 1.913 standard deviations.
    rng = np.random.default_rng(1)
    scanner = Scanner(PolarGrid(PROBE), plain_appearance(), rng)
    magnitudes, powers = [], []
    for _ in range(20):
        field = rng.standard_normal((DEPTHS, BEAMS, 2), dtype=np.float32) * np.sqrt(0.5)
        signal = scanner.spread(field.astype(np.float32))[80:-10, 10:-10]
        magnitudes.append(np.hypot(signal[..., 0], signal[..., 1]))
        powers.append((signal**2).sum(axis=-1).mean())
    values = np.stack(magnitudes)
    assert values.mean() / values.std() == pytest.approx(np.sqrt(np.pi / (4 - np.pi)), rel=0.02)
    # The point spread function preserves the power of the scatterers.
    assert np.mean(powers) == pytest.approx(1, rel=0.03)


def test_point_spread_widens_with_depth() -> None:
    widths = []
    for depth in (80, 160):
        field = np.zeros((DEPTHS, BEAMS, 2), np.float32)
        field[depth, BEAMS // 2] = 60.0
        scanner = Scanner(PolarGrid(PROBE), plain_appearance(angular=2.0), np.random.default_rng(2))
        frame = scanner.form(field).astype(float)
        row = round(PROBE.y + depth * PROBE.radius / (DEPTHS - 1))
        line = frame[row - 1 : row + 2].max(axis=0)
        widths.append((line > line.max() - 60).sum())
    assert widths[1] / widths[0] == pytest.approx(2, rel=0.25)


def test_gray_is_logarithmic() -> None:
    rng = np.random.default_rng(3)
    field = rng.standard_normal((DEPTHS, BEAMS, 2), dtype=np.float32) * np.float32(np.sqrt(0.5))
    levels = []
    for amplitude in (1.0, 0.1):
        scanner = Scanner(PolarGrid(PROBE), plain_appearance(), np.random.default_rng(4))
        levels.append(scanner.form(amplitude * field)[50:90, 50:70].mean())
    # A tenth of the amplitude is 20 dB less; 255 gray values span 50 dB.
    assert levels[0] - levels[1] == pytest.approx(20 * 255 / 50, rel=0.05)


def test_the_frame_is_black_outside_the_sector() -> None:
    field = np.full((DEPTHS, BEAMS, 2), 5.0, np.float32)
    frame = Scanner(PolarGrid(PROBE), plain_appearance(), np.random.default_rng(5)).form(field)
    y, x = np.mgrid[:SIZE, :SIZE]
    radius = np.hypot(x - PROBE.x, y - PROBE.y)
    assert frame[fan_mask() == 0].max() == 0
    assert frame[radius > PROBE.radius + 2].max() == 0
    inside = (radius < 98) & (radius > 10) & (np.abs(x - PROBE.x) < 0.9 * (y - PROBE.y))
    assert frame[inside & (fan_mask() > 0)].min() > 100


def test_gray_maps_increase_from_black_to_white() -> None:
    for contrast in (-0.9, 0.0, 0.9):
        for gamma in (0.6, 1.0, 2.1):
            curve = gray_map(plain_appearance(gamma=gamma, contrast=contrast, reject=20.0))
            assert curve[0] == curve[20] == 0
            assert curve[255] == 1
            assert (np.diff(curve[20:]) > 0).all()
    np.testing.assert_allclose(gray_map(plain_appearance()), np.arange(256) / 255)
    # An S-shaped curve darkens the dark half and brightens the bright half.
    curve = gray_map(plain_appearance(contrast=0.5)) - np.arange(256) / 255
    assert curve[64] < -0.02
    assert curve[192] > 0.02


def test_an_uncropped_frame_shows_the_sector_and_the_overlay() -> None:
    field = np.full((DEPTHS, BEAMS, 2), 5.0, np.float32)
    probe = dataclasses.replace(PROBE, half_angle=np.radians(50), radius=96.0)
    frames = [
        Scanner(
            PolarGrid(probe),
            plain_appearance(cropped=cropped, overlay=overlay),
            np.random.default_rng(5),
        ).form(field)
        for cropped, overlay in ((True, False), (False, False), (False, True))
    ]
    outside = fan_mask() == 0
    assert frames[0][outside].max() == 0
    assert frames[1][outside].max() > 100
    np.testing.assert_array_equal(frames[0][~outside], frames[1][~outside])
    drawn = frames[2] != frames[1]
    assert 50 < drawn.sum() < 600
    assert (frames[2] >= frames[1]).all()


def test_attenuation_darkens_deep_tissue() -> None:
    rng = np.random.default_rng(6)
    field = rng.standard_normal((DEPTHS, BEAMS, 2), dtype=np.float32)
    frame = Scanner(PolarGrid(PROBE), plain_appearance(attenuation=40.0), rng).form(field)
    drop = frame[30:40, 55:68].mean() - frame[85:95, 55:68].mean()
    # 80 gray values over 103 px; the two bands are 55 px apart.
    assert drop == pytest.approx(80 * 55 / 103, abs=12)
