"""Landmark losses against closed forms, SciPy, and cases in which they must succeed or fail."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from torch.overrides import TorchFunctionMode

from echo_common.geometry.raster import rasterise_all
from echo_prep.dataset.tracings import split_rows
from echo_prep.geometry.heatmaps import border_band, draw_heatmaps
from echo_prep.geometry.landmarks import choose_landmarks
from echo_prep.geometry.polygons import polygons, whole_pixels
from echo_prep.geometry.settings import HeatmapSettings
from echo_train.losses.landmark_losses import (
    DSNT_SIGMA,
    LANDMARK_LOSSES,
    MSE_PEAK,
    adaptive_wing,
    background_cross_entropy,
    channel_cross_entropy,
    dsnt,
    scaled_mean_squared_error,
    spatial_cross_entropy,
)
from support.datasets import half_ellipse_trace

SIDE = 24

Case = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def gaussians(points: torch.Tensor, side: int = SIDE, sigma: float = 2.0) -> torch.Tensor:
    """Gaussian heatmaps that are exactly zero away from the point, as stored ones are."""
    axis = torch.arange(side, dtype=points.dtype)
    squared = (axis - points[..., 1:]).square()[..., None] + (axis - points[..., :1]).square()[
        ..., None, :
    ]
    return torch.exp(-squared / (2 * sigma**2)) * (squared <= (3 * sigma) ** 2)


@pytest.fixture
def case() -> Case:
    """Logits, heatmaps and points of 2 frames with 3 landmarks, float64."""
    generator = torch.Generator().manual_seed(5)
    points = torch.rand(2, 3, 2, generator=generator, dtype=torch.float64) * 12 + 6
    logits = torch.randn(2, 3, SIDE, SIDE, generator=generator, dtype=torch.float64)
    return logits, gaussians(points), points


@pytest.mark.parametrize("name", list(LANDMARK_LOSSES))
def test_gradient_equals_finite_differences(name: str) -> None:
    loss = LANDMARK_LOSSES[name]
    generator = torch.Generator().manual_seed(1)
    points = torch.rand(1, 2, 2, generator=generator, dtype=torch.float64) * 3 + 2
    heatmaps = gaussians(points, side=8, sigma=1.0)
    shape = (1, 2 + loss.extra_channels, 8, 8)
    logits = torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda values: loss.value(values, heatmaps, points), [logits])


class NoTensorFromNumbers(TorchFunctionMode):
    """Fails where numbers are copied from the host, for which a GPU must finish its work."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func not in (torch.tensor, torch.as_tensor, torch.Tensor.item)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", list(LANDMARK_LOSSES))
def test_a_step_does_not_wait_for_the_device(name: str, case: Case) -> None:
    loss = LANDMARK_LOSSES[name]
    logits = torch.cat([case[0]] * 2, 1)[:, : 3 + loss.extra_channels]
    expected = loss.value(logits, *case[1:])
    # Constants are on the device from the first step on.
    with NoTensorFromNumbers():
        assert torch.equal(loss.value(logits, *case[1:]), expected)


@pytest.mark.parametrize("name", list(LANDMARK_LOSSES))
def test_maps_are_not_negative_and_peak_where_the_logits_do(name: str) -> None:
    loss = LANDMARK_LOSSES[name]
    logits = torch.full((1, 3 + loss.extra_channels, SIDE, SIDE), -1.0)
    for channel, (row, column) in enumerate([(3, 4), (10, 20), (15, 2)]):
        logits[0, channel, row, column] = 5.0
    maps = loss.maps(logits)
    assert maps.shape == (1, 3, SIDE, SIDE)
    assert float(maps.min()) >= 0
    best = maps.flatten(2).argmax(2)[0].tolist()
    assert best == [3 * SIDE + 4, 10 * SIDE + 20, 15 * SIDE + 2]
    if loss.spatial:
        torch.testing.assert_close(maps.sum((2, 3)), torch.ones(1, 3))


def test_spatial_cross_entropy_has_the_gradient_p_minus_g(case) -> None:
    logits, heatmaps, points = case
    logits.requires_grad_()
    spatial_cross_entropy(logits, heatmaps, points).backward()
    p = np.exp(logits.detach().numpy().reshape(6, -1))
    p /= p.sum(1, keepdims=True)
    g = heatmaps.numpy().reshape(6, -1)
    g /= g.sum(1, keepdims=True)
    np.testing.assert_allclose(logits.grad.numpy().reshape(6, -1), (p - g) / 6, atol=1e-12)
    assert np.abs(logits.grad.numpy()).min() > 0


