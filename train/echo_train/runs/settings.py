"""Settings of the run folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from echo_common.cli.settings import setting
from echo_common.errors import SettingsError

LOGGERS = ("tensorboard", "mlflow", "wandb")

CHECKPOINTS = ("best", "last")
"""States of a run; the weights of each are in a file of its name."""


AUTO = "auto"

POSTPROCESSING = ("none", "pieces", "holes", "both")
"""Corrections of predicted masks; `echo_train.targets.postprocess.clean_mask` makes them."""

FORCE_HELP = "Replace files that this software did not write."


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Where a run is written, and whether it continues an earlier one."""

    run: Path | None = setting(None, "Run folder; default: a new one under runs/.")
    resume: bool = setting(False, "Resume the run in --run.")
    tensorboard: bool = setting(False, "Write TensorBoard events to the run folder.")
    mlflow: bool = setting(False, "Write the run to MLflow, as MLFLOW_TRACKING_URI says.")
    wandb: bool = setting(
        False, "Write the run to Weights & Biases; WANDB_MODE=offline keeps it on this machine."
    )

    def check(self) -> None:
        """Raise a `SettingsError` if --resume is given without the folder of the run."""
        if self.resume and self.run is None:
            raise SettingsError("--resume needs --run, the folder of the run to resume")
