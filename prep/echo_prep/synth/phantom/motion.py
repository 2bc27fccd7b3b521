"""How the heart moves in time: contraction, valve and breathing, a value a frame.

Contraction runs from 0 (end-diastole) to 1 (end-systole) along the volume
curve of a beat: ejection, isovolumic relaxation, rapid filling, a pause whose
length the heart rate decides, and the atrial kick.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from echo_prep.synth.phantom.study import Rhythm

_CURVE = 256
"""Samples of the volume curve of a beat."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Motion:
    """The heart's state in each frame.

    Attributes
    ----------
    contraction : ndarray, (frame,) float64
        0 at end-diastole, 1 at end-systole; a weaker or stronger beat ends a little off.
    opening : ndarray, (frame,) float64
        Of the mitral valve, from 0 to 1.
    sway : ndarray, (frame, 2) float64
        Of the whole heart: pixels away from the probe, and pixels to the image's right at a
        depth of 50 pixels.
    end_diastole, end_systole : int
        The frames that are traced.
    """

    contraction: np.ndarray
    opening: np.ndarray
    sway: np.ndarray
    end_diastole: int
    end_systole: int


def move(rhythm: Rhythm, rng: np.random.Generator) -> Motion:
    """Let the heart beat for the length of a video."""
    times = np.arange(rhythm.frames) / rhythm.fps
    period = 60 / rhythm.rate
    count = int(times[-1] / period) + 4
    lengths = period * np.clip(rng.normal(1, rhythm.irregularity, count), 0.6, 1.6)
    starts = np.concatenate([[0.0], np.cumsum(lengths)]) - rhythm.start * lengths[0]
    beat = np.clip(np.searchsorted(starts, times, side="right") - 1, 0, count - 1)
    inside = times - starts[beat]
    strength = np.clip(rng.normal(1, 0.02, count), 0.94, 1.05)
    contraction, opening = _states(inside, lengths[beat], strength[beat])
    first, last = _choose_frames(contraction, beat, rng)
    # The traced beat is drawn where the ventricle is exactly at its two ends.
    contraction[first], contraction[last] = 0.0, 1.0
    opening[first] = opening[last] = 0.0
    phase = rng.uniform(0, 2 * np.pi, 3)
    slow = 2 * np.pi * times * rng.uniform(0.15, 0.35)
    fast = 2 * np.pi * times / period
    depth = rhythm.breathing * (np.sin(slow + phase[0]) + 0.3 * np.sin(fast + phase[2]))
    aside = rhythm.breathing * 0.8 * np.sin(slow + phase[1])
    return Motion(
        contraction=contraction,
        opening=opening,
        sway=np.stack([depth, aside], axis=1),
        end_diastole=first,
        end_systole=last,
    )


def _states(
    inside: np.ndarray, length: np.ndarray, strength: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Contraction and valve opening at times (in seconds) inside beats of given lengths."""
    systole = 0.345 * np.sqrt(length)
    left = length - systole
    # Knots of the curve: ejection, relaxation, rapid filling, pause, atrial kick.
    knots = np.cumsum([systole, 0.10 * left, 0.34 * left, 0.30 * left, 0.26 * left], axis=0)
    levels = [0.0, 1.0, 0.96, 0.28, 0.22, 0.0]
    contraction = np.zeros_like(inside)
    before = np.zeros_like(inside)
    for knot, low, high in zip(knots, levels[:-1], levels[1:], strict=True):
        share = np.clip((inside - before) / np.maximum(knot - before, 1e-6), 0, 1)
        contraction += (high - low) * 0.5 * (1 - np.cos(np.pi * share))
        before = knot
    filling = (inside - knots[1]) / (knots[2] - knots[1])
    kick = (inside - knots[3]) / (knots[4] - knots[3])
    opening = np.maximum(_hump(filling), 0.8 * _hump(kick))
    between = (inside > knots[1]) & (inside < knots[3])
    opening = np.maximum(opening, np.where(between & (filling > 0.5), 0.35, 0.0))
    return contraction * strength, opening


def _hump(share: np.ndarray) -> np.ndarray:
    return np.sin(np.pi * np.clip(share, 0, 1)) ** 0.7


def _choose_frames(
    contraction: np.ndarray, beat: np.ndarray, rng: np.random.Generator
) -> tuple[int, int]:
    """Pick the end-diastole and the end-systole of one beat, or rarely of two.

    A video too short for a whole beat has its fullest and emptiest frames taken.
    """
    fullest, emptiest = _turning_points(contraction, beat)
    rare = rng.random(2)
    pairs = [
        (ed, min(es for es in emptiest if es > ed))
        for ed in fullest
        if ed < max(emptiest, default=-1)
    ]
    if not pairs:
        return int(np.argmin(contraction)), int(np.argmax(contraction))
    if rare[0] < 0.01 and emptiest[0] < fullest[-1]:
        # Traced the other way round: systole first, then the filling that follows.
        last = int(rng.choice([es for es in emptiest if es < fullest[-1]]))
        return min(ed for ed in fullest if ed > last), last
    first, last = pairs[int(rng.integers(len(pairs)))]
    if rare[1] < 0.03:
        last = int(rng.choice([es for es in emptiest if first < es <= first + 220]))
    return first, last


def _turning_points(contraction: np.ndarray, beat: np.ndarray) -> tuple[list[int], list[int]]:
    fullest, emptiest = [], []
    for number in np.unique(beat):
        frames = np.flatnonzero(beat == number)
        values = contraction[frames]
        if values.min() < 0.05:
            fullest.append(int(frames[0] if values[0] < 0.05 else frames[np.argmin(values)]))
        if values.max() > 0.9:
            emptiest.append(int(frames[np.argmax(values)]))
    return fullest, emptiest
