"""Settings of one run: its epochs, its optimiser and all other components."""

from __future__ import annotations

import dataclasses

from echo_common.cli.settings import component, setting
from echo_common.errors import SettingsError
from echo_train.data.settings import LoaderSettings, SelectionSettings
from echo_train.landmarks.settings import LandmarkSettings
from echo_train.losses.settings import LOSS_NAMES, LossSettings
from echo_train.networks.settings import NetworkSettings, PriorSettings
from echo_train.runs.settings import RunSettings
from echo_train.runtime.settings import DeviceSettings

SCHEDULES = ("cosine", "one-cycle", "constant")
"""The first is the default."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EpochSettings:
    """How long a run trains, and which of its weights are kept."""

    epochs: int = setting(20, "Number of epochs.", minimum=1, maximum=1_000_000)
    steps: int | None = setting(
        None,
        "Number of steps, in place of --epochs; the last epoch is completed.",
        minimum=1,
        maximum=1_000_000_000,
    )
    batch_size: int = setting(16, "Images per step.", minimum=1, maximum=65_536)
    seed: int = setting(
        0,
        "Random seed of the initial weights, the order of the samples and their augmentation.",
        minimum=0,
    )
    patience: int = setting(
        0,
        "Stop after this many epochs without a higher validation Dice; 0 for never.",
        minimum=0,
    )
    ema: float = setting(
        0.0,
        "Decay of a moving average of the weights, such as 0.999; the average is validated and "
        "saved as the best weights. 0 for none.",
        minimum=0,
        maximum=1,
    )

    def check(self) -> None:
        """Check that an average of the weights can move.

        Raises
        ------
        SettingsError
            If its decay is 1.
        """
        if self.ema == 1:
            raise SettingsError("--ema 1 would keep the initial weights; give less, such as 0.999")


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimiserSettings:
    """How a step changes the weights."""

    learning_rate: float = setting(2e-3, "Learning rate of Adam.", minimum=0)
    schedule: str = setting(
        SCHEDULES[0], "Course of the learning rate over the run.", choices=SCHEDULES
    )
    warm_up: float | None = setting(
        None,
        "Fraction of the steps during which the learning rate rises; default: 0.05 for cosine, "
        "0.3 for one-cycle and 0 for constant.",
        minimum=0,
        maximum=1,
    )
    weight_decay: float = setting(0.0, "Weight decay, as in AdamW.", minimum=0)
    clip_norm: float = setting(
        0.0,
        "Largest norm of the gradients; larger ones are scaled down to it. 0 for no limit.",
        minimum=0,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """All settings of one run, by component."""

    selection: SelectionSettings = component(SelectionSettings, "What to train")
    training: EpochSettings = component(EpochSettings, "Optimisation")
    optimiser: OptimiserSettings = component(OptimiserSettings)
    folder: RunSettings = component(RunSettings, "Run")
    architecture: NetworkSettings = component(NetworkSettings, "Network")
    location_prior: PriorSettings = component(PriorSettings)
    losses: LossSettings = component(LossSettings, "Losses")
    decoding: LandmarkSettings = component(LandmarkSettings, "Landmarks")
    data: LoaderSettings = component(LoaderSettings, "Data")
    hardware: DeviceSettings = component(DeviceSettings, "Device")

    def loss(self) -> str:
        """Name of the loss that is used."""
        return self.losses.name(self.selection.target)

    def check(self) -> None:
        """Check that the settings of one run are consistent.

        Raises
        ------
        SettingsError
            If they contradict each other; the message names the option.
        """
        target, prior = self.selection.target, self.location_prior
        if self.loss() not in LOSS_NAMES[target]:
            raise SettingsError(
                f"--loss {self.loss()} is no loss for --target {target}; choose one of "
                f"{', '.join(LOSS_NAMES[target])}"
            )
        prior.check()
        if target == "landmarks" and prior.prior != "none" and prior.prior_use == "weight":
            raise SettingsError(
                "--prior-use weight is for --target mask; give --prior-use channel for --target "
                "landmarks"
            )
        self.folder.check()
        self.training.check()
        self.data.splits.check()
