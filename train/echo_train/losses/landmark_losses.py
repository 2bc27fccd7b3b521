"""Losses of the landmark target by name, each with its conversion from logits to maps.

What the logits mean depends on the loss. A softmax over a channel's pixels gives
a distribution, a softmax over the channels gives each pixel's class, and a
regression gives the heatmap. So each loss also defines how logits become
non-negative maps that peak at the landmark. `echo_train.targets.landmarks` uses
both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from echo_train.landmarks.maps import mean_position, spatial_softmax
from echo_train.runtime.device import constant

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""A scalar loss of logits (frame, channel, y, x), heatmaps (frame, landmark, y, x) in [0, 1] and
points (frame, landmark, 2), (x, y) in pixels; the mean over all pixels or landmarks."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LandmarkLoss:
    """A loss, the channels it needs, and its conversion from logits to maps.

    Attributes
    ----------
    maps : callable
        Converts logits to maps, (frame, landmark, y, x), at least 0.
    extra_channels : int
        Channels in addition to one per landmark.
    spatial : bool
        Whether a map is a distribution over the pixels, with sum 1. Otherwise
        each value is in [0, 1].
    """

    value: Loss
    maps: Callable[[Tensor], Tensor]
    extra_channels: int = 0
    spatial: bool = False


def channel_cross_entropy(logits: Tensor, heatmaps: Tensor, points: Tensor) -> Tensor:
    """Cross entropy over the landmark channels at every pixel: the loss of the paper's code.

    ``CrossEntropyLoss`` with the heatmaps as soft targets. At pixels where all
    heatmaps are zero, which are most pixels, loss and gradient are zero for any
    logits, and no channel can express "no landmark here".
    """
    return functional.cross_entropy(logits, heatmaps)


def background_cross_entropy(logits: Tensor, heatmaps: Tensor, points: Tensor) -> Tensor:
    """Cross entropy over the landmark channels and a background channel.

    The last channel is the background. Its target is 1 minus the sum of the heatmaps.
    Heatmaps with a sum above 1 are scaled to a sum of 1.
    """
    total = heatmaps.sum(1, keepdim=True)
    targets = torch.cat([heatmaps / total.clamp_min(1), (1 - total).clamp_min(0)], dim=1)
    return functional.cross_entropy(logits, targets)


def spatial_cross_entropy(logits: Tensor, heatmaps: Tensor, points: Tensor) -> Tensor:
    """Cross entropy over the pixels of each landmark's map.

    The softmax over all pixels is compared with the heatmap scaled to sum 1.
    The gradient is their difference, so it reaches every pixel. The mean is over the
    landmarks inside their image, whose heatmap is not all zero; 0 if there are none.
    """
    mass = heatmaps.flatten(2).sum(2, keepdim=True)
    entropy = -(_distribution(heatmaps) * logits.flatten(2).log_softmax(2)).sum(2)
    return entropy.sum() / (mass > 0).sum().clamp_min(1)


MSE_PEAK = 10.0
"""Peak of the scaled heatmaps, which gives their few pixels weight against the background."""


def scaled_mean_squared_error(logits: Tensor, heatmaps: Tensor, points: Tensor) -> Tensor:
    """Mean squared error of each pixel against the heatmap scaled to a peak of `MSE_PEAK`.

    An all-zero output is a plateau of this loss, since nearly all targets are zero.
    """
    return functional.mse_loss(logits, MSE_PEAK * heatmaps)


def adaptive_wing(logits: Tensor, heatmaps: Tensor, points: Tensor) -> Tensor:
    """Adaptive wing loss, weighted towards the heatmaps' foreground.

    The loss is wing-shaped, and so sensitive to small errors, where the target
    is high, and nearly quadratic where it is zero. Pixels within a 3x3 dilation
    of the heatmap above 0.2 have a weight of 11 (the weighted loss map of Wang
    et al.).

    References
    ----------
    Wang, Bo, Fuxin: Adaptive Wing Loss for Robust Face Alignment via Heatmap
    Regression, ICCV 2019; omega 14, theta 0.5, epsilon 1, alpha 2.1, W 10.
    """
    omega, theta, epsilon, alpha, weight = 14.0, 0.5, 1.0, 2.1, 10.0
    error = (logits - heatmaps).abs()
    power = alpha - heatmaps
    ratio = theta / epsilon
    steep = omega * power * ratio ** (power - 1) / (1 + ratio**power) / epsilon
    offset = theta * steep - omega * torch.log1p(ratio**power)
    # A power has no finite gradient at an error of 0; the clamp gives the limit, 0.
    near = omega * torch.log1p((error.clamp_min(1e-12) / epsilon) ** power)
    wing = torch.where(error < theta, near, steep * error - offset)
    foreground = functional.max_pool2d(heatmaps, 3, stride=1, padding=1) > 0.2
    return (wing * (1 + weight * foreground)).mean()


DSNT_SIGMA = 1.0
"""Standard deviation in pixels of the Gaussian that the regulariser compares a map with."""


def dsnt(logits: Tensor, heatmaps: Tensor, points: Tensor) -> Tensor:
    """Distance of the map's mean position plus the divergence of its shape.

    The differentiable spatial to numerical transform (DSNT): the distance
    between the softmax's mean position and the landmark, in units of half the
    image, plus the Jensen-Shannon divergence between the softmax and a Gaussian
    at the landmark. The heatmaps are not used.

    References
    ----------
    Nibali, He, Morgan, Prendergast: Numerical Coordinate Regression with
    Convolutional Neural Networks, 2018, arXiv 1801.07372.
    """
    height, width = logits.shape[-2:]
    maps = spatial_softmax(logits)
    half = constant((width / 2, height / 2), logits.device)
    distance = ((mean_position(maps) - points) / half).square().sum(2).add(1e-12).sqrt()
    x = torch.arange(width, device=logits.device) - points[..., :1]
    y = torch.arange(height, device=logits.device) - points[..., 1:]
    gaussian = (-0.5 / DSNT_SIGMA**2 * y.square())[..., None] + (-0.5 / DSNT_SIGMA**2 * x.square())[
        ..., None, :
    ]
    expected = gaussian.flatten(2).softmax(2)
    predicted = maps.flatten(2)
    log_mean = ((expected + predicted) / 2).clamp_min(1e-12).log()
    divergence = (_divergence(expected, log_mean) + _divergence(predicted, log_mean)) / 2
    return (distance + divergence).mean()


def _distribution(heatmaps: Tensor) -> Tensor:
    flat = heatmaps.flatten(2)
    return flat / flat.sum(2, keepdim=True).clamp_min(torch.finfo(flat.dtype).tiny)


def _divergence(values: Tensor, log_reference: Tensor) -> Tensor:
    """Kullback-Leibler divergence of distributions from a reference, (frame, landmark)."""
    return (values * (values.clamp_min(1e-12).log() - log_reference)).sum(2)


LANDMARK_LOSSES: dict[str, LandmarkLoss] = {
    "spatial-ce": LandmarkLoss(value=spatial_cross_entropy, maps=spatial_softmax, spatial=True),
    "channel-ce": LandmarkLoss(value=channel_cross_entropy, maps=lambda logits: logits.softmax(1)),
    "channel-ce-background": LandmarkLoss(
        value=background_cross_entropy,
        maps=lambda logits: logits.softmax(1)[:, :-1],
        extra_channels=1,
    ),
    "mse": LandmarkLoss(
        value=scaled_mean_squared_error, maps=lambda logits: (logits / MSE_PEAK).clamp(0, 1)
    ),
    "adaptive-wing": LandmarkLoss(value=adaptive_wing, maps=lambda logits: logits.clamp(0, 1)),
    "dsnt": LandmarkLoss(value=dsnt, maps=spatial_softmax, spatial=True),
}
"""By name; the first is the default of the landmark target."""
