"""Networks by name, and their reconstruction from a checkpoint.

The trainer makes new networks, which may begin with the weights of trained ones;
`echo_train.evaluation.trained_model` rebuilds trained ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from echo_common.errors import SettingsError
from echo_train.networks.attention_unet import AttentionUNet
from echo_train.networks.prior_channel import PriorChannel
from echo_train.networks.settings import NetworkSettings, PriorSettings
from echo_train.networks.unet import FastUNet, UNet, UNetNoSkip

NETWORKS: dict[str, type[UNet]] = {
    "unet": UNet,
    "unet-no-skip": UNetNoSkip,
    "attention-unet": AttentionUNet,
    "fast-unet": FastUNet,
}
"""By name, the first is the default; all take in_channels, out_channels and width."""

Network = UNet | PriorChannel
"""What `Architecture.make` returns: both compute logits and attention maps of images."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture:
    """Everything that determines the shapes of a network's weights; saved in checkpoints.

    Attributes
    ----------
    network : str
        A name of `NETWORKS`.
    prior_shape : tuple of int, or None
        (height, width) of the prior that is another input channel, if there is one.
    phase_channel : bool
        Whether an input channel tells the phase of a frame.
    """

    network: str
    out_channels: int
    width: int
    prior_shape: tuple[int, int] | None = None
    phase_channel: bool = False

    @classmethod
    def of(
        cls,
        network: NetworkSettings,
        prior: PriorSettings,
        *,
        channels: int,
        shape: tuple[int, int],
        phase_channel: bool,
    ) -> Architecture:
        """Architecture by settings, for a number of output channels and a (height, width)."""
        has_prior_channel = prior.prior != "none" and prior.prior_use == "channel"
        return cls(
            network=network.network,
            out_channels=channels,
            width=network.width,
            prior_shape=shape if has_prior_channel else None,
            phase_channel=phase_channel,
        )

    @property
    def image_channels(self) -> int:
        """Channels of the images that the network takes, without that of the prior."""
        return 1 + self.phase_channel

    def make(self, prior: Tensor | None = None) -> Network:
        """Make the network with random weights.

        Parameters
        ----------
        prior : Tensor, (y, x) float, optional
            The last input channel of a network with a `prior_shape`; zeros by
            default, since a checkpoint that is loaded afterwards contains it.
        """
        network = NETWORKS[self.network](
            in_channels=self.image_channels + (self.prior_shape is not None),
            out_channels=self.out_channels,
            width=self.width,
        )
        if self.prior_shape is None:
            return network
        return PriorChannel(network, torch.zeros(self.prior_shape) if prior is None else prior)


def rebuild(checkpoint: Mapping[str, Any]) -> Network:
    """Make the network of a checkpoint with its weights, in evaluation mode.

    Parameters
    ----------
    checkpoint : mapping
        From `echo_train.runs.checkpoint.load_checkpoint`.

    Raises
    ------
    TypeError, KeyError, RuntimeError, ValueError
        If its weights are not those of its architecture.
    """
    # Without memory for weights, since a damaged width may be any number.
    with torch.device("meta"):
        network = Architecture(**checkpoint["architecture"]).make()
    weights = checkpoint["network"]
    for name, expected in network.state_dict().items():
        if name in weights and weights[name].dtype != expected.dtype:
            raise ValueError(f"{name} is {weights[name].dtype}, not {expected.dtype}")
    network.load_state_dict(weights, assign=True)
    return network.eval()


def network_settings(network: Network) -> dict[str, Any]:
    """Name and width of a network, as the settings of a run have them."""
    inner = _inner(network)
    (name,) = (name for name, made in NETWORKS.items() if type(inner) is made)
    return {"network": name, "width": inner.width}


def take_over(network: Network, trained: Network, source: str) -> str:
    """Copy the weights of a trained network into another, as far as they fit.

    The head does not fit if it has other channels, nor does the first convolution if the inputs are
    others. Returns what was taken, and why the rest was not.

    Parameters
    ----------
    network : Network
        Keeps the weights of what does not fit.
    source : str
        Name of the trained network, for the description and messages.

    Raises
    ------
    SettingsError
        If the network is another one or has another width.
    """
    there, here = network_settings(trained), network_settings(network)
    kind, own = ("{network} of width {width}".format(**options) for options in (there, here))
    if there != here:
        raise SettingsError(
            f"--init {source} does not fit: it is a {kind}, and the network of this run is a "
            f"{own}; give --network {there['network']} --width {there['width']}"
        )
    new, old = _inner(network), _inner(trained)
    parts = {
        "head.": ("the head", _outputs(trained), _outputs(network)),
        "down.0.0.": ("the first convolution", _inputs(trained), _inputs(network)),
    }
    left = {prefix: part for prefix, part in parts.items() if part[1] != part[2]}
    weights = {
        name: values
        for name, values in old.state_dict().items()
        if not name.startswith(tuple(left))
    }
    new.load_state_dict({**new.state_dict(), **weights})
    reasons = [f"{name} ({before} there, {now} here)" for name, before, now in left.values()]
    exceptions = f" except {' and '.join(reasons)}" if reasons else ""
    return f"{source}, a {kind}: all weights{exceptions}"


def _inner(network: Network) -> UNet:
    return network.network if isinstance(network, PriorChannel) else network


def _outputs(network: Network) -> str:
    channels = _inner(network).out_channels
    return f"{channels} channel{'s' * (channels > 1)}"


def _inputs(network: Network) -> str:
    prior = isinstance(network, PriorChannel)
    phases = _inner(network).in_channels - 1 - prior
    return " and ".join(["gray", *["phase"] * phases, *["prior"] * prior])
