"""Settings of the losses."""

from __future__ import annotations

import dataclasses

from echo_common.cli.settings import component, setting

LOSS_NAMES = {
    "mask": (
        "bce",
        "weighted-bce",
        "dice",
        "bce-dice",
        "tversky",
        "focal-tversky",
        "lovasz",
        "dice-boundary",
    ),
    "landmarks": (
        "spatial-ce",
        "channel-ce",
        "channel-ce-background",
        "mse",
        "adaptive-wing",
        "dsnt",
    ),
}
"""Names of the losses by target, the default first: those of `MASK_LOSSES` in
`echo_train.losses.mask_losses` and of `LANDMARK_LOSSES` in `echo_train.losses.landmark_losses`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskLossSettings:
    """Parameters of some losses for masks."""

    positive_weight: float | None = setting(
        None,
        "Weight of ventricle pixels in --loss weighted-bce; default: the ratio of background to "
        "ventricle in the training split.",
        minimum=0,
    )
    tversky_alpha: float = setting(
        0.3, "Weight of false positives in the Tversky losses.", minimum=0
    )
    tversky_beta: float = setting(
        0.7,
        "Weight of false negatives in the Tversky losses; 0.5 for both weights gives Dice.",
        minimum=0,
    )
    focal_gamma: float = setting(
        4 / 3,
        "--loss focal-tversky has the exponent 1/gamma: above 1, frames that are nearly right "
        "weigh more in the gradient, below 1 less.",
        minimum=0.1,
        maximum=10,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossSettings:
    """Which loss, and its parameters."""

    loss: str | None = setting(
        None,
        "Loss; default: bce for masks and spatial-ce for landmarks.",
        choices=[name for names in LOSS_NAMES.values() for name in names],
    )
    distance_weight: float = setting(
        0.0,
        "Weight of the loss of a second head, for --target landmarks, that predicts the distance "
        "to the contour; 0 for none.",
        minimum=0,
    )
    mask: MaskLossSettings = component(MaskLossSettings)

    def name(self, target: str) -> str:
        """The loss that is used: the given one, or the target's default."""
        return self.loss or LOSS_NAMES[target][0]
