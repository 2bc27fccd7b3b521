"""Losses of the mask target by name: logits, (frame, y, x), against 0|1 masks.

Each loss accepts pixel weights, which come from a location prior. Losses that
compare areas are computed per frame and averaged over the frames, as the
reported Dice is. `echo_train.targets.mask` uses them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from echo_train.losses.distance_map import REACH, distance_to_contour
from echo_train.losses.settings import MaskLossSettings

Loss = Callable[[Tensor, Tensor, Tensor | None, MaskLossSettings], Tensor]
"""A scalar loss of logits (frame, y, x), masks (frame, y, x) of 0 and 1, weights and settings.

The weights have the shape (y, x) or (frame, y, x), are above 0 and have mean 1; or None.
"""

SMOOTHING = 1.0
"""Pixels added to both areas of a ratio, so that it is defined for empty masks."""


def binary_cross_entropy(
    logits: Tensor, masks: Tensor, weights: Tensor | None, settings: MaskLossSettings
) -> Tensor:
    """Mean binary cross entropy over all pixels (section 3.5 of the paper); see `Loss`."""
    return functional.binary_cross_entropy_with_logits(
        logits, masks, None if weights is None else weights.expand_as(logits)
    )


def weighted_cross_entropy(
    logits: Tensor, masks: Tensor, weights: Tensor | None, settings: MaskLossSettings
) -> Tensor:
    """Cross entropy with ventricle pixels weighted by `positive_weight`; see `Loss`.

    These are the class weights proposed in section 5 of the paper.
    """
    assert settings.positive_weight is not None, (
        "the target counts the weight from the training split"
    )
    class_weights = 1 + (settings.positive_weight - 1) * masks
    return functional.binary_cross_entropy_with_logits(
        logits, masks, _weighted(class_weights, weights)
    )


def dice(
    logits: Tensor, masks: Tensor, weights: Tensor | None, settings: MaskLossSettings
) -> Tensor:
    """One minus the Dice of the probabilities; see `Loss`.

    References
    ----------
    Drozdzal, Vorontsov, Chartrand, Kadoury, Pal: The Importance of Skip
    Connections in Biomedical Image Segmentation, DLMIA 2016.
    """
    return (1 - _tversky_index(logits, masks, weights, 0.5, 0.5)).mean()


def bce_dice(
    logits: Tensor, masks: Tensor, weights: Tensor | None, settings: MaskLossSettings
) -> Tensor:
    """Sum of `binary_cross_entropy` and `dice`; see `Loss`.

    References
    ----------
    Isensee, Jaeger, Kohl, Petersen, Maier-Hein: nnU-Net, Nature Methods 2021.
    """
    return binary_cross_entropy(logits, masks, weights, settings) + dice(
        logits, masks, weights, settings
    )


def tversky(
    logits: Tensor, masks: Tensor, weights: Tensor | None, settings: MaskLossSettings
) -> Tensor:
    """One minus the Tversky index of the probabilities; see `Loss`.

    References
    ----------
    Salehi, Erdogmus, Gholipour: Tversky Loss Function for Image Segmentation
    Using 3D Fully Convolutional Deep Networks, MLMI 2017.
    """
    index = _tversky_index(logits, masks, weights, settings.tversky_alpha, settings.tversky_beta)
    return (1 - index).mean()


def focal_tversky(
    logits: Tensor, masks: Tensor, weights: Tensor | None, settings: MaskLossSettings
) -> Tensor:
    """One minus the Tversky index, to the power 1 / gamma; see `Loss`.

    The gradient of a frame is that of `tversky` times ``(1 - index) ** (1 / gamma - 1) / gamma``.
    With gamma above 1, as in the paper cited, this grows as the frame gets right.

    References
    ----------
    Abraham, Khan: A Novel Focal Tversky Loss Function with Improved Attention
    U-Net for Lesion Segmentation, ISBI 2019. Their alpha and beta are
    exchanged.
    """
    index = _tversky_index(logits, masks, weights, settings.tversky_alpha, settings.tversky_beta)
    # A root has an infinite slope at 0, which is the loss of a perfect frame.
    return (1 - index).clamp_min(1e-6).pow(1 / settings.focal_gamma).mean()


def lovasz(
    logits: Tensor, masks: Tensor, weights: Tensor | None, settings: MaskLossSettings
) -> Tensor:
    """Lovász hinge: the convex extension of one minus the IoU; see `Loss`.

    Pixels are sorted by their hinge error, largest first. Each contributes its
    error times the increase of one minus the IoU when it is misclassified in
    addition to the pixels before it. With weights, areas are sums of weights.

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
    jaccard_loss = 1 - (total - missed) / (total + added)
    increase = torch.cat([jaccard_loss[:, :1], jaccard_loss.diff(dim=1)], dim=1)
    return (errors.clamp_min(0) * increase).sum(1).mean()


def dice_boundary(
    logits: Tensor, masks: Tensor, weights: Tensor | None, settings: MaskLossSettings
) -> Tensor:
    """Sum of `dice` and the boundary loss; see `Loss`.

    The boundary loss is the mean of the probability times the signed distance
    to the contour, which is negative inside, limited to and in units of
    `echo_train.losses.distance_map.REACH`.

    References
    ----------
    Kervadec, Bouchtiba, Desrosiers, Granger, Dolz, Ben Ayed: Boundary Loss for
    Highly Unbalanced Segmentation, MIDL 2019.
    """
    signed = distance_to_contour(masks) * (1 - 2 * masks) / REACH
    boundary = _weighted(logits.sigmoid() * signed, weights).mean()
    return dice(logits, masks, weights, settings) + boundary


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
"""By name; the first is the default of the mask target."""


def _tversky_index(
    logits: Tensor, masks: Tensor, weights: Tensor | None, alpha: float, beta: float
) -> Tensor:
    """Tversky index of each frame: true positives over their sum with weighted false ones."""
    probability = logits.sigmoid()
    common = _weighted(probability * masks, weights).sum((1, 2))
    false = _weighted(probability * (1 - masks), weights).sum((1, 2))
    missed = _weighted((1 - probability) * masks, weights).sum((1, 2))
    return (common + SMOOTHING) / (common + alpha * false + beta * missed + SMOOTHING)


def _weighted(values: Tensor, weights: Tensor | None) -> Tensor:
    return values if weights is None else values * weights


def pixel_weights(prior: Tensor, growth: float) -> Tensor:
    """Weights of the pixels, proportional to ``1 + growth * prior``, with mean 1.

    The mean of 1 keeps the scale of the loss, so the learning rate need not change.

    Parameters
    ----------
    prior : Tensor, (y, x) float
    growth : float
        At least 0.
    """
    weights = 1 + growth * prior
    return weights / weights.mean()
