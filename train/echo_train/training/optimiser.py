"""The optimiser: AdamW without decay of biases and normalisations. The trainer uses it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def make_optimiser(
    network: nn.Module, learning_rate: float, weight_decay: float, device: torch.device
) -> torch.optim.Optimizer:
    """Make AdamW for a network; with a weight decay of 0 it is Adam.

    Weight decay applies to the filters of convolutions only, not to biases or to
    the scale and offset of normalisations.

    Parameters
    ----------
    network : nn.Module
    learning_rate, weight_decay : float
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
