"""A location prior as an input channel."""

from __future__ import annotations

import torch
from torch import Tensor

from echo_train.networks.prior_channel import PriorChannel
from echo_train.networks.unet import UNet
from support.networks import images, make_network


def test_a_prior_is_the_second_channel() -> None:
    network, prior = make_network("attention-unet", in_channels=2).eval(), images(32, 32)
    with_prior = PriorChannel(network, prior)
    batch = images(3, 1, 32, 32)
    both = torch.stack([torch.stack([image[0], prior]) for image in batch])
    with torch.no_grad():
        assert torch.equal(with_prior(batch), network(both))
        assert all(map(torch.equal, with_prior.attention(batch), network.attention(both)))
    assert "prior" in with_prior.state_dict()


def test_a_prior_of_another_size_is_stretched_to_the_images() -> None:
    class Second(UNet):
        def forward(self, images: Tensor) -> Tensor:
            return images[:, 1:]

    prior = torch.zeros(4, 4)
    prior[:, 2:] = 1
    stretched = PriorChannel(Second(out_channels=1, width=1), prior)(torch.zeros(2, 1, 8, 12))
    assert stretched.shape == (2, 1, 8, 12)
    assert (stretched[..., :5] == 0).all() and (stretched[..., 7:] == 1).all()
