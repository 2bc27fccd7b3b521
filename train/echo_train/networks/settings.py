"""Settings of the network and of the location prior."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from echo_common.cli.settings import setting
from echo_common.errors import SettingsError

NETWORK_NAMES = ("unet", "unet-no-skip", "attention-unet", "fast-unet")
"""Names of `echo_train.networks.architecture.NETWORKS`; the first is the default."""

PRIORS = ("none", "mean-mask", "box")

PRIOR_USES = ("weight", "channel")


@dataclasses.dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """Which network, and its size."""

    network: str = setting(NETWORK_NAMES[0], "Architecture of the network.", choices=NETWORK_NAMES)
    width: int = setting(
        64,
        "Channels of the U-Net at full resolution; auto: at most 64, as many as fit memory and "
        "--minutes.",
        minimum=1,
        maximum=1024,
        auto=True,
    )
    init: Path | None = setting(
        None,
        "Begin with the weights of a run folder or a weights file, as far as they fit. --network, "
        "--width and --phase-channel are then those of the weights by default.",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class PriorSettings:
    """A prior on where the ventricle is, and how it is used."""

    prior: str = setting(
        PRIORS[0], "Location prior: where the ventricle usually is.", choices=PRIORS
    )
    prior_box: tuple[int, int, int, int] | None = setting(
        None, "x0,y0,x1,y1 in pixels, inclusive, for --prior box.", minimum=0
    )
    prior_use: str = setting(
        PRIOR_USES[0],
        "weight: weights of pixels in the loss; channel: second input channel of the network.",
        choices=PRIOR_USES,
    )
    prior_weight: float = setting(
        4.0,
        "Increase of a pixel's weight from prior 0 to prior 1, for --prior-use weight.",
        minimum=0,
    )

    def check(self) -> None:
        """Raise a `SettingsError` if a box is missing, not used or empty."""
        if self.prior == "box" and self.prior_box is None:
            raise SettingsError("--prior box needs --prior-box x0,y0,x1,y1")
        if self.prior_box is None:
            return
        if self.prior != "box":
            raise SettingsError(f"--prior-box needs --prior box, but --prior is {self.prior}")
        x0, y0, x1, y1 = self.prior_box
        if x0 > x1 or y0 > y1:
            raise SettingsError(
                f"--prior-box {x0},{y0},{x1},{y1} is empty; give left, top, right and bottom in "
                "this order"
            )
