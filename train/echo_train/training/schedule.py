"""The learning rate as a function of the step, and of nothing that was there before.

A schedule without state needs no saving: a run that goes on computes the rate
of its next step as the undisturbed run does.
"""

from __future__ import annotations

import math

SCHEDULES = ("cosine", "one-cycle", "constant")
"""The first is the default."""

WARM_UP = {"cosine": 0.05, "one-cycle": 0.3, "constant": 0.0}
"""Share of the steps in which the rate rises, where the settings leave it open."""

ONE_CYCLE_START = 1 / 25
ONE_CYCLE_END = ONE_CYCLE_START / 1e4
"""Shares of the full rate at the ends of a cycle, as `torch.optim.lr_scheduler.OneCycleLR` has."""


def rate_factor(step: int, steps: int, schedule: str, warm_up: float | None = None) -> float:
    """Share of the full learning rate that one step is taken with.

    `constant` stays at 1. `cosine` falls along half a cosine to 0 after the
    last step (Loshchilov and Hutter, 2017). Both rise to it in equal steps.
    `one-cycle` rises from 1/25 and falls to almost nothing, along a half
    cosine each (Smith and Topin, 2019).

    Parameters
    ----------
    step : int
        From 0.
    steps : int
        Steps of the whole run, more than `step`.
    schedule : str
        One of `SCHEDULES`.
    warm_up : float, optional
        Share of the steps in which the rate rises, in [0, 1]; the
        schedule's own by default.

    Returns
    -------
    factor : float
        In [0, 1].

    Examples
    --------
    >>> [rate_factor(step, 4, "cosine", warm_up=0.5) for step in range(4)]
    [0.5, 1.0, 1.0, 0.5]
    """
    share = WARM_UP[schedule] if warm_up is None else warm_up
    if schedule == "one-cycle":
        peak = share * steps - 1
        if step <= peak:
            return _half_cosine(ONE_CYCLE_START, 1.0, step / peak if peak > 0 else 1.0)
        return _half_cosine(1.0, ONE_CYCLE_END, (step - peak) / (steps - 1 - peak))
    rising = round(share * steps)
    if step < rising:
        return (step + 1) / rising
    if schedule == "constant":
        return 1.0
    return _half_cosine(1.0, 0.0, (step - rising) / (steps - rising))


def _half_cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
