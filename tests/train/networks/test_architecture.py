"""Weights that a network takes over from a trained one."""

from __future__ import annotations

import pytest
import torch

from echo_common.errors import SettingsError
from echo_train.networks.architecture import NETWORKS, Architecture, Network, take_over


def make(seed: int, prior: bool = False, **changes: object) -> Network:
    torch.manual_seed(seed)
    settings = {"network": "fast-unet", "width": 4, "out_channels": 1, **changes}
    if prior:
        settings["prior_shape"] = (16, 16)
    network = Architecture(**settings).make()
    for name, buffer in network.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_()
    return network


@pytest.mark.parametrize("name", NETWORKS)
def test_all_weights_and_statistics_of_an_equal_network_are_taken(name: str) -> None:
    trained, network = make(1, network=name), make(2, network=name)
    assert take_over(network, trained, "X") == f"X, a {name} of width 4: all weights"
    images = torch.rand(2, 1, 16, 32)
    assert torch.equal(network.eval()(images), trained.eval()(images))


@pytest.mark.parametrize(
    ("changes", "kept", "text"),
    [
        ({"out_channels": 11}, "head.", "the head (1 channel there, 11 channels here)"),
        ({"prior": True}, "down.0.0.", "the first convolution (gray there, gray and prior here)"),
        (
            {"phase_channel": True},
            "down.0.0.",
            "the first convolution (gray there, gray and phase here)",
        ),
    ],
)
def test_what_has_other_channels_stays_as_it_is(
    changes: dict[str, object], kept: str, text: str
) -> None:
    trained, network, before = make(1), make(2, **changes), make(2, **changes)
    assert take_over(network, trained, "X").endswith(f": all weights except {text}")
    source = trained.state_dict()
    for name, values in network.state_dict().items():
        name_there = name.removeprefix("network.")
        untouched = name_there.startswith(kept) or name_there == "prior"
        expected = before.state_dict()[name] if untouched else source[name_there]
        assert torch.equal(values, expected), name


@pytest.mark.parametrize("changes", [{"width": 8}, {"network": "unet"}])
def test_another_network_is_refused_and_left_unchanged(changes: dict[str, object]) -> None:
    trained, network, before = make(1), make(2, **changes), make(2, **changes)
    with pytest.raises(
        SettingsError, match="--init X does not fit: it is a fast-unet of width 4, "
    ):
        take_over(network, trained, "X")
    for own, expected in zip(
        network.state_dict().values(), before.state_dict().values(), strict=True
    ):
        assert torch.equal(own, expected)
