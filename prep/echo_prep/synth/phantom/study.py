"""Parameters of one study: probe, left ventricle, image appearance and rhythm."""

from __future__ import annotations

import dataclasses

import numpy as np

SIZE = 112
"""Height and width of a frame in pixels."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Probe:
    """Position of the ultrasound sector in the frame.

    Attributes
    ----------
    x, y : float
        Position of the transducer, in pixels.
    tilt : float
        Direction of the middle beam, in radians to the right of straight down.
    half_angle : float
        Half the opening angle of the sector, in radians.
    radius : float
        Depth of the image, in pixels.
    stretch : float
        Factor by which the displayed frame is wider than the scan, about its middle.
    """

    x: float
    y: float
    tilt: float
    half_angle: float
    radius: float
    stretch: float = 1.0

    def to_display(self, points: np.ndarray) -> np.ndarray:
        """Convert (x, y) in pixels of the scan to pixels of the displayed frame, (…, 2)."""
        middle = 0.5 * (SIZE - 1)
        return (points - [middle, 0]) * [self.stretch, 1] + [middle, 0]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ventricle:
    """Size, position, shape and contraction of the left ventricle.

    Attributes
    ----------
    apex : tuple of float
        (x, y) in pixels at end-diastole.
    tilt : float
        Direction from the apex to the base, in radians to the right of straight down.
    length, width : float
        Long axis and largest width at end-diastole, in pixels.
    widest : float
        Position of the largest width, as a fraction of the long axis from the apex.
    power : float
        Bluntness of the apex: 2 gives an ellipse, larger values a blunter apex.
    narrowing : float
        Width at the mitral plane, as a fraction of the largest width.
    bend : float
        Sideways bow of the long axis, in pixels.
    plane_tilt : float
        How much longer the lateral wall is than the septum, as a fraction of the length.
    bumps : tuple of float
        Amplitudes of smooth bumps in the profiles of the two walls, three per wall.
    shortening : float
        Fraction by which the long axis shortens in systole.
    ejection : float
        Ejection fraction, from 0 to 1.
    weak_wall : tuple of float
        Region of reduced motion: side (-1 left, 1 right, 0 none), centre and extent as fractions
        of the long axis, and fraction of the motion lost.
    septum, lateral, apical : float
        Wall thickness at end-diastole, in pixels.
    mm_per_px : float
        Millimetres per pixel.
    thickening : float
        How much the layer next to the endocardium, with its trabeculae and papillary muscles,
        thickens in systole: 0 in proportion to the cavity, 1 to about its thickness in diastole.
    merging : tuple of (float, float, float)
        For the left and the right wall, where papillary muscles merge with it in systole and
        narrow the cavity: centre and extent as fractions of the long axis, and the fraction of
        the half-width that they take.
    chambers : tuple of float
        Factors of the breadth of the right ventricle, of the breadth and the depth of the left
        atrium, and of the depth of the right atrium.
    ripples : ndarray, (2, RIPPLES, RIPPLES) float, or None
        Displacement of the tissue at end-diastole in (x, y), in pixels, on the grid of
        `echo_prep.synth.phantom.canvas.RIPPLES`. The border follows it.
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
    thickening: float = 0.0
    merging: tuple[tuple[float, float, float], ...] = ()
    chambers: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    ripples: np.ndarray | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Appearance:
    """Appearance of the image: properties of tissue and scanner.

    Attributes
    ----------
    gray_wall : float
        Mean gray value of myocardium in mid-field.
    range_db : float
        Dynamic range from black to white, in decibels.
    blood, outside, pericardium, valve : float
        Amplitudes relative to myocardium.
    lateral_loss : float
        Loss of amplitude in the lateral wall, from 0 to 1.
    anisotropy : float
        Loss of amplitude in walls parallel to the beam, from 0 to 1.
    patchiness : float
        Standard deviation of slow variations of log amplitude.
    axial, angular : float
        Standard deviations of the point spread function, in samples of depth and in beams.
    haze, haze_reach : float
        Amplitude of near-field clutter, and the depth in pixels over which it fades.
    side_lobes : float
        Fraction of each structure's amplitude that is smeared along the arc.
    noise : float
        Amplitude of electronic noise at full depth.
    attenuation, gain_slope : float
        Gray values lost with depth, and the amplitude of a ripple from the gain controls.
    shadows : tuple of (float, float, float, float)
        For each shadow, direction (-1 to 1 across the sector), width, first depth (as a fraction)
        and strength.
    edge_loss : float
        Fading of the sector's sides, from 0 to 1.
    gamma : float
        Exponent of the scanner's gray-level curve.
    persistence : float
        Weight of the previous frames in each frame.
    decorrelation : float
        Change of speckle per beat beyond the motion of tissue, in radians.
    native : int
        Height and width of the scanner's image in pixels, before it is reduced to `SIZE`.
    smoothing : float
        Standard deviation of the scanner's smoothing, in pixels of that image.
    papillary : float
        Amplitude of the papillary muscles; 0 if the plane misses them.
    trabeculae : float
        Roughness of the endocardium, from 0 to 1.
    roughness : float
        Standard deviation, in pixels, of displacements of the tissue that the true border does
        not follow.
    muscle : float
        Amplitude of myocardium. The other amplitudes are relative to a myocardium of 1.
    chamber_blood : float
        Smallest amplitude of blood in the other chambers, as a fraction of their usual one.
    septal_line, endocardial_line : float
        Amplitudes of bright lines inside the septum and along the endocardium; 0 for none.
    apex_fade : float
        How much the apical wall fades into the near field, from 0 to 1.
    contrast : float
        Weight of an S-shaped curve in the scanner's gray map, from -1 to 1.
    reject : float
        Gray value up to which the scanner shows black.
    cropped : bool
        Whether the frame is cut to EchoNet-Dynamic's fan.
    overlay : bool
        Whether an ECG, depth ticks and a marker are drawn over the frame.
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
    roughness: float = 0.9
    muscle: float = 1.0
    chamber_blood: float = 1.0
    septal_line: float = 0.0
    endocardial_line: float = 0.0
    apex_fade: float = 0.0
    contrast: float = 0.0
    reject: float = 0.0
    cropped: bool = True
    overlay: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rhythm:
    """Timing of a study.

    Attributes
    ----------
    frames : int
    fps : float
        Frames per second.
    rate : float
        Beats per minute.
    start : float
        Phase of the beat at which the video begins, from 0 to 1.
    irregularity : float
        Standard deviation of the length of a beat, relative to its mean.
    breathing : float
        Amplitude of the heart's displacement by breathing, in pixels.
    open_at_ed, open_at_es : float
        Opening of the mitral valve in the two traced frames, from 0 to 1.
    """

    frames: int
    fps: float
    rate: float
    start: float
    irregularity: float
    breathing: float
    open_at_ed: float = 0.0
    open_at_es: float = 0.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """All parameters of one synthetic video."""

    probe: Probe
    ventricle: Ventricle
    appearance: Appearance
    rhythm: Rhythm
