"""The shape prior against the closed-form Gaussian, and on landmarks moved on purpose."""

from __future__ import annotations

import numpy as np
import pytest

from echo_train.landmarks.shape_prior import (
    IMPLAUSIBLE,
    MEASUREMENT,
    ShapePrior,
    fit_shape_prior,
)


@pytest.fixture
def shapes() -> np.ndarray:
    """400 ventricles of 7 landmarks: size, position and tilt vary, with a little noise."""
    rng = np.random.default_rng(0)
    base = np.array([[-13, 25], [-14, 5], [-9, -15], [0, -28], [9, -15], [14, 5], [13, 25.0]])
    scale = rng.normal(1, 0.12, 400)
    angle = rng.normal(0, 0.12, 400)
    position = rng.normal([58, 48], 5, (400, 2))
    turn = np.stack(
        [np.stack([np.cos(angle), -np.sin(angle)], 1), np.stack([np.sin(angle), np.cos(angle)], 1)],
        1,
    )
    return (
        scale[:, None, None] * (base @ turn) + position[:, None] + rng.normal(0, 0.5, (400, 7, 2))
    )


def test_modes_reproduce_the_covariance(shapes: np.ndarray) -> None:
    prior = fit_shape_prior(shapes)
    covariance = np.cov(shapes.reshape(400, -1).T)
    found = prior.modes.T @ prior.modes
    values = np.linalg.eigvalsh(covariance)[::-1][: len(prior.modes)]
    np.testing.assert_allclose(np.sort(np.linalg.eigvalsh(found))[::-1][: len(values)], values)
    left = np.trace(covariance) - values.sum()
    assert prior.residual**2 * (14 - len(values)) == pytest.approx(left)
    assert left <= 0.01 * np.trace(covariance)


def test_plausible_landmarks_stay_exactly(shapes: np.ndarray) -> None:
    prior = fit_shape_prior(shapes[:300])
    measured = shapes[300:] + np.random.default_rng(1).normal(0, 1.0, (100, 7, 2))
    np.testing.assert_array_equal(prior.correct(measured), measured)


@pytest.mark.parametrize("landmark", range(7))
def test_a_landmark_far_off_is_pulled_back_and_the_others_stay(
    shapes: np.ndarray, landmark: int
) -> None:
    prior = fit_shape_prior(shapes[:300])
    moved = shapes[300:].copy()
    moved[:, landmark] += [25, -20]
    corrected = prior.correct(moved)
    others = np.arange(7) != landmark
    np.testing.assert_array_equal(corrected[:, others], moved[:, others])
    error = np.linalg.norm(corrected[:, landmark] - shapes[300:, landmark], axis=1)
    assert error.mean() < 2.5
    assert error.max() < 8


def test_missed_landmarks_are_filled_in_by_the_conditional_mean(shapes: np.ndarray) -> None:
    prior = fit_shape_prior(shapes[:300])
    missed = shapes[300:].copy()
    missed[:, [0, 4]] = np.nan
    corrected = prior.correct(missed)
    # Conditioning the training split's own Gaussian, with the decoder's error as noise.
    flat = shapes[:300].reshape(300, -1)
    mean, covariance = flat.mean(0), np.cov(flat.T)
    known = np.repeat(~np.isnan(missed[0]).any(axis=1), 2)
    inner = covariance[np.ix_(known, known)] + MEASUREMENT**2 * np.eye(known.sum())
    gain = covariance[np.ix_(~known, known)] @ np.linalg.inv(inner)
    observed = shapes[300:].reshape(100, -1)[:, known]
    expected = mean[~known] + (observed - mean[known]) @ gain.T
    np.testing.assert_allclose(corrected.reshape(100, -1)[:, ~known], expected, atol=1.0)
    assert np.abs(corrected[:, [0, 4]] - shapes[300:][:, [0, 4]]).mean() < 2.0


def test_a_frame_without_landmarks_gets_the_mean_shape(shapes: np.ndarray) -> None:
    prior = fit_shape_prior(shapes)
    corrected = prior.correct(np.full((1, 7, 2), np.nan))
    np.testing.assert_allclose(corrected[0], shapes.mean(axis=0))


def corrected_alone(prior: ShapePrior, points: np.ndarray) -> np.ndarray:
    """Correct one frame by Gaussian conditioning on the coordinates instead of the modes."""
    seen = ~np.isnan(points).any(axis=1)
    known = np.repeat(seen, 2)
    covariance = prior.modes.T @ prior.modes
    variance = MEASUREMENT**2 + prior.residual**2
    weights = np.ones(seen.sum())
    for _ in range(10):
        noise = np.diag(np.repeat(variance / weights, 2))
        gain = covariance[:, known] @ np.linalg.inv(covariance[np.ix_(known, known)] + noise)
        expected = prior.mean + gain @ (points[seen].reshape(-1) - prior.mean[known])
        expected = expected.reshape(-1, 2)
        squared = ((points[seen] - expected[seen]) ** 2).sum(axis=1) / variance
        weights = 1 / (1 + squared / 4)
    corrected = expected.copy()
    plausible = np.flatnonzero(seen)[squared <= IMPLAUSIBLE**2]
    corrected[plausible] = points[plausible]
    return corrected


def test_frames_are_corrected_together_as_each_alone(shapes: np.ndarray) -> None:
    prior = fit_shape_prior(shapes[:300])
    rng = np.random.default_rng(2)
    points = shapes[300:] + rng.normal(0, 1, (100, 7, 2))
    moved = rng.random((100, 7)) < 0.15
    points[moved] += rng.normal(0, 20, (moved.sum(), 2))
    points[rng.random((100, 7)) < 0.15] = np.nan
    expected = np.stack([corrected_alone(prior, frame) for frame in points])
    assert (expected != points).any(axis=2).mean() > 0.2
    np.testing.assert_allclose(prior.correct(points), expected, atol=1e-9)
    single = points.astype(np.float32)
    assert prior.correct(single).dtype == np.float32
    np.testing.assert_allclose(prior.correct(single), expected, atol=1e-3)
