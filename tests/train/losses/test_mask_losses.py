"""The mask losses against their formulas in NumPy and against finite differences."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from echo_train.losses.distance_map import REACH
from echo_train.losses.mask_losses import MASK_LOSSES
from echo_train.losses.settings import MaskLossSettings
from support import mask_losses as oracle

SETTINGS = MaskLossSettings(
    positive_weight=7.5, tversky_alpha=0.2, tversky_beta=0.9, focal_gamma=1.5
)

Oracle = Callable[[np.ndarray, np.ndarray, np.ndarray], float]


def _tversky(logits: np.ndarray, masks: np.ndarray, weights: np.ndarray) -> float:
    return float(np.mean([1 - t for t in oracle.tversky_indices(logits, masks, weights, 0.2, 0.9)]))


def _focal(logits: np.ndarray, masks: np.ndarray, weights: np.ndarray) -> float:
    indices = oracle.tversky_indices(logits, masks, weights, 0.2, 0.9)
    return float(np.mean([(1 - t) ** (1 / 1.5) for t in indices]))


ORACLES: dict[str, Oracle] = {
    "bce": oracle.cross_entropy,
    "weighted-bce": lambda *a: oracle.cross_entropy(*a, positive=7.5),
    "dice": oracle.dice,
    "bce-dice": lambda *a: oracle.cross_entropy(*a) + oracle.dice(*a),
    "tversky": _tversky,
    "focal-tversky": _focal,
    "lovasz": oracle.lovasz_hinge,
    "dice-boundary": lambda *a: oracle.dice(*a) + oracle.boundary(*a, reach=REACH),
}

ALL = pytest.mark.parametrize("name", MASK_LOSSES)


def frames(seed: int = 0, size: int = 14) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, masks (one empty, one full, one with a hole, one at the edge) and weights."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(4, size, size, generator=generator, dtype=torch.float64)
    masks = torch.zeros(4, size, size, dtype=torch.float64)
    masks[1] = 1
    masks[2, 2:11, 3:9] = 1
    masks[2, 5, 5] = 0
    masks[3, 6:, 5:] = 1
    weights = 0.2 + torch.rand(size, size, generator=generator, dtype=torch.float64)
    return logits, masks, weights / weights.mean()


def test_every_loss_has_its_oracle() -> None:
    assert ORACLES.keys() == MASK_LOSSES.keys()


@ALL
@pytest.mark.parametrize("weighted", [False, True])
def test_value_equals_the_formula(name: str, weighted: bool) -> None:
    logits, masks, weights = frames()
    found = MASK_LOSSES[name](logits, masks, weights if weighted else None, SETTINGS)
    expected = ORACLES[name](
        logits.numpy(), masks.numpy(), weights.numpy() if weighted else np.ones(weights.shape)
    )
    assert found.shape == ()
    assert found.item() == pytest.approx(expected, rel=1e-12)


@ALL
@pytest.mark.parametrize("weighted", [False, True])
def test_gradient_equals_finite_differences(name: str, weighted: bool) -> None:
    logits, masks, weights = frames(seed=1, size=8)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda values: MASK_LOSSES[name](values, masks, weights if weighted else None, SETTINGS),
        (logits,),
    )


@ALL
def test_weights_of_one_change_nothing(name: str) -> None:
    logits, masks, weights = frames()
    plain = MASK_LOSSES[name](logits, masks, None, SETTINGS)
    torch.testing.assert_close(
        MASK_LOSSES[name](logits, masks, torch.ones_like(weights), SETTINGS), plain
    )


@ALL
@pytest.mark.parametrize("right", [False, True])
def test_extreme_logits_have_a_finite_gradient(name: str, right: bool) -> None:
    _, masks, _ = frames()
    masks = masks.float()
    logits = (200 * (2 * masks - 1) * (1 if right else -1)).requires_grad_()
    loss = MASK_LOSSES[name](logits, masks, None, SETTINGS)
    loss.backward()
    assert math.isfinite(loss.item())
    assert logits.grad is not None and torch.isfinite(logits.grad).all()


@ALL
def test_a_right_prediction_has_a_lower_loss_than_a_wrong_or_black_one(name: str) -> None:
    _, masks, _ = frames()
    masks = masks[2:]
    loss = MASK_LOSSES[name]
    right, wrong = (
        loss(sign * 10 * (2 * masks - 1), masks, None, SETTINGS).item() for sign in (1, -1)
    )
    black = loss(torch.full_like(masks, -10.0), masks, None, SETTINGS).item()
    assert right < black <= wrong


@pytest.mark.parametrize("gamma", [0.5, 4 / 3, 3.0])
def test_focal_tversky_weighs_nearly_right_frames_more_if_gamma_is_above_one(gamma: float) -> None:
    settings = MaskLossSettings(tversky_alpha=0.3, tversky_beta=0.7, focal_gamma=gamma)
    masks = torch.zeros(1, 20, 20, dtype=torch.float64)
    masks[0, 5:15, 5:15] = 1
    factors = []
    # From a logit of 5 on, nearly every pixel is classified right.
    for size in (5.0, 1.0, -1.0):
        gradients = []
        for name in ("focal-tversky", "tversky"):
            logits = (size * (2 * masks - 1)).requires_grad_()
            loss = MASK_LOSSES[name](logits, masks, None, settings)
            gradients.append(torch.autograd.grad(loss, logits)[0])
        factor = gradients[0] / gradients[1]
        expected = loss.item() ** (1 / gamma - 1) / gamma
        torch.testing.assert_close(factor, torch.full_like(factor, expected))
        factors.append(expected)
    assert factors == sorted(factors, reverse=gamma > 1)


def test_tversky_includes_dice_and_focal_tversky_includes_tversky() -> None:
    logits, masks, _ = frames()
    halves = MaskLossSettings(tversky_alpha=0.5, tversky_beta=0.5, focal_gamma=1.0)
    dice = MASK_LOSSES["dice"](logits, masks, None, halves)
    torch.testing.assert_close(MASK_LOSSES["tversky"](logits, masks, None, halves), dice)
    torch.testing.assert_close(MASK_LOSSES["focal-tversky"](logits, masks, None, halves), dice)


def test_lovasz_at_the_corners_is_one_minus_the_iou() -> None:
    # If all hinge errors are 0 or 2, the extension is twice the loss that it extends.
    for pixels in itertools.product([0.0, 1.0], repeat=4):
        mask = torch.tensor([[[1.0, 1.0], [0.0, 0.0]]])
        predicted = torch.tensor(pixels).reshape(1, 2, 2)
        both, either = (mask * predicted).sum(), mask.maximum(predicted).sum()
        found = MASK_LOSSES["lovasz"](2 * predicted - 1, mask, None, SETTINGS)
        assert found.item() == pytest.approx(2 * (1 - both / either).item(), abs=1e-6)


def test_boundary_loss_prefers_the_nearer_error() -> None:
    mask = torch.zeros(1, 40, 40)
    mask[:, 10:20, 10:20] = 1
    near, far = (-20 + 40 * mask for _ in range(2))
    near[:, 10:20, 20] = 20
    far[:, 10:20, 35] = 20
    for name in ("dice", "bce"):
        values = [MASK_LOSSES[name](logits, mask, None, SETTINGS).item() for logits in (near, far)]
        assert values[0] == pytest.approx(values[1], rel=1e-5)
    loss = MASK_LOSSES["dice-boundary"]
    assert loss(near, mask, None, SETTINGS) < loss(far, mask, None, SETTINGS)
