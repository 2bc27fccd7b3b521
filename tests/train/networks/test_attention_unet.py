"""Attention gates: their formula, their maps, and what they let through."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from echo_train.networks.attention_unet import AttentionGate, AttentionUNet
from support.networks import images, interpolation, make_network


def test_gate_is_additive_attention_on_the_coarser_grid() -> None:
    torch.manual_seed(3)
    gate = AttentionGate(4).double()
    skip, below = images(1, 4, 6, 8).double(), images(1, 8, 3, 4).double()
    scores = np.zeros((3, 4))
    own, coarse = gate.own.weight.detach().numpy(), gate.below.weight.detach().numpy()
    for y in range(3):
        for x in range(4):
            patch = skip[0, :, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].numpy()
            mixed = np.einsum("dcyx,cyx->d", own, patch)
            mixed += coarse[:, :, 0, 0] @ below[0, :, y, x].numpy()
            mixed = np.maximum(mixed + gate.below.bias.detach().numpy(), 0)
            scores[y, x] = gate.score.weight.detach().numpy()[0, :, 0, 0] @ mixed
    weights = 1 / (1 + np.exp(-(scores + gate.score.bias.item())))

    expected = interpolation(3, 6) @ weights @ interpolation(4, 8).T
    with torch.no_grad():
        found = gate(skip, below)
    np.testing.assert_allclose(found[0, 0].numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("size", [(32, 48), (30, 37)])
def test_attention_maps_have_the_size_of_the_images(size: tuple[int, int]) -> None:
    network = make_network("attention-unet").eval()
    with torch.no_grad():
        maps = network.attention(images(2, 1, *size))
    assert [values.shape for values in maps] == [(2, *size)] * 3
    for values in maps:
        assert values.min() >= 0 and values.max() <= 1 and values.std() > 0
    assert not any(gate._forward_hooks for gate in network.gates)  # type: ignore[attr-defined]


def test_closed_gates_block_the_skip_connection() -> None:
    network = AttentionUNet(out_channels=1, width=2).eval()
    for gate in network.gates:
        gate.score.bias.data.fill_(-1e4)  # type: ignore[union-attr]
    first, second = images(2, 1, 32, 32)[:, None].unbind(0)
    upsampled, below = images(1, 8, 8, 8), images(1, 16, 4, 4)
    with torch.no_grad():
        assert network.attention(first)[0].max() == 0
        joined = [
            network.join(2, skip.expand(1, 8, 32, 32)[..., :8, :8], upsampled, below)
            for skip in (first, second)
        ]
    assert torch.equal(joined[0], joined[1])


def test_networks_without_gates_have_no_attention() -> None:
    assert make_network("unet").attention(images(1, 1, 16, 16)) == []
    assert make_network("unet-no-skip").attention(images(1, 1, 16, 16)) == []
