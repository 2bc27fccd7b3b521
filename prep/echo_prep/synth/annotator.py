"""The annotator: 21 rows a traced frame, drawn with a human hand, and volumes from them."""

from __future__ import annotations

import dataclasses

import numpy as np

from echo_common.geometry.volume import CHORDS

_WAVES = 6


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hand:
    """How an annotator strays from the true border; one for both frames of a study.

    Attributes
    ----------
    bias : float
        Pixels by which the whole contour is drawn too far out.
    wobble : float
        Standard deviation of the slow waves along the contour, in pixels.
    slip : float
        Standard deviation of the apex and of the mitral plane along the long axis, in pixels.
    """

    bias: float
    wobble: float
    slip: float


def draw_hand(rng: np.random.Generator) -> Hand:
    """An annotator, some steadier than others."""
    return Hand(
        bias=float(rng.normal(0, 0.35)),
        wobble=float(rng.uniform(0.25, 0.8)),
        slip=float(rng.uniform(0.2, 0.9)),
    )


def draw_by_hand(contour: np.ndarray, hand: Hand, rng: np.random.Generator) -> np.ndarray:
    """Draw a contour as an annotator would.

    Parameters
    ----------
    contour : ndarray, (point, 2) float
        From the apex down the image's left wall, then up the right one; the first half of the
        points is the left wall.
    hand : Hand
    rng : numpy.random.Generator

    Returns
    -------
    drawn : ndarray, (point, 2) float64
    """
    half = len(contour) // 2
    down = contour[half - 1 : half + 1].mean(axis=0) - contour[0]
    down = down / np.linalg.norm(down)
    across = np.array([down[1], -down[0]])
    steps = np.linalg.norm(np.diff(contour, axis=0), axis=1)
    along = np.concatenate([[0], np.cumsum(steps)]) / steps.sum()
    orders = np.arange(1, _WAVES + 1)
    weights = rng.normal(size=(2, _WAVES)) / np.sqrt(orders)
    phases = 2 * np.pi * orders * along[:, None]
    wave = np.sin(phases) @ weights[0] + np.cos(phases) @ weights[1]
    outward = hand.bias + hand.wobble * wave / np.sqrt((1 / orders).sum())
    # A wall is moved sideways and the apex along the axis; the corners stay on the plane.
    side = (contour - contour[0]) @ across
    width = np.abs(side).max()
    lateral = np.clip(2.5 * side / width, -1, 1)
    apical = np.clip(1 - np.abs(lateral), 0, 1) * (np.abs(np.arange(len(side)) - half) > half / 2)
    drawn = contour + (outward * lateral)[:, None] * across - (outward * apical)[:, None] * down
    share = np.clip(
        (contour - contour[0]) @ down / np.linalg.norm(contour[half] - contour[0]), 0, 1
    )
    apex, plane = rng.normal(0, hand.slip, 2)
    return drawn + ((1 - share) * apex + share * plane)[:, None] * down


def trace_rows(contour: np.ndarray) -> np.ndarray:
    """Lay a long axis and chords into a contour, as the data set does.

    Parameters
    ----------
    contour : ndarray, (point, 2) float
        As for `draw_by_hand`.

    Returns
    -------
    rows : ndarray, (21, 4) float64
        X1, Y1, X2, Y2. Row 0 is the long axis from the apex to the middle of the mitral plane;
        rows 1 to 20 are chords at right angles to it, in the middle of 20 discs of equal
        height, from the apex to the base, the image's left wall first.
    """
    half = len(contour) // 2
    apex, base = contour[0], contour[half - 1 : half + 1].mean(axis=0)
    length = np.linalg.norm(base - apex)
    down = (base - apex) / length
    across = np.array([down[1], -down[0]])
    at = length * (np.arange(CHORDS) + 0.5) / CHORDS
    ends = []
    for wall in (contour[:half], contour[half:][::-1]):
        # The plane closes the wall: where it is tilted, the last chords end on it.
        closed = np.concatenate([apex[None], wall, base[None]]) - apex
        along = np.maximum.accumulate(closed @ down)
        ends.append(
            apex + at[:, None] * down + np.interp(at, along, closed @ across)[:, None] * across
        )
    return np.concatenate([[np.concatenate([apex, base])], np.concatenate(ends, axis=1)])