def test_spatial_cross_entropy_ignores_a_landmark_without_heatmap(case) -> None:
    logits, heatmaps, points = case
    heatmaps[0, 1] = 0
    counted = [(0, 0), (0, 2), (1, 0), (1, 1), (1, 2)]
    separate = [
        spatial_cross_entropy(
            logits[f, c][None, None], heatmaps[f, c][None, None], points[f, c][None, None]
        )
        for f, c in counted
    ]
    expected = torch.stack(separate).mean()
    torch.testing.assert_close(spatial_cross_entropy(logits, heatmaps, points), expected)
    assert float(spatial_cross_entropy(logits, torch.zeros_like(heatmaps), points)) == 0


def test_channel_cross_entropy_ignores_a_landmark_in_the_wrong_position(case) -> None:
    """The paper's loss ignores pixels where all heatmaps are zero; the other losses do not."""
    _, heatmaps, points = case
    empty = (heatmaps.sum(1) == 0)[0]
    row, column = torch.nonzero(empty)[0].tolist()
    for name, loss in LANDMARK_LOSSES.items():
        logits = torch.zeros(2, 3 + loss.extra_channels, SIDE, SIDE, dtype=torch.float64)
        wrong = logits.clone()
        wrong[0, 0, row, column] = 9.0
        before = float(loss.value(logits, heatmaps, points))
        after = float(loss.value(wrong, heatmaps, points))
        if name == "channel-ce":
            assert after == before
        else:
            assert after > before


def test_channel_cross_entropy_has_no_gradient_outside_the_heatmaps(case) -> None:
    logits, heatmaps, points = case
    logits.requires_grad_()
    channel_cross_entropy(logits, heatmaps, points).backward()
    off = (heatmaps.sum(1, keepdim=True) == 0).expand_as(logits)
    assert torch.equal(logits.grad[off], torch.zeros_like(logits.grad[off]))
    assert float(logits.grad[~off].abs().max()) > 0


def test_background_cross_entropy_of_hard_targets_equals_class_indices() -> None:
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(2, 4, 6, 6, generator=generator)
    classes = torch.randint(0, 4, (2, 6, 6), generator=generator)
    heatmaps = torch.nn.functional.one_hot(classes, 4).permute(0, 3, 1, 2)[:, :3].float()
    found = background_cross_entropy(logits, heatmaps, torch.zeros(2, 3, 2))
    torch.testing.assert_close(found, torch.nn.functional.cross_entropy(logits, classes))


def test_background_cross_entropy_scales_overlapping_heatmaps_to_one() -> None:
    logits = torch.tensor([0.3, -0.2, 0.9]).reshape(1, 3, 1, 1)
    heatmaps = torch.tensor([1.0, 0.5]).reshape(1, 2, 1, 1)
    log_p = torch.log_softmax(logits.flatten(), 0)
    expected = -(2 / 3 * log_p[0] + 1 / 3 * log_p[1])
    found = background_cross_entropy(logits, heatmaps, torch.zeros(1, 2, 2))
    torch.testing.assert_close(found, expected)


def test_mean_squared_error_of_the_scaled_heatmap(case) -> None:
    logits, heatmaps, points = case
    expected = np.mean((logits.numpy() - MSE_PEAK * heatmaps.numpy()) ** 2)
    assert float(scaled_mean_squared_error(logits, heatmaps, points)) == pytest.approx(expected)


def test_all_zero_is_a_plateau_of_the_squared_error_but_not_of_the_spatial_loss() -> None:
    points = torch.tensor([[[12.0, 12.0]]], dtype=torch.float64)
    heatmaps = gaussians(points)
    zeros = torch.zeros_like(heatmaps, requires_grad=True)
    spatial_cross_entropy(zeros, heatmaps, points).backward()
    # At zero, the spatial loss lowers every pixel outside the heatmap …
    off = heatmaps == 0
    assert (zeros.grad[off] > 0).all()
    zeros.grad = None
    # … and the squared error lowers none of them.
    scaled_mean_squared_error(zeros, heatmaps, points).backward()
    assert (zeros.grad[off] == 0).all()


