"""A moving average of the weights, which judges better than the weights of the last step."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn


class Average:
    """Exponential moving average of a network's weights and running statistics.

    After step n the average is ``d * average + (1 - d) * weights`` with
    ``d = min(decay, (1 + n) / (10 + n))``: short at first, so that the random
    weights of the start are soon forgotten.

    Parameters
    ----------
    network : nn.Module
    decay : float
        In (0, 1).

    Attributes
    ----------
    network : nn.Module
        Holds the average; of the same class as the one that learns.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self._decay = decay
        self._steps = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take the weights of one more step; nothing waits for the device."""
        self._steps += 1
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
        ours, theirs = self.network.state_dict(), network.state_dict()
        real = [name for name, values in ours.items() if values.is_floating_point()]
        torch._foreach_lerp_(
            [ours[name] for name in real], [theirs[name] for name in real], 1 - decay
        )
        for name in ours.keys() - set(real):
            ours[name].copy_(theirs[name])

    def state_dict(self) -> dict[str, Any]:
        """What a run needs to go on."""
        return {"network": self.network.state_dict(), "steps": self._steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take up a saved average."""
        self.network.load_state_dict(state["network"])
        self._steps = state["steps"]
