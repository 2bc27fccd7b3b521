"""Settings of `echo-predict`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from echo_common.cli.settings import setting
from echo_train.evaluation.settings import ApplySettings

MASK_FORMATS = ("png", "nifti")
"""Formats of masks in addition to NAME.npz."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictSettings(ApplySettings):
    """Settings of `echo-predict`."""

    out: Path | None = setting(
        None,
        "Folder for the results; default: predict in the first run folder, or in the working "
        "directory without one.",
    )
    frames: tuple[range, ...] | None = setting(
        None, "Frames such as 0-40,80, from 0; default: all."
    )
    crop: tuple[int, int, int, int] | None = setting(
        None, "Scan sector as X,Y,WIDTH,HEIGHT in pixels; default: found in the frames.", minimum=0
    )
    confidence: float = setting(
        0.5, "Frames with less confidence count as not found.", minimum=0, maximum=1
    )
    overlay: bool = setting(True, "Write a video of the contours over the frames.")
    masks: str | None = setting(
        None, "Write the masks also as one PNG a frame, or as NIfTI.", choices=MASK_FORMATS
    )
    keep_text: bool = setting(
        False, "Show what is outside the scan sector, which may identify a person."
    )