def test_adaptive_wing_equals_the_formulas_of_its_paper(case) -> None:
    logits, heatmaps, points = case
    omega, theta, epsilon, alpha, weight = 14.0, 0.5, 1.0, 2.1, 10.0
    total = 0.0
    h, z = heatmaps.numpy(), logits.numpy()
    for pixel in np.ndindex(*h.shape):
        f, c, y, x = pixel
        power = alpha - h[pixel]
        a = (
            omega
            * (1 / (1 + (theta / epsilon) ** power))
            * power
            * (theta / epsilon) ** (power - 1)
            / epsilon
        )
        offset = theta * a - omega * math.log(1 + (theta / epsilon) ** power)
        error = abs(h[pixel] - z[pixel])
        near = omega * math.log(1 + (error / epsilon) ** power)
        value = near if error < theta else a * error - offset
        around = h[f, c, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
        total += value * (1 + weight * (around.max() > 0.2))
    assert float(adaptive_wing(logits, heatmaps, points)) == pytest.approx(total / h.size)


def test_adaptive_wing_is_more_sensitive_to_a_small_error_at_the_peak_than_elsewhere() -> None:
    heatmaps = torch.zeros(1, 1, 9, 9, dtype=torch.float64)
    heatmaps[0, 0, 4, 4] = 1
    slopes = {}
    for pixel in [(4, 4), (0, 0)]:
        logits = heatmaps.clone()
        logits[0, 0, *pixel] += 0.01
        logits.requires_grad_()
        adaptive_wing(logits, heatmaps, torch.zeros(1, 1, 2)).backward()
        slopes[pixel] = abs(float(logits.grad[0, 0, *pixel]))
    assert slopes[4, 4] > 50 * slopes[0, 0]


def test_dsnt_is_the_distance_and_the_divergence(case) -> None:
    logits, heatmaps, points = case
    expected = []
    for f, c in np.ndindex(2, 3):
        p = np.exp(logits[f, c].numpy())
        p /= p.sum()
        y, x = np.mgrid[:SIDE, :SIDE]
        px, py = points[f, c].tolist()
        mean = np.array([(p * x).sum(), (p * y).sum()])
        distance = np.linalg.norm((mean - [px, py]) / (SIDE / 2))
        q = np.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * DSNT_SIGMA**2))
        q /= q.sum()
        expected.append(distance + jensenshannon(p.ravel(), q.ravel()) ** 2)
    assert float(dsnt(logits, heatmaps, points)) == pytest.approx(np.mean(expected), rel=1e-6)


def descend(name: str, steps: int = 60) -> float:
    """Distance in px between the landmark and the peak of logits after gradient descent."""
    loss = LANDMARK_LOSSES[name]
    points = torch.tensor([[[15.0, 9.0]]])
    heatmaps = gaussians(points)
    logits = torch.zeros(1, 1 + loss.extra_channels, SIDE, SIDE)
    logits[0, 0, 20, 2] = 2.0  # A wrong peak, far from the heatmap.
    logits.requires_grad_()
    optimiser = torch.optim.Adam([logits], lr=0.2)
    for _ in range(steps):
        optimiser.zero_grad()
        loss.value(logits, heatmaps, points).backward()
        optimiser.step()
    best = int(loss.maps(logits.detach()).flatten().argmax())
    return math.hypot(best % SIDE - 15, best // SIDE - 9)


@pytest.mark.parametrize("name", [name for name in LANDMARK_LOSSES if name != "channel-ce"])
def test_descent_finds_the_landmark_from_a_wrong_peak(name: str) -> None:
    assert descend(name) < 1.5


def test_descent_on_the_papers_loss_keeps_the_wrong_peak() -> None:
    """The softmax over a single channel is 1 everywhere, so there is no gradient."""
    assert descend("channel-ce") > 10


@pytest.mark.parametrize(("gaussian", "published"), [("whole", 0.068), ("cut", None)])
def test_maps_that_say_nothing_have_the_loss_at_which_experiment_3_begins(
    gaussian: str, published: float | None
) -> None:
    rng = np.random.default_rng(0)
    traces = [
        half_ellipse_trace(
            tuple(rng.normal([51, 15], 3)), tuple(rng.normal([64, 70], 3)), rng.uniform(23, 29)
        )
        for _ in range(40)
    ]
    axes, contours = (
        whole_pixels(np.stack(part)) for part in zip(*map(split_rows, traces), strict=True)
    )
    masks = rasterise_all(polygons(axes, contours, "centroid"), (112, 112), "centroid")
    # The share of the image that the ventricle has in EchoNet-Dynamic.
    assert masks.mean() == pytest.approx(0.098, abs=0.005)
    points = choose_landmarks(axes, contours, "centroid", "angle", 7)
    shape = HeatmapSettings(gaussian=gaussian)
    bands = np.stack([border_band(mask, shape) for mask in masks])
    heatmaps = torch.from_numpy(draw_heatmaps(points, bands, "gaussian", shape) / 255).float()
    loss = (
        LANDMARK_LOSSES["channel-ce"]
        .value(torch.zeros_like(heatmaps), heatmaps, torch.from_numpy(points))
        .item()
    )
    assert loss == pytest.approx(math.log(7) * heatmaps.sum(1).mean().item(), rel=1e-5)
    assert loss == pytest.approx(published or 0.057, abs=0.0015)
