"""The learning rate as a function of the step.

The trainer computes the rate of each step. A schedule has no state, so a resumed
run computes the same rates as an uninterrupted one.
"""

from __future__ import annotations

import math

SCHEDULES = ("cosine", "one-cycle", "constant")
"""The first is the default."""

WARM_UP = {"cosine": 0.05, "one-cycle": 0.3, "constant": 0.0}
"""Default fraction of the steps in which the rate rises, by schedule."""

ONE_CYCLE_START = 1 / 25
ONE_CYCLE_END = ONE_CYCLE_START / 1e4
"""First and last rate of a cycle as fractions of the full rate, as in torch's `OneCycleLR`."""


def rate_factor(step: int, steps: int, schedule: str, warm_up: float | None = None) -> float:
    """Learning rate of a step as a fraction of the full rate.

    `constant` stays at 1. `cosine` falls along half a cosine to 0 after the
    last step (Loshchilov and Hutter, 2017). Both begin with a linear warm-up.
    `one-cycle` rises from 1/25 and falls to nearly 0, each along half a cosine
    (Smith and Topin, 2019).

    Parameters
    ----------
    step : int
        From 0.
    steps : int
        Steps of the run, more than `step`.
    schedule : str
        One of `SCHEDULES`.
    warm_up : float, optional
        Fraction of the steps in which the rate rises, in [0, 1]; by default
        from `WARM_UP`.

    Returns
    -------
    factor : float
        In [0, 1].

    Examples
    --------
    >>> [rate_factor(step, 4, "cosine", warm_up=0.5) for step in range(4)]
    [0.5, 1.0, 1.0, 0.5]
    """
    fraction = WARM_UP[schedule] if warm_up is None else warm_up
    if schedule == "one-cycle":
        peak = fraction * steps - 1
        if step <= peak:
            return _half_cosine(ONE_CYCLE_START, 1.0, step / peak if peak > 0 else 1.0)
        return _half_cosine(1.0, ONE_CYCLE_END, (step - peak) / (steps - 1 - peak))
    rising = round(fraction * steps)
    if step < rising:
        return (step + 1) / rising
    if schedule == "constant":
        return 1.0
    return _half_cosine(1.0, 0.0, (step - rising) / (steps - rising))


def _half_cosine(start: float, end: float, fraction: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * fraction)) / 2
