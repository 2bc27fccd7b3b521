"""Losses of the mask target, by name: (frame, y, x) logits against 0|1 masks.

Every one takes weights of the pixels, which a location prior gives, and the
settings of all of them. Those that compare areas do so frame by frame, as the
Dice that a run is judged by does, and average over the frames.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from echo_common.cli.settings import setting
from echo_train.losses.distance_map import REACH, distance_to_contour


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskLossSettings:
    """Numbers that some of the losses have.

    Attributes
    ----------
    positive_weight : float or None
        How many times a pixel of the ventricle counts in ``weighted-bce``;
        None for the background's area over the ventricle's, as the training
        split has them.
    tversky_alpha, tversky_beta : float
        Weights of falsely found and of missed area; both 0.5 make a Dice.
    focal_gamma : float
        Exponent 1 / gamma of ``focal-tversky``; above 1, frames that are
        nearly right count less.
    """

    positive_weight: float | None = setting(
        None,
        "Times that a ventricle's pixel counts in --loss weighted-bce; by default counted from "
        "the training split, background over ventricle.",
        minimum=0,
    )
    tversky_alpha: float = setting(
        0.3, "Weight of falsely found area in the Tversky losses.", minimum=0
    )
    tversky_beta: float = setting(0.7, "Weight of missed area in the Tversky losses.", minimum=0)
    focal_gamma: float = setting(
        4 / 3, "Exponent 1/gamma of --loss focal-tversky.", minimum=0.1, maximum=10
    )


Loss = Callable[[Tensor, Tensor, Tensor | None, MaskLossSettings], Tensor]
"""A scalar from logits (frame, y, x), masks (frame, y, x) of 0 and 1, weights and settings.

