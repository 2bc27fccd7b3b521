"""Settings of the reading of masks from logits."""

from __future__ import annotations

import dataclasses

from echo_common.cli.settings import setting
from echo_train.runs.settings import AUTO, POSTPROCESSING


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskSettings:
    """How predicted masks are corrected."""

    postprocess: str = setting(
        AUTO,
        "Remove all pieces of a mask but the largest, fill holes, or both; auto: what gives the "
        "highest Dice on the validation frames.",
        choices=(AUTO, *POSTPROCESSING),
    )
