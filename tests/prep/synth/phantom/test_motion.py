from __future__ import annotations

import numpy as np
import pytest

from echo_prep.synth.phantom.motion import simulate_motion
from echo_prep.synth.phantom.study import Rhythm


def rhythm(**changes: float) -> Rhythm:
    values = {
        "frames": 200, "fps": 50.0, "rate": 60.0, "start": 0.0, "irregularity": 0.0,
        "breathing": 0.0,
    }  # fmt: skip
    return Rhythm(**{**values, **changes})  # type: ignore[arg-type]


def test_beats_follow_the_heart_rate() -> None:
    motion = simulate_motion(rhythm(), np.random.default_rng(0))
    high = motion.contraction > 0.5
    rises = np.flatnonzero(np.diff(high.astype(int)) == 1)
    # Sixty beats per minute at fifty frames per second.
    assert len(rises) == 4
    np.testing.assert_allclose(np.diff(rises), 50, atol=1)


@pytest.mark.parametrize("number", range(20))
def test_traced_frames_are_end_diastole_and_end_systole(number: int) -> None:
    motion = simulate_motion(
        rhythm(start=number / 20, irregularity=0.04, rate=50 + 4 * number),
        np.random.default_rng(number),
    )
    assert motion.contraction[motion.ed_frame] == 0
    assert motion.contraction[motion.es_frame] == 1
    near = motion.contraction[max(0, motion.es_frame - 3) : motion.es_frame + 4]
    assert near.min() > 0.6
    assert motion.contraction.min() >= 0
    assert motion.contraction.max() <= 1.06


def test_valves_of_the_traced_frames_are_as_open_as_the_study_says() -> None:
    closed = simulate_motion(rhythm(), np.random.default_rng(1))
    motion = simulate_motion(rhythm(open_at_ed=0.7, open_at_es=0.2), np.random.default_rng(1))
    traced = [motion.ed_frame, motion.es_frame]
    assert closed.opening[traced].tolist() == [0, 0]
    assert motion.opening[traced].tolist() == [0.7, 0.2]
    np.testing.assert_array_equal(
        np.delete(motion.opening, traced), np.delete(closed.opening, traced)
    )


def test_mitral_valve_is_closed_in_systole_and_opens_afterwards() -> None:
    motion = simulate_motion(rhythm(), np.random.default_rng(1))
    shortening = np.gradient(motion.contraction)
    assert motion.opening[shortening > 0.02].max() == 0
    filling = shortening < -0.04
    assert filling.any()
    assert np.median(motion.opening[filling]) > 0.5
    assert motion.opening.max() <= 1


def test_systole_is_shorter_in_a_faster_beat() -> None:
    gaps = []
    for rate in (50.0, 120.0):
        motion = simulate_motion(rhythm(rate=rate, fps=100.0, frames=600), np.random.default_rng(2))
        gaps.append((motion.es_frame - motion.ed_frame) / 100)
    # At rest, systole takes about a third of a second.
    assert 0.3 < gaps[0] < 0.45
    assert gaps[1] < gaps[0]
