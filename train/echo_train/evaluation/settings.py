"""Settings of `echo-eval`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from echo_common.cli.settings import setting
from echo_train.runs.settings import checkpoint_setting, force_setting
from echo_train.runtime.settings import device_setting

SPLITS = ("test", "val", "train", "all")
"""Splits that can be measured; the first is the default."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateSettings:
    """Settings of `echo-eval`."""

    store: Path | None = setting(
        None, "Another store; default: the one that the run was trained on."
    )
    split: str = setting(
        SPLITS[0], "Frames to measure; all: each split, and all frames together.", choices=SPLITS
    )
    checkpoint: str = checkpoint_setting()
    out: Path | None = setting(
        None,
        "Folder for the results; default: eval-SPLIT in the folder of the run, or in the one that "
        "contains several runs; of weights, in the working directory.",
    )
    ensemble: bool = setting(
        False, "Measure the mean prediction of all runs, rather than each run."
    )
    tta: bool = setting(False, "Average the predictions of shifted, brighter and darker frames.")
    correct_volumes: bool = setting(
        False,
        "Correct end-systolic volumes by the exponent that suits the run's validation split.",
    )
    noise: bool = setting(False, "Measure under graded corruptions of the images as well.")
    noise_seed: int = setting(0, "Seed of the random corruptions.", minimum=0)
    force: bool = force_setting()
    device: str = device_setting()
