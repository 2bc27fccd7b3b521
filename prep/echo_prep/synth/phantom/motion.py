"""Motion of the heart over time: contraction, mitral valve and breathing in each frame.

Contraction varies between 0 (end-diastole) and 1 (end-systole), following the
volume curve of a beat: ejection, isovolumic relaxation, rapid filling, a pause
(diastasis) and the atrial kick.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from echo_prep.synth.phantom.study import Rhythm


@dataclasses.dataclass(frozen=True, kw_only=True)
class Motion:
    """State of the heart in each frame.

    Attributes
    ----------
    contraction : ndarray, (frame,) float64
        0 at end-diastole, 1 at end-systole; it varies slightly with the strength of the beat.
    opening : ndarray, (frame,) float64
        Opening of the mitral valve, from 0 to 1.
    sway : ndarray, (frame, 2) float64
        Displacement of the whole heart: pixels away from the probe, and pixels to the right of
        the image at a depth of 50 pixels.
    ed_frame, es_frame : int
        The two traced frames, at end-diastole and at end-systole.
    """

    contraction: np.ndarray
    opening: np.ndarray
    sway: np.ndarray
    ed_frame: int
    es_frame: int


def simulate_motion(rhythm: Rhythm, rng: np.random.Generator) -> Motion:
    """Simulate the beating heart for the length of a video."""
    times = np.arange(rhythm.frames) / rhythm.fps
    period = 60 / rhythm.rate
    count = int(times[-1] / period) + 4
    lengths = period * np.clip(rng.normal(1, rhythm.irregularity, count), 0.6, 1.6)
    starts = np.concatenate([[0.0], np.cumsum(lengths)]) - rhythm.start * lengths[0]
    beat = np.clip(np.searchsorted(starts, times, side="right") - 1, 0, count - 1)
    since_start = times - starts[beat]
    strength = np.clip(rng.normal(1, 0.02, count), 0.94, 1.05)
    contraction, opening = _states(since_start, lengths[beat], strength[beat])
    ed_frame, es_frame = _choose_frames(contraction, beat, rng)
    # In the two traced frames the ventricle has exactly its end-diastolic and end-systolic shape.
    contraction[ed_frame], contraction[es_frame] = 0.0, 1.0
    opening[ed_frame], opening[es_frame] = rhythm.open_at_ed, rhythm.open_at_es
    phase = rng.uniform(0, 2 * np.pi, 3)
    slow = 2 * np.pi * times * rng.uniform(0.15, 0.35)
    fast = 2 * np.pi * times / period
    depth = rhythm.breathing * (np.sin(slow + phase[0]) + 0.3 * np.sin(fast + phase[2]))
    sideways = rhythm.breathing * 0.8 * np.sin(slow + phase[1])
    return Motion(
        contraction=contraction,
        opening=opening,
        sway=np.stack([depth, sideways], axis=1),
        ed_frame=ed_frame,
        es_frame=es_frame,
    )


def _states(
    since_start: np.ndarray, length: np.ndarray, strength: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Contraction and valve opening, at seconds since the start of a beat."""
    systole = 0.345 * np.sqrt(length)
    diastole = length - systole
    # End of each phase: ejection, relaxation, rapid filling, pause, atrial kick.
    ends = np.cumsum(
        [systole, 0.10 * diastole, 0.34 * diastole, 0.30 * diastole, 0.26 * diastole], axis=0
    )
    levels = [0.0, 1.0, 0.96, 0.28, 0.22, 0.0]
    contraction = np.zeros_like(since_start)
    begin = np.zeros_like(since_start)
    for end, before, after in zip(ends, levels[:-1], levels[1:], strict=True):
        fraction = np.clip((since_start - begin) / np.maximum(end - begin, 1e-6), 0, 1)
        contraction += (after - before) * 0.5 * (1 - np.cos(np.pi * fraction))
        begin = end
    filling = (since_start - ends[1]) / (ends[2] - ends[1])
    kick = (since_start - ends[3]) / (ends[4] - ends[3])
    opening = np.maximum(_hump(filling), 0.8 * _hump(kick))
    between = (since_start > ends[1]) & (since_start < ends[3])
    opening = np.maximum(opening, np.where(between & (filling > 0.5), 0.35, 0.0))
    return contraction * strength, opening


def _hump(fraction: np.ndarray) -> np.ndarray:
    return np.sin(np.pi * np.clip(fraction, 0, 1)) ** 0.7


def _choose_frames(
    contraction: np.ndarray, beat: np.ndarray, rng: np.random.Generator
) -> tuple[int, int]:
    """Choose the end-diastolic and the end-systolic frame of a beat, or rarely of two beats.

    In a video shorter than a beat, choose the frames with the largest and smallest volume.
    """
    largest, smallest = _turning_points(contraction, beat)
    reverse, two_beats = rng.random(2)
    pairs = [
        (ed, min(es for es in smallest if es > ed))
        for ed in largest
        if ed < max(smallest, default=-1)
    ]
    if not pairs:
        return int(np.argmin(contraction)), int(np.argmax(contraction))
    if reverse < 0.01 and smallest[0] < largest[-1]:
        # Traced in reverse order: end-systole, then the next end-diastole.
        es_frame = int(rng.choice([es for es in smallest if es < largest[-1]]))
        return min(ed for ed in largest if ed > es_frame), es_frame
    ed_frame, es_frame = pairs[int(rng.integers(len(pairs)))]
    if two_beats < 0.03:
        es_frame = int(rng.choice([es for es in smallest if ed_frame < es <= ed_frame + 220]))
    return ed_frame, es_frame


def _turning_points(contraction: np.ndarray, beat: np.ndarray) -> tuple[list[int], list[int]]:
    """Frames with the largest and with the smallest volume of each beat."""
    largest, smallest = [], []
    for number in np.unique(beat):
        frames = np.flatnonzero(beat == number)
        values = contraction[frames]
        if values.min() < 0.05:
            largest.append(int(frames[0] if values[0] < 0.05 else frames[np.argmin(values)]))
        if values.max() > 0.9:
            smallest.append(int(frames[np.argmax(values)]))
    return largest, smallest
