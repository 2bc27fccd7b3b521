"""Hypothesis strategies for realistic traces and for arbitrary ones."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from support.datasets import half_ellipse_trace


@st.composite
def ventricles(draw: st.DrawFn, noise: float = 1.0) -> np.ndarray:
    """Traces of tilted half ellipses with jitter, (21, 4) float64.

    Parameters
    ----------
    noise : float
        Largest standard deviation of the jitter, in pixels.
    """
    apex = (draw(st.floats(25, 85)), draw(st.floats(5, 30)))
    base = (draw(st.floats(35, 75)), draw(st.floats(60, 100)))
    rows = half_ellipse_trace(apex, base, draw(st.floats(10, 45)))
    return jittered(rows, draw(st.floats(0, noise)), draw(st.integers(0, 2**20)))


@st.composite
def scribbles(draw: st.DrawFn) -> np.ndarray:
    """Any 21 rows; polygons may cross themselves and leave the image, (21, 4) float64."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    spread = draw(st.sampled_from([3.0, 60.0, 300.0]))
    rows = rng.uniform(56 - spread, 56 + spread, (21, 4))
    # Halves test the direction of rounding.
    return np.round(rows * 2) / 2 if draw(st.booleans()) else rows


def jittered(rows: np.ndarray, sd: float, seed: int) -> np.ndarray:
    """The trace with normally distributed noise added to every coordinate, in pixels."""
    return rows + np.random.default_rng(seed).normal(0, sd, rows.shape) if sd else rows
