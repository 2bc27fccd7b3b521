"""A location prior as an extra input channel of a network, and the settings of the prior.

`echo_train.networks.architecture` adds the channel; `echo_train.data.location_prior`
makes the prior.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn
from torch.nn import functional

from echo_common.cli.settings import setting
from echo_common.errors import SettingsError
from echo_train.networks.unet import UNet

PRIORS = ("none", "mean-mask", "box")
"""Kinds of prior; the first is the default."""

USES = ("weight", "channel")
"""How the prior is used; the first is the default."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PriorSettings:
    """Kind and use of the location prior.

    Attributes
    ----------
    prior : str
        One of `PRIORS`.
    prior_box : tuple of int, or None
        x0, y0, x1, y1 in pixels, inclusive.
    prior_use : str
        One of `USES`.
    prior_weight : float
        Growth of a pixel's weight with the prior; see
        `echo_train.losses.mask_losses.pixel_weights`.
    """

    prior: str = setting(
        PRIORS[0], "Location prior: where the ventricle usually is.", choices=PRIORS
    )
    prior_box: tuple[int, int, int, int] | None = setting(
        None, "x0,y0,x1,y1 in pixels, inclusive, for --prior box.", minimum=0
    )
    prior_use: str = setting(
        USES[0],
        "weight: weights of pixels in the loss; channel: second input channel of the network.",
        choices=USES,
    )
    prior_weight: float = setting(
        4.0,
        "Increase of a pixel's weight from prior 0 to prior 1, for --prior-use weight.",
        minimum=0,
    )

    def check_prior(self) -> None:
        """Check that the settings of the prior are consistent.

        Raises
        ------
        SettingsError
            If a box is missing, not wanted, or has its corners exchanged.
        """
        if self.prior == "box" and self.prior_box is None:
            raise SettingsError("--prior box needs --prior-box x0,y0,x1,y1")
        if self.prior_box is None:
            return
        if self.prior != "box":
            raise SettingsError(f"--prior-box needs --prior box, but --prior is {self.prior}")
        x0, y0, x1, y1 = self.prior_box
        if x0 > x1 or y0 > y1:
            raise SettingsError(
                f"--prior-box {x0},{y0},{x1},{y1} is empty; give left, top, right and bottom in "
                "this order"
            )


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
