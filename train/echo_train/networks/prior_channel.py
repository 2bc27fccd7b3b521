"""A location prior as an extra input channel of a network.

`echo_train.networks.architecture` adds the channel; `echo_train.data.location_prior`
makes the prior.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from echo_train.networks.unet import UNet


class PriorChannel(nn.Module):
    """A network with the prior as an additional input channel.

    The prior is a buffer, so checkpoints contain it.

    Parameters
    ----------
    network : UNet
        Takes one more channel than the images have.
    prior : Tensor, (y, x) float
    """

    prior: Tensor

    def __init__(self, network: UNet, prior: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("prior", prior.float()[None, None])

    def forward(self, images: Tensor) -> Tensor:
        """Compute the logits of images, (batch, channel, y, x)."""
        logits: Tensor = self.network(self._add_prior(images))
        return logits

    def attention(self, images: Tensor) -> list[Tensor]:
        """Compute the network's attention maps; see `echo_train.networks.unet.UNet.attention`."""
        return self.network.attention(self._add_prior(images))

    def _add_prior(self, images: Tensor) -> Tensor:
        prior = self.prior.to(images.dtype)
        if prior.shape[-2:] != images.shape[-2:]:
            # Stretched to the images, so that it covers the same part of them.
            prior = functional.interpolate(
                prior, images.shape[-2:], mode="bilinear", align_corners=False
            )
        return torch.cat([images, prior.expand(len(images), -1, -1, -1)], dim=1)
