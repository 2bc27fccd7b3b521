"""The networks by name, and what is needed to rebuild one from a checkpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from echo_train.networks.attention_unet import AttentionUNet
from echo_train.networks.prior_channel import PriorChannel
from echo_train.networks.unet import UNet, UNetNoSkip

NETWORKS: dict[str, type[UNet]] = {
    "unet": UNet,
    "unet-no-skip": UNetNoSkip,
    "attention-unet": AttentionUNet,
}
"""The first is the default. All have one signature: in_channels, out_channels, width."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture:
    """All that decides the shapes of a network's weights; a checkpoint carries it.

    Attributes
    ----------
    network : str
        A name of `NETWORKS`.
    out_channels, width : int
    prior_shape : tuple of int, or None
        (height, width) of a prior that the network sees beside the image.
    """

    network: str
    out_channels: int
    width: int
    prior_shape: tuple[int, int] | None = None

    def make(self, prior: Tensor | None = None) -> nn.Module:
        """Make the network with new weights.

        Parameters
        ----------
        prior : Tensor, (y, x) float, optional
            What the network sees beside the image, where it does; by default
            zeros, for weights that are loaded afterwards bring it.
        """
        channels = 1 if self.prior_shape is None else 2
        network = NETWORKS[self.network](
            in_channels=channels, out_channels=self.out_channels, width=self.width
        )
        if self.prior_shape is None:
            return network
        return PriorChannel(network, torch.zeros(self.prior_shape) if prior is None else prior)


def attention_maps(network: nn.Module, images: Tensor) -> list[Tensor]:
    """Compute where a network looks; see `echo_train.networks.unet.UNet.attention`."""
    assert isinstance(network, UNet | PriorChannel)
    return network.attention(images)


def rebuild(checkpoint: Mapping[str, Any]) -> nn.Module:
    """Make the network of a checkpoint, with its weights, for evaluation.

    Parameters
    ----------
    checkpoint : mapping
        As `echo_train.runs.checkpoint.load_checkpoint` gives it.
    """
    network = Architecture(**checkpoint["architecture"]).make()
    network.load_state_dict(checkpoint["network"])
    return network.eval()
