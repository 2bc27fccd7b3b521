from __future__ import annotations

import numpy as np
import pytest

from echo_common.measures.beats import find_beats, smooth_curve


def volume(seconds: np.ndarray, beat: float, start: float = 0.0) -> np.ndarray:
    """End-diastole at the start of each beat, end-systole after 0.35 of it, volumes 120 and 50."""
    phase = (seconds / beat + start) % 1
    falling = 0.5 + 0.5 * np.cos(np.pi * phase / 0.35)
    rising = 0.5 - 0.5 * np.cos(np.pi * (phase - 0.35) / 0.65)
    return 50 + 70 * np.where(phase < 0.35, falling, rising)


def clip(frames: int, rate: float, beat: float, start: float = 0.0) -> np.ndarray:
    return volume(np.arange(frames) / rate, beat, start)


@pytest.mark.parametrize("rate", [25.0, 50.0, 90.0])
@pytest.mark.parametrize("beat", [0.5, 0.9, 1.3])
def test_beats_and_heart_rate_of_a_regular_rhythm(rate: float, beat: float) -> None:
    beats = find_beats(clip(round(5 * rate), rate, beat, start=0.6), rate)
    first = 0.4 * beat
    expected = np.arange(first, 4.99 - 0.36 * beat, beat)
    assert len(beats.ed) == len(expected)
    np.testing.assert_allclose(beats.ed / rate, expected, atol=1 / rate + 0.01)
    np.testing.assert_allclose(beats.es / rate, expected + 0.35 * beat, atol=1 / rate + 0.01)
    assert beats.heart_rate(rate) == pytest.approx(60 / beat, rel=0.02)
    assert beats.irregularity() < 0.05


def test_noise_and_single_outliers_do_not_add_beats() -> None:
    rng = np.random.default_rng(0)
    curve = clip(200, 50.0, 1.0, start=0.6)
    noisy = curve + rng.normal(0, 4, 200)
    noisy[[30, 77, 140]] = [0, 300, 0]
    noisy[100:104] = np.nan
    beats = find_beats(noisy, 50.0)
    clean = find_beats(curve, 50.0)
    assert len(beats.ed) == len(clean.ed) == 4
    np.testing.assert_allclose(beats.es, clean.es, atol=3)
    np.testing.assert_allclose(beats.ed, clean.ed, atol=5)


def test_partial_beats_at_both_ends_are_left_out() -> None:
    # The clip begins in the middle of one systole and ends in the middle of another.
    beats = find_beats(clip(102, 50.0, 1.0, start=0.15), 50.0)
    np.testing.assert_allclose(beats.ed, [42], atol=1)
    np.testing.assert_allclose(beats.es, [60], atol=1)


def test_a_clip_that_begins_at_end_diastole_has_its_first_beat() -> None:
    beats = find_beats(clip(100, 50.0, 1.0), 50.0)
    np.testing.assert_allclose(beats.ed, [0, 50], atol=1)
    np.testing.assert_allclose(beats.es, [17, 67], atol=1)


def test_a_clip_of_one_systole_is_a_beat() -> None:
    beats = find_beats(clip(18, 50.0, 1.0), 50.0)
    assert (beats.ed.tolist(), beats.es.tolist()) == ([0], [17])
    assert np.isnan(beats.heart_rate(50.0))


def test_without_a_complete_systole_the_filling_is_used() -> None:
    # From the middle of a systole to the next end-diastole.
    beats = find_beats(clip(42, 50.0, 1.0, start=0.2), 50.0)
    np.testing.assert_allclose(beats.es, [7], atol=1)
    np.testing.assert_allclose(beats.ed, [40], atol=1)


def test_an_irregular_rhythm_shows_in_its_spread() -> None:
    rate, intervals = 50.0, [0.6, 1.1, 0.7, 1.3, 0.6]
    curve = np.concatenate([clip(round(rate * beat), rate, beat) for beat in intervals])
    beats = find_beats(curve, rate)
    # Between end-systoles, which follow 0.35 of a beat after its start.
    systoles = np.cumsum([0, *intervals[:-1]]) + 0.35 * np.array(intervals)
    exact = np.diff(systoles)
    assert beats.irregularity() == pytest.approx(exact.std(ddof=1) / exact.mean(), rel=0.1)
    assert beats.irregularity() > 0.1


@pytest.mark.parametrize("curve", [[], [3.0], [np.nan, np.nan, np.nan], [5.0] * 20])
def test_a_curve_without_beats_has_none(curve: list[float]) -> None:
    beats = find_beats(np.array(curve), 50.0)
    assert len(beats.ed) == len(beats.es) == 0
    assert np.isnan(beats.heart_rate(50.0))
    assert np.isnan(beats.irregularity())


def test_gaps_are_filled_linearly() -> None:
    smooth = smooth_curve(np.array([0.0, 1.0, np.nan, np.nan, 4.0, 5.0]), 1.0)
    np.testing.assert_allclose(smooth, np.arange(6.0))
