"""The networks: tests that all of them must pass, and tests of each one's own properties."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from echo_train.networks.architecture import NETWORKS, Architecture, rebuild
from echo_train.networks.unet import UNet, UNetNoSkip
from support.networks import images, interpolation, make_network

ALL = pytest.mark.parametrize("name", NETWORKS)


class Fixed(nn.Module):
    """Gives the same features for any input."""

    def __init__(self, features: Tensor) -> None:
        super().__init__()
        self.features = features

    def forward(self, _: Tensor) -> Tensor:
        return self.features


def tied_maxima(maps: Tensor) -> Tensor:
    """Whether each map, (frame, channel, y, x), has its maximum at several pixels."""
    flat = maps.flatten(2)
    return (flat == flat.amax(2, keepdim=True)).sum(2) > 1


@ALL
@pytest.mark.parametrize("size", [(112, 112), (97, 64), (16, 33), (1, 1), (5, 120)])
def test_logits_have_the_size_of_the_images(name: str, size: tuple[int, int]) -> None:
    network = make_network(name, in_channels=2).eval()
    assert network(images(2, 2, *size)).shape == (2, 3, *size)


@ALL
def test_the_head_is_outside_autocast(name: str) -> None:
    network = make_network(name, width=4).eval()
    seen: list[Tensor] = []
    network.head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        logits = network(images(4, 1, 112, 112))
        channels = network.up[0][0].in_channels  # type: ignore[index]
        features = network.up[0](torch.rand(1, channels, 16, 16))
    assert features.dtype == torch.bfloat16
    assert logits.dtype == torch.float32
    # The features have the precision of bfloat16, and the head that of float32.
    assert torch.equal(seen[0], seen[0].bfloat16().float())
    with torch.inference_mode():
        assert torch.equal(logits, network.head(seen[0]))
    rounded = logits.bfloat16().float()
    assert tied_maxima(logits).float().mean() == 0
    assert tied_maxima(rounded).float().mean() > 0.2


def test_the_network_is_one_graph() -> None:
    network = make_network("attention-unet")
    compiled = torch.compile(network, backend="eager", fullgraph=True, dynamic=False)
    with torch.autocast("cpu", torch.bfloat16):
        logits = compiled(images(2, 1, 32, 32))
    assert logits.dtype == torch.float32
    logits.sum().backward()
    assert network.head.weight.grad is not None


def test_bfloat16_moves_no_maximum() -> None:
    # A peak with a slope too flat for 8 bits: only a head in float32 tells its pixels apart.
    network = make_network("unet", out_channels=2, width=2).eval()
    y, x = torch.meshgrid(torch.arange(112.0), torch.arange(112.0), indexing="ij")
    coarse = (8 - ((x - 40).square() + (y - 70).square()) / 64).bfloat16()
    fine = -((x - 40.3).square() + (y - 69.8).square()).bfloat16() / 4096
    network.up[0] = Fixed(torch.stack([coarse, fine])[None])
    with torch.no_grad():
        network.head.weight.copy_(torch.ones(2, 2)[..., None, None])
        network.head.bias.zero_()
    peak = 70 * 112 + 40
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        logits = network(images(1, 1, 112, 112))
    assert logits.flatten(2).argmax(2).tolist() == [[peak, peak]]
    assert not tied_maxima(logits).any() and tied_maxima(logits.bfloat16()).all()


@ALL
def test_every_weight_has_a_gradient(name: str) -> None:
    network = make_network(name)
    network(images(2, 1, 48, 48)).square().mean().backward()
    for key, values in network.named_parameters():
        assert values.grad is not None, key
        assert torch.isfinite(values.grad).all(), key
    # A dead ReLU can zero some gradients; a disconnected part has none at all.
    parts = {key.rsplit(".", 2)[0] for key, _ in network.named_parameters()}
    for part in parts:
        values = [v.grad for k, v in network.named_parameters() if k.startswith(part)]
        assert any((grad != 0).any() for grad in values if grad is not None), part


@ALL
def test_images_are_padded_with_black_at_the_bottom_and_right(name: str) -> None:
    network = make_network(name).eval()
    odd = images(1, 1, 30, 21)
    padded = functional.pad(odd, (0, 11, 0, 2))
    with torch.no_grad():
        assert torch.equal(network(odd), network(padded)[..., :30, :21])


@ALL
def test_frames_of_a_batch_are_independent(name: str) -> None:
    network = make_network(name).eval()
    batch = images(3, 1, 32, 32)
    with torch.no_grad():
        separate = torch.cat([network(image[None]) for image in batch])
        torch.testing.assert_close(network(batch), separate)


@ALL
@pytest.mark.parametrize("prior", [False, True])
def test_a_network_is_rebuilt_from_its_checkpoint(name: str, prior: bool) -> None:
    architecture = Architecture(
        network=name, out_channels=2, width=3, prior_shape=(32, 32) if prior else None
    )
    torch.manual_seed(2)
    trained = architecture.make(images(32, 32) if prior else None)
    trained(images(2, 1, 32, 32))
    checkpoint = {
        "architecture": {
            "network": name,
            "out_channels": 2,
            "width": 3,
            "prior_shape": (32, 32) if prior else None,
        },
        "network": trained.state_dict(),
    }
    rebuilt = rebuild(checkpoint)
    assert not rebuilt.training
    with torch.no_grad():
        assert torch.equal(rebuilt(images(1, 1, 32, 32)), trained.eval()(images(1, 1, 32, 32)))


def reference_unet(
    state: dict[str, Tensor], features: Tensor, skips: bool = True, levels: int = 4
) -> Tensor:
    """Figure 4 of the paper, layer by layer, from the named weights alone."""

    def block(name: str, features: Tensor) -> Tensor:
        for layer in (0, 3):
            features = functional.conv2d(features, state[f"{name}.{layer}.weight"], padding=1)
            norm = f"{name}.{layer + 1}"
            scale = state[f"{norm}.weight"] / (state[f"{norm}.running_var"] + 1e-5).sqrt()
            offset = state[f"{norm}.bias"] - scale * state[f"{norm}.running_mean"]
            features = (features * scale[:, None, None] + offset[:, None, None]).clamp_min(0)
        return features

    encoder = []
    for level in range(levels):
        encoder.append(block(f"down.{level}", features))
        features = encoder[-1].unfold(2, 2, 2).unfold(3, 2, 2).amax((4, 5))
    features = block(f"down.{levels}", features)
    for level in reversed(range(levels)):
        weight, bias = state[f"rise.{level}.weight"], state[f"rise.{level}.bias"]
        upsampled = torch.einsum("bchw,cdyx->bdhywx", features, weight).flatten(2, 3).flatten(3)
        upsampled = upsampled + bias[:, None, None]
        joined = torch.cat([encoder[level], upsampled], 1) if skips else upsampled
        features = block(f"up.{level}", joined)
    weight = state["head.weight"][:, :, 0, 0]
    return torch.einsum("bchw,dc->bdhw", features, weight) + state["head.bias"][:, None, None]


@pytest.mark.parametrize("name", ["unet", "unet-no-skip"])
def test_unet_equals_the_papers_figure(name: str) -> None:
    network = make_network(name).double()
    network(images(4, 1, 32, 32).double())
    network.eval()
    with torch.no_grad():
        found = network(images(2, 1, 32, 48).double())
        expected = reference_unet(
            network.state_dict(), images(2, 1, 32, 48).double(), name == "unet"
        )
    torch.testing.assert_close(found, expected)


def test_fast_unet_is_a_unet_of_three_levels_on_half_the_grid() -> None:
    network = make_network("fast-unet").double()
    network(images(4, 1, 32, 32).double())
    network.eval()
    batch = images(2, 1, 32, 48).double()
    # The four pixels of a square as channels, row by row.
    squares = torch.cat([batch[..., y::2, x::2] for y in (0, 1) for x in (0, 1)], dim=1)
    with torch.no_grad():
        found = network(batch).numpy()
        coarse = reference_unet(network.state_dict(), squares, levels=3).numpy()
    expected = interpolation(16, 32) @ coarse @ interpolation(24, 48).T
    np.testing.assert_allclose(found, expected, atol=1e-9)
    # Each of the levels that are left is as wide as in the U-Net.
    widths = [block[0].out_channels for block in make_network("unet").down][1:]  # type: ignore[index]
    assert [block[0].out_channels for block in network.down] == widths  # type: ignore[index]


def test_width_64_has_the_parameters_of_the_papers_network() -> None:
    # 3x3 convolutions and normalisations of each block, transposed convolutions, the head.
    def block(before: int, after: int) -> int:
        return 9 * before * after + 9 * after * after + 4 * after

    widths = [64, 128, 256, 512, 1024]
    down = sum(block(a, b) for a, b in zip([1, *widths], widths, strict=False))
    rise = sum(4 * 2 * here * here + here for here in widths[:4])
    count = sum(v.numel() for v in UNet(out_channels=1).parameters())
    assert count == down + rise + sum(block(2 * w, w) for w in widths[:4]) + 65
    without = sum(v.numel() for v in UNetNoSkip(out_channels=1).parameters())
    assert count - without == sum(9 * w * w for w in widths[:4])
