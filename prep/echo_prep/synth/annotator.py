"""A simulated annotator: draws a contour inexactly, as a long axis and 20 chords."""

from __future__ import annotations

import dataclasses

import numpy as np

from echo_common.measures.disks import DISKS

_WAVES = 6


@dataclasses.dataclass(frozen=True, kw_only=True)
class Annotator:
    """How one annotator deviates from the true border; the same in both frames of a study.

    Attributes
    ----------
    bias : float
        Pixels by which the whole contour is drawn too far out.
    wobble : float
        Standard deviation of slow waves along the contour, in pixels.
    slip : float
        Standard deviation of the apex and the mitral plane along the long axis, in pixels.
    """

    bias: float
    wobble: float
    slip: float


def sample_annotator(rng: np.random.Generator) -> Annotator:
    """Draw an annotator at random; some have a steadier hand than others."""
    return Annotator(
        bias=float(rng.normal(0, 0.35)),
        wobble=float(rng.uniform(0.25, 0.8)),
        slip=float(rng.uniform(0.2, 0.9)),
    )


def draw_contour(contour: np.ndarray, annotator: Annotator, rng: np.random.Generator) -> np.ndarray:
    """Draw a contour as an annotator would.

    Parameters
    ----------
    contour : ndarray, (point, 2) float
        True contour, from the apex down the left wall of the image and back up the right wall.
        The first half of the points is the left wall.
    annotator : Annotator
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
    outward = annotator.bias + annotator.wobble * wave / np.sqrt((1 / orders).sum())
    # Walls move sideways and the apex moves along the axis; the corners stay on the mitral plane.
    side = (contour - contour[0]) @ across
    width = np.abs(side).max()
    lateral = np.clip(2.5 * side / width, -1, 1)
    apical = np.clip(1 - np.abs(lateral), 0, 1) * (np.abs(np.arange(len(side)) - half) > half / 2)
    drawn = contour + (outward * lateral)[:, None] * across - (outward * apical)[:, None] * down
    fraction = np.clip(
        (contour - contour[0]) @ down / np.linalg.norm(contour[half] - contour[0]), 0, 1
    )
    apex, plane = rng.normal(0, annotator.slip, 2)
    return drawn + ((1 - fraction) * apex + fraction * plane)[:, None] * down


def trace_rows(contour: np.ndarray) -> np.ndarray:
    """Describe a contour by a long axis and chords, as EchoNet-Dynamic does.

    Parameters
    ----------
    contour : ndarray, (point, 2) float
        In the point order of `draw_contour`.

    Returns
    -------
    rows : ndarray, (21, 4) float64
        X1, Y1, X2, Y2. Row 0 is the long axis from the apex to the middle of the mitral plane.
        Rows 1 to 20 are chords perpendicular to it, from apex to base, each in the middle of one
        of 20 disks of equal height. The end on the left wall of the image comes first.
    """
    half = len(contour) // 2
    apex, base = contour[0], contour[half - 1 : half + 1].mean(axis=0)
    length = np.linalg.norm(base - apex)
    down = (base - apex) / length
    across = np.array([down[1], -down[0]])
    heights = length * (np.arange(DISKS) + 0.5) / DISKS
    ends = []
    for wall in (contour[:half], contour[half:][::-1]):
        # The mitral plane closes each wall: if it is tilted, the last chords end on it.
        closed = np.concatenate([apex[None], wall, base[None]]) - apex
        along = np.maximum.accumulate(closed @ down)
        widths = np.interp(heights, along, closed @ across)
        ends.append(apex + heights[:, None] * down + widths[:, None] * across)
    return np.concatenate([[np.concatenate([apex, base])], np.concatenate(ends, axis=1)])
