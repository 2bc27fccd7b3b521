"""Losses of the landmark target: how maps are learnt, and what a learnt map means.

A loss and the reading of its maps belong together: a softmax over the pixels
of a channel learns a distribution, one over the channels a class of each
pixel, and a regression the heatmap itself. So each loss also turns logits into
maps that are nowhere negative and highest where the landmark is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from echo_train.landmarks.maps import mean_position, spatial_softmax


@dataclasses.dataclass(frozen=True, kw_only=True)
class LandmarkLoss:
    """A loss, the channels that it needs, and the maps that it learns.

    Attributes
    ----------
    value : callable
        Mean loss, a scalar, of logits (frame, channel, y, x), heatmaps
        (frame, landmark, y, x) in [0, 1] and points (frame, landmark, 2) px.
    maps : callable
        Logits to maps (frame, landmark, y, x), at least 0.
    extra_channels : int
        Channels beside one a landmark.
    spatial : bool
        Whether a map is a distribution over the pixels, of sum 1; else its
        values are in [0, 1] each.
    """

    value: Callable[[Tensor, Tensor, Tensor], Tensor]
    maps: Callable[[Tensor], Tensor]
    extra_channels: int = 0
    spatial: bool = False


def channel_cross_entropy(logits: Tensor, heatmaps: Tensor, points: Tensor) -> Tensor:
    """Cross entropy over the landmark channels at every pixel: the loss of the paper's code.

    ``CrossEntropyLoss`` with the heatmaps as soft targets. Where all heatmaps
    are zero, which is nearly everywhere, it is zero whatever the logits are,
    and so is its gradient; no channel says "no landmark here".

    Parameters
    ----------
    logits, heatmaps : Tensor, (frame, landmark, y, x) float
    points : Tensor, (frame, landmark, 2) float
        Not used.

    Returns
    -------
    loss : Tensor, scalar
        Mean over all pixels.
    """
    return functional.cross_entropy(logits, heatmaps)


def background_cross_entropy(logits: Tensor, heatmaps: Tensor, points: Tensor) -> Tensor:
    """Cross entropy over the landmark channels and one for "no landmark here".

    The background's target is what the heatmaps leave of 1; where they sum to
    more, they are scaled to sum 1.

    Parameters
    ----------
    logits : Tensor, (frame, landmark + 1, y, x) float
        The background last.
    heatmaps : Tensor, (frame, landmark, y, x) float
    points : Tensor, (frame, landmark, 2) float
        Not used.

    Returns
    -------
    loss : Tensor, scalar
        Mean over all pixels.
    """
    total = heatmaps.sum(1, keepdim=True)
    targets = torch.cat([heatmaps / total.clamp_min(1), (1 - total).clamp_min(0)], dim=1)
    return functional.cross_entropy(logits, targets)


def spatial_cross_entropy(logits: Tensor, heatmaps: Tensor, points: Tensor) -> Tensor:
    """Cross entropy over the pixels of each landmark's map.

    The map's softmax over all pixels is compared with the heatmap scaled to
    sum 1. Its gradient is their difference, so that every pixel is told
    whether it should rise or fall.

    Parameters
    ----------
    logits, heatmaps : Tensor, (frame, landmark, y, x) float
        A landmark whose heatmap is all zero, outside the image, is left out.
    points : Tensor, (frame, landmark, 2) float
        Not used.

    Returns
    -------
    loss : Tensor, scalar
        Mean over the landmarks that are in their image; 0 where none is.
    """
    mass = heatmaps.flatten(2).sum(2, keepdim=True)
    entropy = -(_distribution(heatmaps) * logits.flatten(2).log_softmax(2)).sum(2)
    return entropy.sum() / (mass > 0).sum().clamp_min(1)


MSE_PEAK = 10.0
"""Height that heatmaps are scaled to, so that their few pixels weigh against the empty ones."""


def scaled_mean_squared_error(logits: Tensor, heatmaps: Tensor, points: Tensor) -> Tensor:
    """Mean squared error of each pixel against the heatmap scaled to a peak of `MSE_PEAK`.

    An all-zero output is a plateau: nearly every target pixel is zero.

    Parameters
    ----------
    logits, heatmaps : Tensor, (frame, landmark, y, x) float
    points : Tensor, (frame, landmark, 2) float
        Not used.

    Returns
    -------
    loss : Tensor, scalar
    """
    return functional.mse_loss(logits, MSE_PEAK * heatmaps)


def adaptive_wing(logits: Tensor, heatmaps: Tensor, points: Tensor) -> Tensor:
    """Adaptive wing loss, weighted towards the heatmaps' foreground.

    Wing-shaped, so sensitive to small errors, where the target is high, and
    near quadratic where it is zero. Pixels within a 3x3 dilation of a heatmap
    above 0.2 count eleven times (the paper's weighted loss map).

    Parameters
    ----------
    logits, heatmaps : Tensor, (frame, landmark, y, x) float
    points : Tensor, (frame, landmark, 2) float
        Not used.

    Returns
    -------
    loss : Tensor, scalar
        Mean over all pixels.

    References
    ----------
    Wang, Bo, Fuxin: Adaptive Wing Loss for Robust Face Alignment via Heatmap
    Regression, ICCV 2019; omega 14, theta 0.5, epsilon 1, alpha 2.1, W 10.
    """
    omega, theta, epsilon, alpha, weight = 14.0, 0.5, 1.0, 2.1, 10.0
    error = (logits - heatmaps).abs()
    power = alpha - heatmaps
    ratio = torch.tensor(theta / epsilon, device=logits.device)
    steep = omega * power * ratio ** (power - 1) / (1 + ratio**power) / epsilon
    offset = theta * steep - omega * torch.log1p(ratio**power)
    # The power of a zero error has no gradient of its own; the clamp gives it the limit, 0.
    near = omega * torch.log1p((error.clamp_min(1e-12) / epsilon) ** power)
    wing = torch.where(error < theta, near, steep * error - offset)
    foreground = functional.max_pool2d(heatmaps, 3, stride=1, padding=1) > 0.2
    return (wing * (1 + weight * foreground)).mean()


DSNT_SIGMA = 1.0
"""Standard deviation in pixels of the Gaussian that the regulariser pulls a map towards."""


def dsnt(logits: Tensor, heatmaps: Tensor, points: Tensor) -> Tensor:
    """Distance of the map's mean place, plus the divergence of its shape.

    The differentiable spatial to numerical transform: the softmax's mean place
    against the point, in units of half the image, and the Jensen-Shannon
    divergence between the softmax and a Gaussian on the point. The heatmaps
    are not used.

    Parameters
    ----------
    logits, heatmaps : Tensor, (frame, landmark, y, x) float
    points : Tensor, (frame, landmark, 2) float
        (x, y) in pixels.

    Returns
    -------
    loss : Tensor, scalar
        Mean over the landmarks.

    References
    ----------
    Nibali, He, Morgan, Prendergast: Numerical Coordinate Regression with
    Convolutional Neural Networks, 2018, arXiv 1801.07372.
    """
    height, width = logits.shape[-2:]
    map_ = logits.flatten(2).softmax(2).reshape(logits.shape)
    half = torch.tensor([width / 2, height / 2], device=logits.device)
    distance = ((mean_position(map_) - points) / half).square().sum(2).add(1e-12).sqrt()
    x = torch.arange(width, device=logits.device) - points[..., :1]
    y = torch.arange(height, device=logits.device) - points[..., 1:]
    gaussian = (-0.5 / DSNT_SIGMA**2 * y.square())[..., None] + (-0.5 / DSNT_SIGMA**2 * x.square())[
        ..., None, :
    ]
    expected = gaussian.flatten(2).softmax(2)
    found = map_.flatten(2)
    middle = ((expected + found) / 2).clamp_min(1e-12).log()
    divergence = (_entropy_terms(expected, middle) + _entropy_terms(found, middle)) / 2
    return (distance + divergence).mean()


def _channel_softmax(logits: Tensor) -> Tensor:
    return logits.softmax(1)


def _foreground_softmax(logits: Tensor) -> Tensor:
    return logits.softmax(1)[:, :-1]


def _clamped(logits: Tensor) -> Tensor:
    return logits.clamp(0, 1)


def _unscaled(logits: Tensor) -> Tensor:
    return (logits / MSE_PEAK).clamp(0, 1)


def _distribution(heatmaps: Tensor) -> Tensor:
    flat = heatmaps.flatten(2)
    return flat / flat.sum(2, keepdim=True).clamp_min(torch.finfo(flat.dtype).tiny)


def _entropy_terms(one: Tensor, log_middle: Tensor) -> Tensor:
    return (one * (one.clamp_min(1e-12).log() - log_middle)).sum(2)


LANDMARK_LOSSES: dict[str, LandmarkLoss] = {
    "spatial-ce": LandmarkLoss(value=spatial_cross_entropy, maps=spatial_softmax, spatial=True),
    "channel-ce": LandmarkLoss(value=channel_cross_entropy, maps=_channel_softmax),
    "channel-ce-background": LandmarkLoss(
        value=background_cross_entropy, maps=_foreground_softmax, extra_channels=1
    ),
    "mse": LandmarkLoss(value=scaled_mean_squared_error, maps=_unscaled),
    "adaptive-wing": LandmarkLoss(value=adaptive_wing, maps=_clamped),
    "dsnt": LandmarkLoss(value=dsnt, maps=spatial_softmax, spatial=True),
}
"""The first is the default for landmarks."""
