"""The optimiser: how it updates is decided by its device, also after it was resumed."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from echo_train.training.optimiser import load_optimiser, make_optimiser

CPU = torch.device("cpu")


@pytest.mark.parametrize(("device", "fused"), [("cuda", True), ("cpu", False), ("mps", None)])
def test_only_cuda_has_a_fused_update(device: str, fused: bool | None) -> None:
    optimiser = make_optimiser(nn.Linear(1, 1), 0.1, 0.0, torch.device(device))
    assert [group["fused"] for group in optimiser.param_groups] == [fused, fused]


def step(network: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    network(torch.ones(1, 3)).square().sum().backward()
    optimiser.step()
    optimiser.zero_grad()


@pytest.mark.parametrize(
    ("saved_on", "resumed_on"), [("cuda", "cpu"), ("cpu", "cuda"), ("cpu", "cpu")]
)
def test_a_resumed_optimiser_updates_as_its_own_device_does(saved_on: str, resumed_on: str) -> None:
    """Torch's fused update runs on the CPU too, so the flags of CUDA are tested there."""
    torch.manual_seed(0)
    network = nn.Linear(3, 2)
    saved = make_optimiser(network, 0.1, 0.01, torch.device(saved_on))
    step(network, saved)
    other = copy.deepcopy(network)
    resumed = make_optimiser(other, 0.9, 0.9, torch.device(resumed_on))
    load_optimiser(resumed, copy.deepcopy(saved.state_dict()))
    assert {group["fused"] for group in resumed.param_groups} == {resumed_on == "cuda"}
    assert [group["lr"] for group in resumed.param_groups] == [0.1, 0.1]
    assert [group["weight_decay"] for group in resumed.param_groups] == [0.01, 0.0]
    step(network, saved)
    step(other, resumed)
    exact = saved_on == resumed_on
    for before, after in zip(network.parameters(), other.parameters(), strict=True):
        assert torch.equal(before, after) if exact else torch.allclose(before, after)


@pytest.mark.gpu
def test_a_run_of_the_cpu_is_resumed_on_cuda() -> None:
    network, device = nn.Linear(3, 2), torch.device("cuda", 0)
    saved = make_optimiser(network, 0.1, 0.0, CPU)
    step(network, saved)
    other = copy.deepcopy(network).to(device)
    resumed = make_optimiser(other, 0.1, 0.0, device)
    load_optimiser(resumed, saved.state_dict())
    assert all(state["step"].is_cuda for state in resumed.state.values())
    other(torch.ones(1, 3, device=device)).square().sum().backward()
    resumed.step()
    step(network, saved)
    torch.testing.assert_close(other.weight.cpu(), network.weight)
