"""Looks: the distributions from which `echo_prep.synth.random_study` draws studies.

Each look describes what the images of one kind of archive have in common. A look
lists only what differs between looks; the other distributions are those of
EchoNet-Dynamic in all of them.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Normal:
    """A normal distribution clipped to an interval.

    Attributes
    ----------
    mean, sd, low, high : float
    poor : float
        What the mean changes by from the best to the poorest image quality.
    """

    mean: float
    sd: float
    low: float
    high: float
    poor: float = 0.0


@dataclasses.dataclass(frozen=True)
class LogNormal:
    """A log-normal distribution clipped to an interval.

    Attributes
    ----------
    median, sigma, low, high : float
        `sigma` is the standard deviation of the logarithm.
    poor : float
        What the median changes by from the best to the poorest image quality.
    """

    median: float
    sigma: float
    low: float
    high: float
    poor: float = 0.0


Distribution = Normal | LogNormal


@dataclasses.dataclass(frozen=True, kw_only=True)
class Look:
    """Distributions of studies; the defaults are those of EchoNet-Dynamic.

    Attributes
    ----------
    half_angle, radius, stretch : Distribution
        Of `Probe`; the angle in degrees.
    depth : LogNormal
        Depth of the image in mm for a heart of ordinary size; larger hearts are scanned deeper.
    cropped : float
        Fraction of studies that are cut to EchoNet-Dynamic's fan.
    overlays : float
        Fraction of the other studies with an ECG, depth ticks and a marker over the image.
    apex_depth : LogNormal
        Distance of the apex from the transducer, in pixels.
    bumps : float
        Standard deviation of `Ventricle.bumps`.
    ejection : Normal
        Ejection fraction of hearts that do not fail, from 0 to 1.
    foreshortened : float
        Fraction of studies whose plane misses the true apex, so that the ventricle is short
        and blunt.
    thickening, muscle, blood, pericardium, gray_wall, range_db, axial, angular, haze, gamma,
    contrast, reject : Distribution
        Of `Ventricle` and `Appearance`.
    ripples, roughness : float
        Standard deviations, in pixels, of displacements of the tissue that vary over about ten
        pixels. The true border follows ripples and does not follow roughness.
    chambers : float
        Standard deviation of the logarithms of further factors of `Ventricle.chambers`.
    chamber_blood : float
        Smallest amplitude of blood in these chambers, relative to EchoNet-Dynamic's range.
    septal_line, endocardial_line : float
        Fractions of studies with a bright line inside the septum and along the endocardium.
    apex_fade : float
        Fraction of studies whose apical wall fades into the near field.
    open_valves : float
        Fraction of studies whose mitral valve is not closed in the traced frames: readers choose
        frames a little before it closes or after it opens.
    papillary, merging : float
        Fractions of studies with papillary muscles inside the cavity, and with papillary muscles
        that merge with the wall in systole.
    """

    half_angle: Normal = Normal(44, 3, 34, 50)
    radius: Normal = Normal(103, 4, 90, 114)
    stretch: LogNormal = LogNormal(1.0, 0.0, 0.7, 1.4)
    depth: LogNormal = LogNormal(147, 0.14, 75, 260)
    cropped: float = 1.0
    overlays: float = 0.0
    apex_depth: LogNormal = LogNormal(12.5, 0.35, 5, 38)
    bumps: float = 0.035
    ejection: Normal = Normal(0.60, 0.065, 0.42, 0.85)
    foreshortened: float = 0.0
    thickening: Normal = Normal(0.0, 0.0, 0.0, 2.0)
    ripples: float = 0.0
    roughness: float = 0.9
    chambers: float = 0.0
    muscle: LogNormal = LogNormal(1.0, 0.0, 0.05, 3.0)
    blood: LogNormal = LogNormal(0.022, 0.5, 0.005, 0.22, poor=0.05)
    chamber_blood: float = 1.0
    pericardium: LogNormal = LogNormal(2.2, 0.35, 0.9, 5)
    septal_line: float = 0.0
    endocardial_line: float = 0.0
    apex_fade: float = 0.0
    open_valves: float = 0.0
    papillary: float = 0.45
    merging: float = 0.0
    gray_wall: Normal = Normal(173, 27, 75, 245, poor=-38)
    range_db: Normal = Normal(47, 7, 32, 66)
    axial: Normal = Normal(0.85, 0.25, 0.45, 1.7)
    angular: Normal = Normal(1.15, 0.35, 0.6, 2.8, poor=0.5)
    haze: LogNormal = LogNormal(0.10, 0.7, 0.0, 1.6, poor=0.25)
    gamma: Normal = Normal(1.15, 0.2, 0.75, 1.8)
    contrast: Normal = Normal(0.0, 0.0, -1.0, 1.0)
    reject: Normal = Normal(0.0, 0.0, 0.0, 60.0)


ECHONET = Look()

_VARIED = Look(
    half_angle=Normal(42, 5, 27, 50),
    radius=Normal(101, 7, 78, 114),
    stretch=LogNormal(0.98, 0.12, 0.66, 1.3),
    depth=LogNormal(141, 0.21, 70, 260),
    cropped=0.6,
    overlays=0.5,
    apex_depth=LogNormal(15.5, 0.42, 4, 42),
    bumps=0.055,
    ejection=Normal(0.60, 0.08, 0.40, 0.88),
    foreshortened=0.25,
    thickening=Normal(0.4, 0.3, 0.0, 1.2),
    ripples=0.9,
    roughness=0.0,
    chambers=0.25,
    muscle=LogNormal(0.4, 0.65, 0.08, 2.0),
    blood=LogNormal(0.02, 0.8, 0.002, 0.3, poor=0.05),
    chamber_blood=0.2,
    pericardium=LogNormal(2.2, 0.45, 0.8, 6),
    septal_line=0.75,
    endocardial_line=0.33,
    apex_fade=0.7,
    open_valves=0.6,
    papillary=0.5,
    merging=0.7,
    gray_wall=Normal(186, 32, 75, 250, poor=-38),
    range_db=Normal(48, 9, 30, 72),
    axial=Normal(0.9, 0.32, 0.4, 1.9),
    angular=Normal(1.2, 0.45, 0.6, 3.0, poor=0.5),
    haze=LogNormal(0.10, 0.9, 0.0, 1.8, poor=0.25),
    gamma=Normal(1.15, 0.28, 0.6, 2.1),
    contrast=Normal(0.0, 0.4, -0.9, 0.9),
    reject=Normal(6.0, 8.0, 0.0, 30.0),
)

_FAMILY = Look(
    bumps=0.055, foreshortened=0.2, thickening=Normal(0.4, 0.3, 0.0, 1.2), ripples=0.9,
    roughness=0.0, chambers=0.15, open_valves=0.6, papillary=0.5, merging=0.6,
)  # fmt: skip
"""The hearts that `harmonic` and `fundamental` have in common; their images have nothing."""

LOOKS: dict[str, Look] = {
    "echonet": ECHONET,
    "varied": _VARIED,
    # Dark blood, dark muscle between bright borders, fine speckle, a wide sector, high contrast.
    "harmonic": dataclasses.replace(
        _FAMILY,
        half_angle=Normal(46, 2, 43, 50),
        radius=Normal(108, 3, 104, 114),
        apex_depth=LogNormal(11, 0.3, 5, 30),
        muscle=LogNormal(0.45, 0.2, 0.3, 0.65),
        blood=LogNormal(0.007, 0.4, 0.003, 0.012),
        pericardium=LogNormal(3.8, 0.2, 3.0, 5.0),
        septal_line=1.0,
        endocardial_line=0.6,
        gray_wall=Normal(200, 12, 180, 230),
        range_db=Normal(40, 3, 34, 45),
        axial=Normal(0.6, 0.1, 0.45, 0.75),
        angular=Normal(0.8, 0.15, 0.6, 1.0),
        haze=LogNormal(0.04, 0.5, 0.0, 0.08),
        gamma=Normal(1.5, 0.15, 1.3, 1.8),
    ),
    # Hazy blood, bright muscle without clear borders, coarse speckle, a narrow sector, flat grays.
    "fundamental": dataclasses.replace(
        _FAMILY,
        half_angle=Normal(35, 2, 30, 39),
        radius=Normal(92, 5, 80, 100),
        cropped=0.0,
        overlays=1.0,
        apex_depth=LogNormal(17, 0.3, 8, 40),
        muscle=LogNormal(1.0, 0.2, 0.7, 1.5),
        blood=LogNormal(0.07, 0.4, 0.04, 0.14),
        pericardium=LogNormal(1.3, 0.2, 0.9, 1.8),
        apex_fade=1.0,
        gray_wall=Normal(150, 12, 125, 172),
        range_db=Normal(56, 4, 50, 66),
        axial=Normal(1.35, 0.15, 1.1, 1.7),
        angular=Normal(2.0, 0.3, 1.5, 2.8),
        haze=LogNormal(0.45, 0.4, 0.2, 1.0),
        gamma=Normal(0.9, 0.08, 0.75, 1.05),
    ),
}
"""Looks by name; `echo-prep synth --look` takes one."""
