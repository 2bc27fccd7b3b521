"""Bootstrap intervals against SciPy's, which uses another random generator."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from echo_train.metrics.bootstrap import bootstrap_intervals


def scipy_interval(above: np.ndarray, below: np.ndarray) -> tuple[float, float]:
    """Interval of a ratio of sums over independent samples."""
    result = stats.bootstrap(
        (above, below),
        lambda top, bottom, axis: top.sum(axis) / bottom.sum(axis),
        paired=True,
        vectorized=True,
        n_resamples=10_000,
        method="percentile",
        rng=np.random.default_rng(9),
    )
    return result.confidence_interval.low, result.confidence_interval.high


def test_the_interval_of_a_mean_equals_scipys() -> None:
    values = np.random.default_rng(0).beta(8, 2, 80)
    (found,) = bootstrap_intervals(values[None], np.ones((1, 80)), np.arange(80))
    # Two sets of 10,000 samples differ by about a hundredth of the interval.
    width = found[1] - found[0]
    np.testing.assert_allclose(found, scipy_interval(values, np.ones(80)), atol=0.04 * width)
    error = values.std() / np.sqrt(80)
    assert width == pytest.approx(2 * 1.96 * error, rel=0.05)


def test_the_interval_of_a_pooled_ratio_equals_scipys() -> None:
    rng = np.random.default_rng(1)
    total = rng.uniform(200, 4000, 60)
    common = total * rng.beta(9, 1, 60)
    (found,) = bootstrap_intervals(common[None], total[None], np.arange(60))
    expected = scipy_interval(common, total)
    np.testing.assert_allclose(found, expected, atol=0.04 * (found[1] - found[0]))


def test_whole_videos_are_resampled() -> None:
    """Two equal frames of a video contain no more information than one."""
    values = np.random.default_rng(2).normal(0, 1, 40)
    (once,) = bootstrap_intervals(values[None], np.ones((1, 40)), np.arange(40))
    videos = np.array([f"video {number}" for number in range(40)])
    (twice,) = bootstrap_intervals(np.tile(values, 2)[None], np.ones((1, 80)), np.tile(videos, 2))
    width = once[1] - once[0]
    np.testing.assert_allclose(once, twice, atol=0.04 * width)


def test_frames_without_the_metric_are_ignored() -> None:
    values = np.random.default_rng(3).normal(5, 1, 50)
    above = np.concatenate([values, np.zeros(50)])[None]
    below = np.concatenate([np.ones(50), np.zeros(50)])[None]
    (found,) = bootstrap_intervals(above, below, np.tile(np.arange(50), 2))
    (alone,) = bootstrap_intervals(values[None], np.ones((1, 50)), np.arange(50))
    np.testing.assert_array_equal(found, alone)


def test_a_metric_of_no_frame_has_no_interval() -> None:
    above, below = np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[0.0, 0.0], [1.0, 1.0]])
    found = bootstrap_intervals(above, below, np.arange(2))
    assert np.isnan(found[0]).all()
    np.testing.assert_array_equal(found[1], [1, 1])
    assert bootstrap_intervals(np.zeros((2, 0)), np.zeros((2, 0)), np.arange(0)).shape == (2, 2)


def test_the_interval_depends_on_the_seed() -> None:
    values = np.random.default_rng(4).normal(0, 1, (1, 30))
    ones, videos = np.ones((1, 30)), np.arange(30)
    first = bootstrap_intervals(values, ones, videos)
    np.testing.assert_array_equal(first, bootstrap_intervals(values, ones, videos))
    assert not np.array_equal(first, bootstrap_intervals(values, ones, videos, seed=1))
