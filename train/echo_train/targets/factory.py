"""Make the target of a new run, or restore that of a trained one."""

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
    """Make the target that the settings choose.

    Parameters
    ----------
    settings : TrainSettings
    choice : Choice
    loader : Loader
        Loads the frames that the run trains on.
    prior : Tensor, (y, x) float, or None
        From `echo_train.data.location_prior.make_prior`.

    Raises
    ------
    SettingsError
        If the loss needs the share of ventricle pixels and all masks are empty.
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
    """Make the target of a trained run from its checkpoint, without its frames.

    Parameters
    ----------
    settings : TrainSettings
    choice : Choice
    state : dict of str to Tensor
        From `Target.state`.
    """
    target: Target = (
        MaskTarget(settings, None)
        if settings.target == "mask"
        else LandmarkTarget(settings, choice, None)
    )
    target.restore(state)
    return target


def _count_weight(loader: Loader) -> float:
    """Compute the ratio of background to ventricle pixels in the training split."""
    share = float(mean_mask(loader).double().mean())
    if share == 0:
        raise SettingsError(
            "all masks of the training split are empty, so --loss weighted-bce cannot compute the "
            "weight of the ventricle; set --positive-weight, or choose another --method"
        )
    return (1 - share) / share
