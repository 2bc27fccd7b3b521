"""Settings of `echo-eval`, those that it shares with `echo-predict`, and those of a model."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from echo_common.cli.settings import component, setting
from echo_train.data.settings import LoaderSettings, SelectionSettings
from echo_train.landmarks.settings import LandmarkSettings
from echo_train.losses.settings import LossSettings
from echo_train.runs.settings import AUTO, CHECKPOINTS, FORCE_HELP, POSTPROCESSING
from echo_train.runtime.settings import DeviceSettings, device_setting

SPLITS = ("test", "val", "train", "all")
"""Splits that can be measured; the first is the default."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ApplySettings:
    """How trained models are applied to frames."""

    checkpoint: str = setting(
        CHECKPOINTS[0],
        "State of the run: best, of the epoch with the highest validation Dice, or last.",
        choices=CHECKPOINTS,
    )
    tta: bool = setting(False, "Average the predictions of shifted, brighter and darker frames.")
    tta_mirror: bool = setting(
        False, "Average the predictions of mirrored frames; for models trained with such frames."
    )
    postprocess: str = setting(
        AUTO,
        "Remove all pieces of a mask but the largest, fill holes, or both; auto: what the run "
        "chose on its validation frames.",
        choices=(AUTO, *POSTPROCESSING),
    )
    force: bool = setting(False, FORCE_HELP)
    device: str = device_setting()


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateSettings(ApplySettings):
    """Settings of `echo-eval`."""

    store: Path | None = setting(
        None, "Another store; default: the one that the run was trained on."
    )
    split: str = setting(
        SPLITS[0], "Frames to measure; all: each split, and all frames together.", choices=SPLITS
    )
    out: Path | None = setting(
        None,
        "Folder for the results; default: eval-SPLIT in the folder of the run, or in the one that "
        "contains several runs; of weights, in the working directory.",
    )
    ensemble: bool = setting(
        False, "Measure the mean prediction of all runs, rather than each run."
    )
    correct_volumes: bool = setting(
        False,
        "Correct end-systolic volumes by the exponent that suits the run's validation split.",
    )
    masks: str | None = setting(
        None, "Write the predicted masks too, one PNG a frame.", choices=("png",)
    )
    noise: bool = setting(False, "Measure under graded corruptions of the images as well.")
    noise_seed: int = setting(0, "Seed of the random corruptions.", minimum=0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """Settings of a run that determine how its model is used."""

    selection: SelectionSettings = component(SelectionSettings)
    data: LoaderSettings = component(LoaderSettings)
    losses: LossSettings = component(LossSettings)
    decoding: LandmarkSettings = component(LandmarkSettings)
    hardware: DeviceSettings = component(DeviceSettings)
