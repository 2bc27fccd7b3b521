"""Settings of `echo-predict`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from echo_common.cli.settings import setting
from echo_train.runs.settings import checkpoint_setting, force_setting
from echo_train.runtime.settings import device_setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictSettings:
    """Settings of `echo-predict`."""

    out: Path | None = setting(None, "Folder for the results; default: predict in the run folder.")
    frames: tuple[int, ...] | None = setting(
        None, "Frames such as 0,12,40, from 0; default: all.", minimum=0
    )
    checkpoint: str = checkpoint_setting()
    overlay: bool = setting(True, "Write a video of the contours over the frames.")
    force: bool = force_setting()
    device: str = device_setting()
