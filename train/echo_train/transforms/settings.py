"""Settings of the augmentation."""

from __future__ import annotations

import dataclasses

from echo_common.cli.settings import setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class Strengths:
    """Upper limits of the random changes, as in `AugmentSettings`; at 0, frames stay unchanged."""

    shift: float = 0.0
    scale: float = 0.0
    rotation: float = 0.0
    flip: float = 0.0
    gamma: float = 0.0
    gain: float = 0.0
    speckle: float = 0.0
    blur: float = 0.0
    sector: float = 0.0
    tone: float = 0.0
    fan: float = 0.0
    shading: float = 0.0
    haze: float = 0.0
    edges: float = 0.0
    overlay: float = 0.0
    beam: float = 0.0
    wall: float = 0.0


AUGMENTS: dict[str, Strengths] = {
    "none": Strengths(),
    "light": Strengths(
        shift=0.05, scale=0.1, rotation=10, gamma=0.2, gain=0.2, speckle=0.1, blur=0.7
    ),
    # Some laboratories display the left ventricle on the other side, so frames are also mirrored.
    "strong": Strengths(
        shift=0.1, scale=0.25, rotation=25, flip=0.5,
        gamma=0.5, gain=0.5, speckle=0.3, blur=1.5, sector=20,
    ),
    # For frames of other scanners than those of training: their gray maps, their sectors, and how
    # bright tissue, borders and blood are relative to each other.
    "transfer": Strengths(
        shift=0.05, scale=0.2, rotation=10,
        gamma=0.2, gain=0.2, speckle=0.1, blur=0.7, tone=2.0, fan=0.45,
        shading=1.0, haze=0.6, edges=1.5, overlay=0.3, beam=1.5, wall=1.2,
    ),
}  # fmt: skip
"""Strengths by name."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AugmentSettings:
    """Strengths of the augmentation: a named set, and values that override it."""

    augment: str = setting(
        "light", "Strength of the random changes of training frames.", choices=tuple(AUGMENTS)
    )
    augment_shift: float | None = setting(
        None,
        "Largest shift along each axis, as a fraction of the side; default: from --augment.",
        minimum=0,
        maximum=1,
    )
    augment_scale: float | None = setting(
        None,
        "Largest enlargement, 0.1 for 1/1.1 to 1.1; default: from --augment.",
        minimum=0,
        maximum=4,
    )
    augment_rotation: float | None = setting(
        None, "Largest rotation in degrees; default: from --augment.", minimum=0, maximum=180
    )
    augment_flip: float | None = setting(
        None,
        "Fraction of frames mirrored left to right; default: from --augment.",
        minimum=0,
        maximum=1,
    )
    augment_gamma: float | None = setting(
        None, "Largest change of gamma, 0.2 for 1/1.2 to 1.2; default: from --augment.", minimum=0
    )
    augment_gain: float | None = setting(
        None, "Largest change of gain, 0.2 for 1/1.2 to 1.2; default: from --augment.", minimum=0
    )
    augment_speckle: float | None = setting(
        None,
        "Largest standard deviation of speckle noise, in half the frames; default: from --augment.",
        minimum=0,
    )
    augment_blur: float | None = setting(
        None,
        "Largest sigma of a Gaussian blur in pixels, in half the frames; default: from --augment.",
        minimum=0,
        maximum=3,
    )
    augment_sector: float | None = setting(
        None,
        "Largest angle of a blacked-out sector in degrees, in half the frames; default: from "
        "--augment.",
        minimum=0,
        maximum=90,
    )

    augment_tone: float | None = setting(
        None,
        "Largest change of the slopes of a random tone curve from black to white, before they are "
        "scaled to it, 2 for 1/3 to 3; default: from --augment.",
        minimum=0,
    )
    augment_fan: float | None = setting(
        None,
        "Largest fraction of the fan's angle, and half of it of its depth, that a random fan crop "
        "blacks out, each in half the frames; default: from --augment.",
        minimum=0,
        maximum=1,
    )

    augment_shading: float | None = setting(
        None,
        "Largest standard deviation of the logarithm of slow variations of brightness, in half the "
        "frames; default: from --augment.",
        minimum=0,
    )
    augment_haze: float | None = setting(
        None,
        "Largest brightness of haze below the probe, in half the frames; default: from --augment.",
        minimum=0,
        maximum=1,
    )
    augment_edges: float | None = setting(
        None,
        "Largest enhancement of edges, as a multiple of the difference from a smoothed frame, in "
        "half the frames; default: from --augment.",
        minimum=0,
    )
    augment_overlay: float | None = setting(
        None,
        "Fraction of frames with an ECG, depth ticks and a marker over the image; default: from "
        "--augment.",
        minimum=0,
        maximum=1,
    )
    augment_beam: float | None = setting(
        None,
        "Largest sigma in pixels by which bright tissue spreads, as in a wider beam, or shrinks, "
        "as in a narrower one, in half the frames; default: from --augment.",
        minimum=0,
        maximum=3,
    )
    augment_wall: float | None = setting(
        None,
        "Largest darkening of the muscle around the mask, 1 for half the gray value, in half the "
        "frames; default: from --augment.",
        minimum=0,
    )

    def strengths(self) -> Strengths:
        """Combine the named set with the overrides."""
        overrides = {
            field.name: value
            for field in dataclasses.fields(Strengths)
            if (value := getattr(self, f"augment_{field.name}")) is not None
        }
        return dataclasses.replace(AUGMENTS[self.augment], **overrides)
