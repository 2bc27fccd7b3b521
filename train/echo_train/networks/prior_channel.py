"""A location prior as an input channel of the network, and the prior's settings."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn
from torch.nn import functional

from echo_common.cli.settings import setting
from echo_common.errors import SettingsError
from echo_train.networks.unet import UNet

PRIORS = ("none", "mean-mask", "box")
"""What the prior is; the first is the default."""


USES = ("weight", "channel")
"""What the prior does; the first is the default."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PriorSettings:
    """What the prior is, and what it does.

    Attributes
    ----------
    prior : str
        One of `PRIORS`.
    prior_box : tuple of int, or None
        x0, y0, x1, y1 in pixels, the last ones included.
    prior_use : str
        One of `USES`.
    prior_weight : float
        How much a pixel's weight grows with the prior; see `pixel_weights`.
    """

    prior: str = setting(PRIORS[0], "What says where the ventricle usually is.", choices=PRIORS)
    prior_box: tuple[int, int, int, int] | None = setting(
        None, "x0,y0,x1,y1 in pixels, for --prior box; the last ones are in the box.", minimum=0
    )
    prior_use: str = setting(
        USES[0],
        "weight: errors count more where the prior is high; channel: the network sees it.",
        choices=USES,
    )
    prior_weight: float = setting(
        4.0,
        "Growth of a pixel's weight from prior 0 to prior 1, for --prior-use weight.",
        minimum=0,
    )

    def check_prior(self) -> None:
        """Check that the prior's settings have a meaning together.

        Raises
        ------
        SettingsError
            If a box is given and not asked for, or the other way round, or
            has its corners the wrong way round.
        """
        if self.prior == "box" and self.prior_box is None:
            raise SettingsError("--prior box needs --prior-box x0,y0,x1,y1")
        if self.prior_box is None:
            return
        if self.prior != "box":
            raise SettingsError(f"--prior-box is for --prior box, and --prior is {self.prior}")
        x0, y0, x1, y1 = self.prior_box
        if x0 > x1 or y0 > y1:
            raise SettingsError(
                f"--prior-box {x0},{y0},{x1},{y1} is empty; give the left, upper, right and "
                "lower side"
            )


class PriorChannel(nn.Module):
    """A network that sees a prior beside the image.

    The prior is kept with the weights, so a checkpoint carries it to wherever
    the network is used.

    Parameters
    ----------
    network : UNet
        Takes one channel more than the images have.
    prior : Tensor, (y, x) float
    """

    prior: Tensor

    def __init__(self, network: UNet, prior: Tensor) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("prior", prior.float()[None, None])

    def forward(self, images: Tensor) -> Tensor:
        """Compute the logits of images, (batch, channel, y, x)."""
        logits: Tensor = self.network(self._beside(images))
        return logits

    def attention(self, images: Tensor) -> list[Tensor]:
        """Compute the network's attention maps; see `echo_train.networks.unet.UNet.attention`."""
        return self.network.attention(self._beside(images))

    def _beside(self, images: Tensor) -> Tensor:
        prior = self.prior.to(images.dtype)
        if prior.shape[-2:] != images.shape[-2:]:
            # Of images of another size, the same part.
            prior = functional.interpolate(
                prior, images.shape[-2:], mode="bilinear", align_corners=False
            )
        return torch.cat([images, prior.expand(len(images), -1, -1, -1)], dim=1)