The weights are (y, x) or (frame, y, x), above 0 and of mean 1, or None.
"""

SMOOTHING = 1.0
"""Pixels added to both sides of a ratio of areas, so that an empty mask has one too."""


def binary_cross_entropy(
    logits: Tensor, masks: Tensor, weights: Tensor | None, by: MaskLossSettings
) -> Tensor:
    """Binary cross entropy, mean over all pixels (the paper's section 3.5); see `Loss`."""
    return functional.binary_cross_entropy_with_logits(logits, masks, _fitting(weights, logits))


def weighted_cross_entropy(
    logits: Tensor, masks: Tensor, weights: Tensor | None, by: MaskLossSettings
) -> Tensor:
    """Cross entropy where a ventricle's pixel counts `positive_weight` times; see `Loss`.

    The class weights that the paper's section 5 asks for.
    """
    assert by.positive_weight is not None
    times = 1 + (by.positive_weight - 1) * masks
    return functional.binary_cross_entropy_with_logits(logits, masks, _weighted(times, weights))


def dice(logits: Tensor, masks: Tensor, weights: Tensor | None, by: MaskLossSettings) -> Tensor:
    """One minus the Dice of the probabilities; see `Loss`.

    References
    ----------
    Drozdzal, Vorontsov, Chartrand, Kadoury, Pal: The Importance of Skip
    Connections in Biomedical Image Segmentation, DLMIA 2016.
    """
    return (1 - _tversky_index(logits, masks, weights, 0.5, 0.5)).mean()


def bce_dice(logits: Tensor, masks: Tensor, weights: Tensor | None, by: MaskLossSettings) -> Tensor:
    """Sum of `binary_cross_entropy` and `dice`; see `Loss`.

    References
    ----------
    Isensee, Jaeger, Kohl, Petersen, Maier-Hein: nnU-Net, Nature Methods 2021.
    """
    return binary_cross_entropy(logits, masks, weights, by) + dice(logits, masks, weights, by)


def tversky(logits: Tensor, masks: Tensor, weights: Tensor | None, by: MaskLossSettings) -> Tensor:
    """One minus the Tversky index of the probabilities; see `Loss`.

    References
    ----------
    Salehi, Erdogmus, Gholipour: Tversky Loss Function for Image Segmentation
    Using 3D Fully Convolutional Deep Networks, MLMI 2017.
    """
    index = _tversky_index(logits, masks, weights, by.tversky_alpha, by.tversky_beta)
    return (1 - index).mean()


def focal_tversky(
    logits: Tensor, masks: Tensor, weights: Tensor | None, by: MaskLossSettings
) -> Tensor:
    """One minus the Tversky index, to the power 1 / gamma; see `Loss`.

    References
    ----------
    Abraham, Khan: A Novel Focal Tversky Loss Function with Improved Attention
    U-Net for Lesion Segmentation, ISBI 2019. Their alpha and beta are the
    other way round.
    """
    index = _tversky_index(logits, masks, weights, by.tversky_alpha, by.tversky_beta)
    # A root has no slope at 0, where a frame is exactly right.
    return (1 - index).clamp_min(1e-6).pow(1 / by.focal_gamma).mean()


def lovasz(logits: Tensor, masks: Tensor, weights: Tensor | None, by: MaskLossSettings) -> Tensor:
    """Lovász hinge: the convex extension of one minus the IoU; see `Loss`.

    The pixels are sorted by how wrong they are; each adds its error times what
    it adds to one minus the IoU when it is the next to be classed wrongly.
    With weights, areas are sums of them.

    References
    ----------
    Berman, Rannen Triki, Blaschko: The Lovász-Softmax Loss, CVPR 2018.
    """
    errors = 1 - logits * (2 * masks - 1)
    errors, order = errors.flatten(1).sort(dim=1, descending=True)
    inside = masks.flatten(1).gather(1, order)
    area = torch.ones_like(masks) if weights is None else weights.expand_as(masks)
    area = area.flatten(1).gather(1, order)
    total = (area * inside).sum(1, keepdim=True)
    missed, added = (area * inside).cumsum(1), (area * (1 - inside)).cumsum(1)
    lost = 1 - (total - missed) / (total + added)
    steps = torch.cat([lost[:, :1], lost.diff(dim=1)], dim=1)
    return (errors.clamp_min(0) * steps).sum(1).mean()


def dice_boundary(
    logits: Tensor, masks: Tensor, weights: Tensor | None, by: MaskLossSettings
) -> Tensor:
    """Sum of `dice` and the boundary loss; see `Loss`.

    The boundary loss is the mean of probability times signed distance to the
    contour, negative inside, in units of `echo_train.losses.distance_map.REACH`, where
    distances are cut off.

    References
    ----------
    Kervadec, Bouchtiba, Desrosiers, Granger, Dolz, Ben Ayed: Boundary Loss for
    Highly Unbalanced Segmentation, MIDL 2019.
    """
    signed = distance_to_contour(masks) * (1 - 2 * masks) / REACH
    boundary = _weighted(logits.sigmoid() * signed, weights).mean()
    return dice(logits, masks, weights, by) + boundary


MASK_LOSSES: dict[str, Loss] = {
    "bce": binary_cross_entropy,
    "weighted-bce": weighted_cross_entropy,
    "dice": dice,
    "bce-dice": bce_dice,
    "tversky": tversky,
    "focal-tversky": focal_tversky,
    "lovasz": lovasz,
    "dice-boundary": dice_boundary,
}
"""The first is the default for masks."""


def _tversky_index(
    logits: Tensor, masks: Tensor, weights: Tensor | None, alpha: float, beta: float
) -> Tensor:
    """Area in common over area in common, falsely found and missed; one number a frame."""
    chance = logits.sigmoid()
    common = _weighted(chance * masks, weights).sum((1, 2))
    false = _weighted(chance * (1 - masks), weights).sum((1, 2))
    missed = _weighted((1 - chance) * masks, weights).sum((1, 2))
    return (common + SMOOTHING) / (common + alpha * false + beta * missed + SMOOTHING)


def _weighted(values: Tensor, weights: Tensor | None) -> Tensor:
    return values if weights is None else values * weights


def _fitting(weights: Tensor | None, logits: Tensor) -> Tensor | None:
    return None if weights is None else weights.expand_as(logits)


def pixel_weights(prior: Tensor, growth: float) -> Tensor:
    """Weights of the pixels, proportional to ``1 + growth * prior`` and of mean 1.

    With a mean of 1 the loss keeps its scale, and the learning rate its meaning.

    Parameters
    ----------
    prior : Tensor, (y, x) float
    growth : float
        At least 0.
    """
    weights = 1 + growth * prior
    return weights / weights.mean()
