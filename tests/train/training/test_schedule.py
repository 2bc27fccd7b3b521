"""The learning rate against the schedulers of torch."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, OneCycleLR

from echo_train.training.schedule import SCHEDULES, rate_factor

STEPS = 40


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
