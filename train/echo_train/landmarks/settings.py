"""Settings of the decoding of landmarks from maps."""

from __future__ import annotations

import dataclasses

from echo_common.cli.settings import setting

DECODER_NAMES = ("centroid", "argmax", "dark", "soft-argmax")
"""Names of `echo_train.landmarks.decoders.DECODERS`; the first is the default."""

CURVES = ("open-spline", "polygon")
"""Curves of `echo_common.geometry.contours.contour_from_landmarks`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LandmarkSettings:
    """How maps become landmarks, and landmarks a contour."""

    decoder: str = setting(
        DECODER_NAMES[0],
        "How the position of a landmark is computed from its map.",
        choices=DECODER_NAMES,
    )
    min_confidence: float = setting(
        0.2, "Landmarks with less confidence than this are missed.", minimum=0, maximum=1
    )
    curve: str | None = setting(
        None,
        "How landmarks are joined to a contour; default: open-spline for anatomical landmarks "
        "and polygon for others.",
        choices=CURVES,
    )
    shape_prior: bool = setting(
        True, "Correct implausible landmarks with a prior computed from the training split."
    )
