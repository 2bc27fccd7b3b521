"""Small networks and images for their tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from echo_train.networks.architecture import NETWORKS
from echo_train.networks.unet import UNet


def make_network(name: str, **changes: Any) -> UNet:
    torch.manual_seed(0)
    return NETWORKS[name](**{"out_channels": 3, "width": 2, **changes})


def images(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


def interpolation(small: int, large: int) -> np.ndarray:
    """Matrix of linear interpolation between pixel centres, constant beyond the ends."""
    positions = np.clip((np.arange(large) + 0.5) * small / large - 0.5, 0, small - 1)
    return np.maximum(1 - np.abs(positions[:, None] - np.arange(small)), 0)
