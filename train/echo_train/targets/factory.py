"""The two targets, mask and landmarks: what the network's logits mean for each.

A target knows the number of output channels, the loss, and how logits become
masks that can be compared.
"""

from __future__ import annotations

import dataclasses

from torch import Tensor

from echo_common.errors import SettingsError
from echo_train.data.frame_set import Choice
from echo_train.data.loader import Loader
from echo_train.data.location_prior import mean_mask
from echo_train.losses.mask_losses import pixel_weights
from echo_train.settings import TrainSettings
from echo_train.targets.base import Target
from echo_train.targets.landmarks import LandmarkTarget
from echo_train.targets.mask import MaskTarget


def make_target(
    settings: TrainSettings, choice: Choice, loader: Loader, prior: Tensor | None
) -> Target:
    """Make the target that the settings name.

    Parameters
    ----------
    settings : TrainSettings
    choice : Choice
    loader : Loader
        The frames that the run trains on.
    prior : Tensor, (y, x) float, or None
        From `echo_train.data.location_prior.make_prior`.

    Raises
    ------
    SettingsError
        If the ventricle's weight is to be counted where there is none.
    """
    if settings.target == "mask":
        if settings.loss_name() == "weighted-bce" and settings.positive_weight is None:
            settings = dataclasses.replace(settings, positive_weight=_count_weight(loader))
        weights = None
        if prior is not None and settings.prior_use == "weight":
            weights = pixel_weights(prior, settings.prior_weight)
        return MaskTarget(settings, weights)
    points = loader.frames.points
    assert points is not None
    return LandmarkTarget(settings, choice, points[loader.frames.indices("TRAIN")])


def restore_target(settings: TrainSettings, choice: Choice, state: dict[str, Tensor]) -> Target:
    """Make the target of a run that was trained, from its checkpoint and not from its frames.

    Parameters
    ----------
    settings : TrainSettings
    choice : Choice
    state : dict of str to Tensor
        What `Target.state` gave.
    """
    target: Target = (
        MaskTarget(settings, None)
        if settings.target == "mask"
        else LandmarkTarget(settings, choice, None)
    )
    target.restore(state)
    return target


def _count_weight(loader: Loader) -> float:
    """Background over ventricle, in pixels of the training split."""
    share = float(mean_mask(loader).double().mean())
    if share == 0:
        raise SettingsError(
            "no mask of the training split holds a pixel, so --loss weighted-bce has nothing to "
            "count; give --positive-weight, or another --method"
        )
    return (1 - share) / share
