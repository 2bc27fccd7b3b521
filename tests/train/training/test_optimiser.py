"""The optimiser, which updates as its device needs; learning rates against those of torch."""

from __future__ import annotations

import copy
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR

from echo_train.training.optimiser import WeightEMA, load_optimiser, make_optimiser, rate_factor
from echo_train.training.settings import SCHEDULES
from echo_train.training.train import train
from support.training import checkpoint, tiny

CPU = torch.device("cpu")
STEPS = 40


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


def rates_of_torch(make: type[LRScheduler], **arguments: float) -> list[float]:
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = make(optimiser, **arguments)
    rates = []
    for _ in range(STEPS):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return rates


def rates(schedule: str, warm_up: float | None = None) -> list[float]:
    return [rate_factor(step, STEPS, schedule, warm_up) for step in range(STEPS)]


def test_cosine_equals_torch() -> None:
    assert rates("cosine", 0) == pytest.approx(rates_of_torch(CosineAnnealingLR, T_max=STEPS))


def test_cosine_falls_over_the_steps_after_the_warm_up() -> None:
    assert rates("cosine", 0.25)[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    falling = rates("cosine", 0.25)[10:]
    assert falling[0] == 1
    assert falling[15] == pytest.approx(0.5)
    assert all(later < earlier for earlier, later in pairwise(falling))


@pytest.mark.parametrize("warm_up", [0.3, 0.5])
def test_one_cycle_equals_torch(warm_up: float) -> None:
    expected = rates_of_torch(
        OneCycleLR, max_lr=1.0, total_steps=STEPS, pct_start=warm_up, cycle_momentum=False
    )
    assert rates("one-cycle", warm_up) == pytest.approx(expected)
    assert rates("one-cycle") == rates("one-cycle", 0.3)


def test_constant_is_constant_after_its_warm_up() -> None:
    assert rates("constant") == [1.0] * STEPS
    assert rates("constant", 0.05) == [0.5] + [1.0] * (STEPS - 1)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("warm_up", [None, 0.0, 0.4, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 3, 100])
def test_rates_are_above_0_and_at_most_1(schedule: str, warm_up: float | None, steps: int) -> None:
    factors = [rate_factor(step, steps, schedule, warm_up) for step in range(steps)]
    assert all(0 < factor <= 1 for factor in factors)


def test_the_ema_is_the_weighted_sum_of_all_weights() -> None:
    network = nn.Linear(3, 2)
    average = WeightEMA(network, 0.5)
    expected = network.weight.detach().clone().double()
    for step, decay in enumerate([2 / 11, 3 / 12, 4 / 13, 5 / 14], start=1):
        with torch.no_grad():
            network.weight += step
        average.update(network)
        expected = decay * expected + (1 - decay) * network.weight.detach().double()
    torch.testing.assert_close(average.network.weight.double(), expected, rtol=1e-6, atol=1e-6)
    constant = WeightEMA(network, 0.05)
    before = constant.network.bias.clone()
    with torch.no_grad():
        network.bias += 1
    constant.update(network)
    torch.testing.assert_close(constant.network.bias, before + 0.95)


def test_the_ema_is_validated_and_saved(small_store: Path, tmp_path: Path) -> None:
    folder = train(tiny(small_store, tmp_path / "run", epochs=1, ema=0.9))
    best, last = checkpoint(folder / "best.pt"), checkpoint(folder / "last.pt")
    averaged = last["average"]["network"]
    assert all(torch.equal(best["network"][name], averaged[name]) for name in averaged)
    assert not torch.equal(averaged["head.weight"], last["network"]["head.weight"])


def test_weight_decay_applies_to_filters_only() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    before = copy.deepcopy(network)
    optimiser = make_optimiser(network, learning_rate=0.1, weight_decay=0.5, device=CPU)
    for values in network.parameters():
        values.grad = torch.zeros_like(values)
    optimiser.step()
    torch.testing.assert_close(network[0].weight, before[0].weight * (1 - 0.1 * 0.5))
    for name in ("0.bias", "1.weight", "1.bias"):
        assert torch.equal(network.get_parameter(name), before.get_parameter(name))
