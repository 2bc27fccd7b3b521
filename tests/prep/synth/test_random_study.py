"""Random studies have the lengths, frame rates and traced frames of EchoNet-Dynamic."""

from __future__ import annotations

import numpy as np
import pytest

from echo_prep.synth.phantom.motion import Motion, simulate_motion
from echo_prep.synth.phantom.study import Rhythm
from echo_prep.synth.random_study import sample_study


@pytest.fixture(scope="module")
def rhythms() -> list[tuple[Rhythm, Motion]]:
    studies = []
    for number in range(1000):
        rng = np.random.default_rng([0, number])
        study = sample_study(rng, None)
        studies.append((study.rhythm, simulate_motion(study.rhythm, rng)))
    return studies


def test_frame_counts_and_rates(rhythms: list[tuple[Rhythm, Motion]]) -> None:
    counts = np.array([rhythm.frames for rhythm, _ in rhythms])
    rates = np.array([rhythm.fps for rhythm, _ in rhythms])
    assert counts.mean() == pytest.approx(176, abs=8)
    assert counts.min() >= 28
    assert 500 < counts.max() <= 1002
    assert (rates == 50).mean() == pytest.approx(0.79, abs=0.03)
    assert rates.min() >= 18
    assert 100 < rates.max() <= 138


def test_gap_between_traced_frames(rhythms: list[tuple[Rhythm, Motion]]) -> None:
    gaps = np.array([motion.es_frame - motion.ed_frame for _, motion in rhythms])
    assert np.median(np.abs(gaps)) == pytest.approx(16, abs=1)
    assert np.abs(gaps).min() >= 1
    assert 100 < np.abs(gaps).max() <= 220
    # In about one per cent of the videos end-systole comes first; some are traced at frame 0.
    assert 0.003 < (gaps < 0).mean() < 0.03
    first = np.array([min(motion.ed_frame, motion.es_frame) for _, motion in rhythms])
    assert 0.01 < (first == 0).mean() < 0.06
