"""Settings of one run: its epochs, its optimiser and all other components."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from echo_common.cli.settings import component, replace, setting, to_table
from echo_common.cli.values import AUTOMATIC
from echo_common.errors import SettingsError
from echo_common.outputs import output_name
from echo_train.data.settings import LoaderSettings, SelectionSettings
from echo_train.landmarks.settings import LandmarkSettings
from echo_train.losses.settings import LOSS_NAMES, LossSettings
from echo_train.networks.settings import NetworkSettings, PriorSettings
from echo_train.runs.run_names import run_name
from echo_train.runs.settings import AUTO, LOGGERS, RunSettings
from echo_train.runtime.settings import DeviceSettings
from echo_train.targets.settings import MaskSettings

if TYPE_CHECKING:
    from echo_train.data.frame_set import Choice

_NOT_IN_NAME = (
    *("run", "resume", "store", "target", "landmarks", "device", "loader", *LOGGERS),
    *("method", "identity", "falloff"),
)
"""Settings that the name of a new run folder leaves out."""

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
    batch_size: int = setting(
        16,
        "Images per step; auto: as few as are nearly as fast as more.",
        minimum=1,
        maximum=65_536,
        auto=True,
    )
    minutes: float | None = setting(
        None,
        "Minutes that the run may take, for --width auto and --batch-size auto; default: no limit.",
        minimum=0,
    )
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

    def steps_per_epoch(self, images: int) -> int:
        """Number of batches of all training frames."""
        return math.ceil(images / self.batch_size)

    def check(self) -> None:
        """Raise a `SettingsError` if the average of the weights cannot move."""
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
    masks: MaskSettings = component(MaskSettings, "Masks")
    decoding: LandmarkSettings = component(LandmarkSettings, "Landmarks")
    data: LoaderSettings = component(LoaderSettings, "Data")
    hardware: DeviceSettings = component(DeviceSettings, "Device")

    def loss(self) -> str:
        """Name of the loss that is used."""
        return self.losses.name(self.selection.target)

    def resolve(self, choice: Choice, images: int) -> TrainSettings:
        """Set the options that were chosen automatically, so that config.toml has all of them.

        Parameters
        ----------
        images : int
            Training frames.
        """
        steps = self.training.steps
        return replace(
            self,
            method=choice.method,
            identity=choice.landmarks.identity if choice.landmarks else None,
            falloff=choice.falloff,
            loss=self.loss(),
            epochs=self.training.epochs
            if steps is None
            else math.ceil(steps / self.training.steps_per_epoch(images)),
        )

    def folder_name(self, choice: Choice) -> str:
        """Name a new run folder by the settings that are not the defaults."""
        kind = f"landmarks-{choice.landmarks.count}" if choice.landmarks else "mask"
        default = replace(TrainSettings(), target=self.selection.target)
        defaults = to_table(default) | {"loss": default.loss()}
        different = {
            key.replace("_", "-"): value
            for key, value in to_table(self, leave_out=_NOT_IN_NAME).items()
            if value != defaults.get(key)
        }
        return output_name("-".join(filter(None, [kind, run_name(different) if different else ""])))

    def automatic(self) -> list[str]:
        """Options whose value is ``auto``, which `echo_train.training.preparation` replaces."""
        sizes = {"--width": self.architecture.width, "--batch-size": self.training.batch_size}
        return [option for option, size in sizes.items() if size == AUTOMATIC]

    def check(self) -> None:
        """Raise a `SettingsError` that names the option if settings contradict each other."""
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
        if self.training.minutes is not None and not self.automatic():
            raise SettingsError(
                "--minutes limits --width auto and --batch-size auto; give one of them, or --epochs"
            )
        if target == "landmarks" and self.masks.postprocess not in (AUTO, "none"):
            raise SettingsError(f"--postprocess {self.masks.postprocess} is for --target mask")
        self.folder.check()
        self.training.check()
        self.data.splits.check()
