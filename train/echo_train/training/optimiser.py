"""How the weights are moved: Adam, with decay and clipping where the settings ask for them."""

from __future__ import annotations

import torch
from torch import nn


def make_optimiser(
    network: nn.Module, learning_rate: float, weight_decay: float, device: torch.device
) -> torch.optim.Optimizer:
    """Make AdamW for a network; without weight decay, it is Adam.

    Biases and the two weights of a normalisation are not decayed: they are no
    filters, and a normalisation undoes a decay of the filter before it anyway.

    Parameters
    ----------
    network : nn.Module
    learning_rate, weight_decay : float
    device : torch.device
        On CUDA, one kernel updates all parameters.
    """
    filters = [values for values in network.parameters() if values.ndim > 1]
    others = [values for values in network.parameters() if values.ndim <= 1]
    groups = [
        {"params": filters, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, fused=device.type == "cuda")


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of the next step."""
    for group in optimiser.param_groups:
        group["lr"] = rate
