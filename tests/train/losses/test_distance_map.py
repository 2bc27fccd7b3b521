"""The distance map against SciPy's exact Euclidean distance transform."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from echo_train.losses.distance_map import REACH, distance_loss, distance_to_contour


def oracle(mask: np.ndarray) -> np.ndarray:
    cross = ndimage.generate_binary_structure(2, 1)
    contour = mask & ~ndimage.binary_erosion(mask, cross, border_value=1)
    if not contour.any():
        return np.full(mask.shape, float(REACH))
    return np.minimum(ndimage.distance_transform_edt(~contour), REACH)


def ellipse(height: int, width: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    centre = rng.uniform(0, [height, width])
    half = rng.uniform(2, 30, 2)
    return ((y - centre[0]) / half[0]) ** 2 + ((x - centre[1]) / half[1]) ** 2 < 1


@pytest.mark.parametrize("seed", range(12))
def test_distance_equals_scipy(seed: int) -> None:
    mask = ellipse(112, 96, seed)
    found = distance_to_contour(torch.from_numpy(mask)[None].float())[0]
    np.testing.assert_allclose(found.numpy(), oracle(mask), atol=1e-5)


@pytest.mark.parametrize("fill", [False, True])
def test_without_contour_the_distance_is_the_reach_everywhere(fill: bool) -> None:
    mask = torch.full((1, 20, 30), float(fill))
    assert torch.equal(distance_to_contour(mask), torch.full((1, 20, 30), float(REACH)))


def test_an_image_smaller_than_the_reach() -> None:
    mask = np.zeros((6, 5), dtype=bool)
    mask[2:4, 1:4] = True
    found = distance_to_contour(torch.from_numpy(mask)[None].float())[0]
    np.testing.assert_allclose(found.numpy(), oracle(mask), atol=1e-6)


def test_loss_is_minimal_at_the_distance_itself() -> None:
    masks = torch.from_numpy(np.stack([ellipse(64, 64, 1), ellipse(64, 64, 2)])).float()
    share = (distance_to_contour(masks) / REACH).clamp(1e-4, 1 - 1e-4)
    logits = share.logit().requires_grad_()
    loss = distance_loss(logits, masks)
    loss.backward()
    assert float(loss.detach()) < 1e-7
    assert float(logits.grad.abs().max()) < 1e-7
    assert float(distance_loss(torch.zeros_like(masks), masks)) == pytest.approx(
        float(((distance_to_contour(masks) / REACH - 0.5) ** 2).mean())
    )
