"""The optimiser, its learning rate at each step, and a moving average of the weights.

The trainer uses them. The learning rate has no state, so a resumed run computes
the same rates as an uninterrupted one. The average of the weights often predicts
better than the last weights; the trainer updates it after each step, validates it
and saves it.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import nn

WARM_UP = {"cosine": 0.05, "one-cycle": 0.3, "constant": 0.0}
"""Default fraction of the steps in which the rate rises, by schedule."""

ONE_CYCLE_START = 1 / 25
ONE_CYCLE_END = ONE_CYCLE_START / 1e4
"""First and last rate of a cycle as fractions of the full rate, as in torch's `OneCycleLR`."""


def make_optimiser(
    network: nn.Module, learning_rate: float, weight_decay: float, device: torch.device
) -> torch.optim.Optimizer:
    """Make AdamW for a network; with a weight decay of 0 it is Adam.

    Weight decay applies to the filters of convolutions only, not to biases or to
    the scale and offset of normalisations.

    Parameters
    ----------
    device : torch.device
        On CUDA, a fused kernel updates all parameters. On the CPU each is
        updated alone; elsewhere torch chooses.
    """
    filters = [weights for weights in network.parameters() if weights.ndim > 1]
    others = [weights for weights in network.parameters() if weights.ndim <= 1]
    groups = [
        {"params": filters, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    fused = {"cuda": True, "cpu": False}.get(device.type)
    return torch.optim.AdamW(groups, lr=learning_rate, fused=fused)


def load_optimiser(optimiser: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Restore the saved state of an optimiser, which may have run on another device.

    How the parameters are updated depends on the device, so it is not restored.

    Raises
    ------
    KeyError, AttributeError, TypeError, ValueError
        If the state is not one of these parameters.
    """
    moments = state["state"]
    parameters = [weights for group in optimiser.param_groups for weights in group["params"]]
    if moments.keys() != set(range(len(parameters))):
        raise ValueError("the optimiser has other parameters than the network")
    for number, parameter in enumerate(parameters):
        shapes = {name: moment.shape for name, moment in moments[number].items()}
        expected = {"step": torch.Size(), "exp_avg": parameter.shape, "exp_avg_sq": parameter.shape}
        if shapes != expected:
            raise ValueError("the optimiser has moments of other shapes than the network's weights")
    own = optimiser.state_dict()["param_groups"]
    rates = [
        {name: float(saved[name]) for name in ("lr", "weight_decay")}
        for saved in state["param_groups"]
    ]
    groups = [{**group, **saved} for group, saved in zip(own, rates, strict=True)]
    optimiser.load_state_dict({"state": moments, "param_groups": groups})


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of the next step."""
    for group in optimiser.param_groups:
        group["lr"] = rate


def rate_factor(step: int, steps: int, schedule: str, warm_up: float | None = None) -> float:
    """Learning rate of a step as a fraction of the full rate, in [0, 1].

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


class WeightEMA:
    """Exponential moving average of a network's weights and running statistics.

    After step n the average is ``d * average + (1 - d) * weights`` with
    ``d = min(decay, (1 + n) / (10 + n))``. The decay is small at first, so the
    initial random weights lose their influence quickly.

    Parameters
    ----------
    decay : float
        In (0, 1).

    Attributes
    ----------
    network : nn.Module
        A copy of the trained network with the averaged weights.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._decay = decay
        self._steps = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Add the weights after a step, without synchronising the device."""
        self._steps += 1
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
        average, weights = self.network.state_dict(), network.state_dict()
        floats = [name for name, values in average.items() if values.is_floating_point()]
        torch._foreach_lerp_(
            [average[name] for name in floats], [weights[name] for name in floats], 1 - decay
        )
        for name in average.keys() - set(floats):
            average[name].copy_(weights[name])

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resumed run needs."""
        return {"network": self.network.state_dict(), "steps": self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a saved average.

        Raises
        ------
        KeyError, RuntimeError, ValueError
            If it is not one of this network.
        """
        if not isinstance(state["steps"], int) or state["steps"] < 0:
            raise ValueError(f"the average has {str(state['steps'])[:40]} steps")
        self.network.load_state_dict(state["network"])
        self._steps = state["steps"]
