"""Make the target of a new run, or restore that of a trained one."""

from __future__ import annotations

from torch import Tensor

from echo_common.cli.settings import replace
from echo_common.errors import SettingsError
from echo_train.data.frame_set import Choice
from echo_train.data.loader import Loader
from echo_train.data.location_prior import mean_mask
from echo_train.landmarks.settings import LandmarkSettings
from echo_train.losses.settings import LossSettings
from echo_train.targets.base import Target
from echo_train.targets.landmarks import LandmarkTarget
from echo_train.targets.mask import MaskTarget


def make_target(
    losses: LossSettings,
    decoding: LandmarkSettings,
    choice: Choice,
    loader: Loader,
    weights: Tensor | None,
) -> Target:
    """Make the target of a run.

    Parameters
    ----------
    decoding : LandmarkSettings
        For landmarks.
    loader : Loader
        Loads the frames that the run trains on.
    weights : Tensor, (y, x) float, or None
        Weights of the pixels in the loss of masks, of mean 1.

    Raises
    ------
    SettingsError
        If the loss needs the share of ventricle pixels and all masks are empty.
    """
    if choice.landmarks is None:
        if losses.name("mask") == "weighted-bce" and losses.mask.positive_weight is None:
            losses = replace(losses, positive_weight=_count_weight(loader))
        return MaskTarget(losses, weights)
    points = loader.frames.points
    assert points is not None
    return LandmarkTarget(losses, decoding, choice, points[loader.frames.indices("TRAIN")])


def restore_target(
    losses: LossSettings, decoding: LandmarkSettings, choice: Choice, state: dict[str, Tensor]
) -> Target:
    """Make the target of a trained run from its checkpoint, without its frames.

    Parameters
    ----------
    decoding : LandmarkSettings
        For landmarks.
    state : dict of str to Tensor
        From `Target.state`.
    """
    target: Target = (
        MaskTarget(losses, None)
        if choice.landmarks is None
        else LandmarkTarget(losses, decoding, choice, None)
    )
    target.restore(state)
    return target


def _count_weight(loader: Loader) -> float:
    """Compute the ratio of background to ventricle pixels in the training split."""
    share = float(mean_mask(loader).cpu().double().mean())
    if share == 0:
        raise SettingsError(
            "all masks of the training split are empty, so --loss weighted-bce cannot compute the "
            "weight of the ventricle; set --positive-weight, or choose another --method"
        )
    return (1 - share) / share
