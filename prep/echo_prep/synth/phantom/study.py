"""What shapes one synthetic video: the patient, the view, the scanner and the rhythm."""

from __future__ import annotations

import dataclasses

SIZE = 112
"""Height and width of a frame in pixels."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Probe:
    """Where the sector stands in the frame.

    Attributes
    ----------
    x, y : float
        The transducer, in pixels of the frame.
    tilt : float
        Direction of the middle beam, in radians to the image's right of straight down.
    half_angle : float
        Half the sector's opening, in radians.
    radius : float
        Depth of the image, in pixels.
    """

    x: float
    y: float
    tilt: float
    half_angle: float
    radius: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ventricle:
    """Size, place and shape of the left ventricle, and how it contracts.

    Attributes
    ----------
    apex : tuple of float
        (x, y) in pixels at end-diastole.
    tilt : float
        Direction from the apex to the base, in radians to the right of straight down.
    length, width : float
        Long axis and largest width at end-diastole, in pixels.
    widest : float
        Where it is widest, as a share of the long axis from the apex.
    power : float
        Bluntness of the apex: 2 is an ellipse, more is blunter.
    narrowing : float
        Width at the mitral plane, as a share of the largest.
    bend : float
        Sideways bow of the long axis, in pixels.
    plane_tilt : float
        By how much the lateral wall is longer than the septum, as a share of the length.
    bumps : tuple of float
        Amplitudes of smooth changes of either wall's profile.
    shortening : float
        Share of its length that the long axis loses in systole.
    ejection : float
        Share of its volume that it ejects.
    weak_wall : tuple of float
        Side (-1 left, 1 right, 0 none), middle and extent along the long axis, and how much
        of its motion is lost there.
    septum, lateral, apical : float
        Thickness of the walls at end-diastole, in pixels.
    mm_per_px : float
        Millimetres a pixel.
    """

    apex: tuple[float, float]
    tilt: float
    length: float
    width: float
    widest: float
    power: float
    narrowing: float
    bend: float
    plane_tilt: float
    bumps: tuple[float, ...]
    shortening: float
    ejection: float
    weak_wall: tuple[float, float, float, float]
    septum: float
    lateral: float
    apical: float
    mm_per_px: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Look:
    """How tissue and scanner make gray values.

    Attributes
    ----------
    gray_wall : float
        Mean gray value of myocardium in mid-field.
    range_db : float
        Decibels from black to white.
    blood, outside, pericardium, valve : float
        Amplitudes against that of myocardium.
    lateral_loss : float
        How much fainter the lateral wall is, from 0 to 1.
    anisotropy : float
        How much fainter a wall is that runs along the beam, from 0 to 1.
    patchiness : float
        Standard deviation of the slow changes of log amplitude.
    axial, angular : float
        Point spread in samples of depth and in beams (standard deviations).
    haze, haze_reach : float
        Amplitude of near-field clutter, and the depth in pixels by which it fades.
    side_lobes : float
        Share of a structure's amplitude smeared along the arc.
    noise : float
        Amplitude of electronic noise at full depth.
    attenuation, gain_slope : float
        Gray values lost from the probe to the far end, and a ripple of the gain sliders.
    shadows : tuple of (float, float, float, float)
        Direction (-1 to 1 across the sector), width, first depth (share) and strength of each.
    edge_loss : float
        How much the sector's sides fade, from 0 to 1.
    gamma : float
        Exponent of the scanner's gray curve.
    persistence : float
        Weight of the frames before.
    decorrelation : float
        Radians by which speckle changes in a beat, beside the motion of tissue.
    native : int
        Height and width in pixels of the scanner's image before it is made smaller.
    smoothing : float
        Standard deviation of the scanner's own smoothing, in native pixels.
    papillary : float
        Amplitude of papillary muscles; 0 where the plane misses them.
    trabeculae : float
        How rough the wall is towards the cavity, from 0 to 1.
    """

    gray_wall: float
    range_db: float
    blood: float
    outside: float
    pericardium: float
    valve: float
    lateral_loss: float
    anisotropy: float
    patchiness: float
    axial: float
    angular: float
    haze: float
    haze_reach: float
    side_lobes: float
    noise: float
    attenuation: float
    gain_slope: float
    shadows: tuple[tuple[float, float, float, float], ...]
    edge_loss: float
    gamma: float
    persistence: float
    decorrelation: float
    native: int
    smoothing: float
    papillary: float
    trabeculae: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rhythm:
    """How the study runs in time.

    Attributes
    ----------
    frames : int
    fps : float
        Frames a second.
    rate : float
        Beats a minute.
    start : float
        Where in a beat the video begins, as a share of it.
    irregularity : float
        Standard deviation of a beat's length against the mean.
    breathing : float
        Sway of the heart, in pixels.
    """

    frames: int
    fps: float
    rate: float
    start: float
    irregularity: float
    breathing: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """Everything that shapes one video."""

    probe: Probe
    ventricle: Ventricle
    look: Look
    rhythm: Rhythm
