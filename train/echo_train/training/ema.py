"""A moving average of the weights, which often predicts better than the last weights.

`echo_train.training.trainer` updates it after each step, validates it and saves it.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn


class WeightEMA:
    """Exponential moving average of a network's weights and running statistics.

    After step n the average is ``d * average + (1 - d) * weights`` with
    ``d = min(decay, (1 + n) / (10 + n))``. The decay is small at first, so the
    initial random weights lose their influence quickly.

    Parameters
    ----------
    network : nn.Module
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
