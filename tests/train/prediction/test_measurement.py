"""Beats, volumes and ejection fraction of a clip, against those of drawn ellipses."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from echo_train.prediction.measurement import Measurement, headline, measure_clip
from echo_train.prediction.segment import PackedMasks, Segmentation

BEAT = 0.8
"""Seconds."""


def beating(seconds: np.ndarray, systole: float = 0.7) -> Segmentation:
    """Half ellipses that contract from 60 to 60 * systole in length and 30 to 30 * systole."""
    # End-diastole at 0.2 s, end-systole at 0.6 s, and so on.
    size = systole + (1 - systole) * (0.5 + 0.5 * np.cos(2 * np.pi * (seconds - 0.2) / BEAT))
    angles = np.linspace(np.pi, 2 * np.pi, 101)
    outline = np.stack([15 * np.cos(angles), 60 * np.sin(angles)], axis=1)
    contours = size[:, None, None] * outline + [56, 90]
    axes = np.stack([contours[:, 50], contours[:, 0], contours[:, -1]], axis=1)
    count = len(seconds)
    return Segmentation(
        numbers=np.arange(count) + 5,
        seconds=seconds,
        masks=PackedMasks((112, 112)),
        areas=np.ones(count, int),
        contours=contours,
        axes=axes,
        points=None,
        confidence=np.ones(count),
        reasons=np.full(count, "", dtype="<U40"),
    )


def with_lost(found: Segmentation, lost: np.ndarray, reason: str) -> Segmentation:
    contours, reasons = found.contours.copy(), found.reasons.copy()
    contours[lost], reasons[lost] = np.nan, reason
    assert found.axes is not None
    axes = found.axes.copy()
    axes[lost] = np.nan
    return dataclasses.replace(found, contours=contours, axes=axes, reasons=reasons)


def check(measured: Measurement, beats: int) -> None:
    """Half an ellipsoid has the volume 2/3 pi a^2 b, which shrinks with the cube of its size."""
    assert measured.status == "measured" and len(measured.ed) == beats
    assert measured.ef == pytest.approx(100 * (1 - 0.7**3), abs=0.7)
    assert measured.fac == pytest.approx(100 * (1 - 0.7**2), abs=0.7)
    assert measured.strain == pytest.approx(-30, abs=0.5)
    # Twenty disks are less than 0.2 % off.
    assert measured.edv == pytest.approx(2 / 3 * np.pi * 15**2 * 60, rel=0.01)
    assert measured.heart_rate == pytest.approx(60 / BEAT, rel=0.01)


def test_beats_of_a_clip_of_constant_rate() -> None:
    seconds = np.arange(130) / 50
    measured = measure_clip(beating(seconds), 50.0, None)
    check(measured, 3)
    np.testing.assert_allclose(measured.ed, [10, 50, 90], atol=1)
    np.testing.assert_allclose(measured.es, [30, 70, 110], atol=1)
    assert measured.volume_unit == "px³" and measured.ef_sd < 0.5
    assert headline(measured).startswith(f"EF {measured.ef:.1f} ± ")


def test_beats_of_a_clip_of_variable_rate_and_with_lost_frames() -> None:
    rng = np.random.default_rng(3)
    steps = rng.choice([0.01, 0.02, 0.04], 130, p=[0.2, 0.6, 0.2])
    seconds = np.cumsum(steps) - steps[0]
    lost = rng.random(130) < 0.2
    measured = measure_clip(with_lost(beating(seconds), lost, "no landmark found"), None, None)
    check(measured, len(measured.ed))
    assert len(measured.ed) in (3, 4)
    np.testing.assert_allclose((seconds[measured.es] - 0.6) % BEAT, 0, atol=0.05)


def test_frames_whose_volume_jumps_are_left_out() -> None:
    found = beating(np.arange(130) / 50)
    contours = found.contours.copy()
    assert found.axes is not None
    axes = found.axes.copy()
    # As if the contour took in the atrium, during filling and once at end-systole.
    for first in (15, 36, 70, 96):
        frames = slice(first, first + 3)
        base = axes[frames, :1]
        contours[frames] = base + 1.3 * (contours[frames] - base)
        axes[frames] = base + 1.3 * (axes[frames] - base)
    measured = measure_clip(dataclasses.replace(found, contours=contours, axes=axes), 50.0, None)
    check(measured, 3)
    # End-systole at frame 70 is shown by a frame next to the jump.
    assert measured.es[1] in (69, 73)
    # The curve that is drawn keeps what was segmented.
    assert measured.curves["volume"][71] == pytest.approx(
        1.3**3 * measure_clip(found, 50.0, None).curves["volume"][71], rel=1e-3
    )


def test_a_clip_whose_volume_jumps_too_often_is_not_measured() -> None:
    found = beating(np.arange(130) / 50)
    middle = np.array([56, 90])
    jumping = (np.arange(130) + 5) % 10 < 3
    contours = np.where(
        jumping[:, None, None], middle + 1.5 * (found.contours - middle), found.contours
    )
    measured = measure_clip(dataclasses.replace(found, contours=contours, axes=None), 50.0, None)
    assert measured.status == "not measurable"
    assert measured.reason == "the volume jumps in 39 of 130 frames"


def test_volumes_are_millilitres_if_the_size_of_a_pixel_is_known() -> None:
    seconds = np.arange(130) / 50
    pixels, metric = (measure_clip(beating(seconds), 50.0, mm) for mm in (None, 0.5))
    assert metric.volume_unit == "ml" and metric.ef == pytest.approx(pixels.ef)
    assert metric.edv == pytest.approx(pixels.edv * 0.5**3 / 1000)


def test_a_clip_without_time_stamps_has_no_heart_rate() -> None:
    found = dataclasses.replace(beating(np.arange(130) / 50), seconds=np.full(130, np.nan))
    measured = measure_clip(found, None, None)
    assert len(measured.ed) == 3 and np.isnan(measured.heart_rate)


def test_an_irregular_rhythm_is_told() -> None:
    seconds = np.arange(260) / 50
    warped = seconds + 0.35 * np.sin(2 * np.pi * seconds / 2.3)
    found = dataclasses.replace(beating(warped), seconds=seconds)
    measured = measure_clip(found, 50.0, None)
    assert measured.status == "irregular"
    assert measured.reason.startswith("the intervals between beats vary by ")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda found: with_lost(found, np.arange(130) > 40, "confidence below 0.5"),
            "confidence below 0.5 in 89 of 130 frames",
        ),
        (
            lambda found: dataclasses.replace(
                found, seconds=found.seconds + np.where(np.arange(130) > 60, 1.0, 0.0)
            ),
            "there are 1.02 s between two frames",
        ),
        (
            lambda found: dataclasses.replace(
                found,
                contours=found.contours[np.random.default_rng(0).permutation(130)],
                axes=None,
            ),
            "the volume changes more between neighbouring frames than with the heart beat",
        ),
        (
            lambda found: dataclasses.replace(
                found, contours=found.contours[[0] * 130], axes=found.axes[[0] * 130]
            ),
            "no complete heart beat was found",
        ),
    ],
    ids=["lost", "gap", "shuffled", "still"],
)
def test_a_clip_that_cannot_be_measured_says_why(change, reason) -> None:  # type: ignore[no-untyped-def]
    measured = measure_clip(change(beating(np.arange(130) / 50)), 50.0, None)
    assert (measured.status, measured.reason) == ("not measurable", reason)
    assert np.isnan(measured.ef) and not len(measured.ed)
    assert headline(measured) == f"not measurable: {reason}"


def test_a_clip_of_one_frame_is_not_measurable() -> None:
    measured = measure_clip(beating(np.zeros(1)), 50.0, None)
    assert measured.status == "not measurable"
