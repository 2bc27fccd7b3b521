"""Settings of how landmarks are read off their maps."""

from __future__ import annotations

import dataclasses

from echo_common.cli.settings import setting
from echo_common.geometry.contours import CURVES

DECODER_NAMES = ("centroid", "argmax", "dark", "soft-argmax")
"""Names of `echo_train.landmarks.decoders.DECODERS`; the first is the default."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LandmarkSettings:
    """How maps become landmarks, and landmarks a contour."""

    decoder: str = setting(
        DECODER_NAMES[0], "How a landmark's place is read off its map.", choices=DECODER_NAMES
    )
    min_confidence: float = setting(
        0.2, "A landmark whose map is less sure than this is missed.", minimum=0, maximum=1
    )
    curve: str | None = setting(
        None,
        "How landmarks are joined to a contour; by default open-spline for anatomical landmarks "
        "and polygon for others.",
        choices=CURVES,
    )
    shape_prior: bool = setting(
        True, "Pull landmarks back that do not fit the others, as the training split has them."
    )
