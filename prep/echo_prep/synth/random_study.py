"""Draw the parameters of a study at random.

The distributions describe apical four-chamber views: volumes and ejection
fractions of hospital patients, the usual position of the ventricle in the
image, and image quality from crisp to barely readable. A look replaces some of
them.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from echo_prep.synth.looks import ECHONET, Distribution, Look, Normal
from echo_prep.synth.phantom.canvas import CANVAS, MARGIN, RIPPLES, SCALE
from echo_prep.synth.phantom.study import Appearance, Probe, Rhythm, Study, Ventricle

COMMON_FPS = 50.0
"""Frame rate of four in five studies."""

MIN_FRAMES, MAX_FRAMES = 28, 1002


def sample_study(rng: np.random.Generator, frames: int | None, look: Look = ECHONET) -> Study:
    """Draw the parameters of a study.

    Parameters
    ----------
    rng : numpy.random.Generator
    frames : int or None
        Length of the video; drawn at random if None.
    look : Look
    """
    # Parameters that EchoNet-Dynamic's look does not need have a generator of their own, so that
    # its studies stay what they were before there were others.
    extra = rng.spawn(1)[0]
    # Poor image quality shows in many ways at once, so one number controls all of them.
    degradation = float(np.clip(rng.beta(1.6, 2.6), 0, 1))
    probe = _sample_probe(rng, extra, look)
    return Study(
        probe=probe,
        ventricle=_sample_ventricle(rng, extra, probe, look),
        appearance=_sample_appearance(rng, extra, degradation, look),
        rhythm=_sample_rhythm(rng, extra, frames, look),
    )


def _clipped(rng: np.random.Generator, mean: float, sd: float, low: float, high: float) -> float:
    return float(np.clip(rng.normal(mean, sd), low, high))


def _log_normal(
    rng: np.random.Generator, median: float, sigma: float, low: float, high: float
) -> float:
    return float(np.clip(median * np.exp(sigma * rng.normal()), low, high))


def _draw(rng: np.random.Generator, distribution: Distribution, degradation: float = 0.0) -> float:
    d = distribution
    if isinstance(d, Normal):
        return _clipped(rng, d.mean + d.poor * degradation, d.sd, d.low, d.high)
    return _log_normal(rng, d.median + d.poor * degradation, d.sigma, d.low, d.high)


def _level(rng: np.random.Generator, fraction: float, low: float, high: float) -> float:
    """A level that is 0 in all but a fraction of studies."""
    level = float(rng.uniform(low, high))
    return level if rng.random() < fraction else 0.0


def _sample_probe(rng: np.random.Generator, extra: np.random.Generator, look: Look) -> Probe:
    return Probe(
        x=_clipped(rng, 60.5, 2.0, 53, 68),
        y=_clipped(rng, 6.0, 2.5, -1, 13),
        tilt=_clipped(rng, 0.0, 0.03, -0.1, 0.1),
        half_angle=np.radians(_draw(rng, look.half_angle)),
        radius=_draw(rng, look.radius),
        stretch=_draw(extra, look.stretch),
    )


def _sample_ventricle(
    rng: np.random.Generator, extra: np.random.Generator, probe: Probe, look: Look
) -> Ventricle:
    failing = rng.random() < 0.24
    ejection = _draw(rng, Normal(0.37, 0.11, 0.07, 0.62) if failing else look.ejection)
    # A failing heart is enlarged.
    volume = _log_normal(rng, 120 if failing else 82, 0.38, 16, 480)
    slimness = _clipped(rng, 1.72 - 0.15 * failing, 0.20, 1.15, 2.5)
    median = look.depth.median * (volume / 88) ** 0.11
    depth = _draw(rng, dataclasses.replace(look.depth, median=median))
    mm_per_px = depth / probe.radius
    # A bullet of this length and width fills about 0.6 of the cylinder around it.
    width_mm = (1000 * volume / (0.585 * slimness)) ** (1 / 3)
    width, length = width_mm / mm_per_px, slimness * width_mm / mm_per_px
    distance = _draw(rng, look.apex_depth)
    angle = _clipped(rng, -0.70, 0.23, -1.4, 0.35) * min(1.0, 14 / distance) ** 0.5
    tilt = _clipped(rng, 0.23, 0.14, -0.25, 0.75)
    apex = probe.x + distance * np.sin(angle), probe.y + distance * np.cos(angle)
    shortening = 0.55 * ejection
    wall_mm = _log_normal(rng, 9.5, 0.22, 5.5, 18)
    weak_side = float(rng.choice([-1, 1])) if rng.random() < (0.5 if failing else 0.12) else 0.0
    foreshortening = float(extra.uniform(0.08, 0.3)) if extra.random() < look.foreshortened else 0.0
    return Ventricle(
        apex=(float(apex[0]), float(apex[1])),
        tilt=tilt,
        length=float(length) * (1 - foreshortening),
        width=float(width),
        widest=_clipped(rng, 0.62, 0.09, 0.40, 0.82),
        power=_clipped(rng, 2.1, 0.25, 1.6, 3.0) + 2.5 * foreshortening,
        narrowing=_clipped(rng, 0.80, 0.09, 0.55, 0.98),
        bend=float(rng.normal(0, 0.035) * length),
        plane_tilt=_clipped(rng, 0.0, 0.05, -0.13, 0.13),
        bumps=tuple(float(value) for value in rng.normal(0, look.bumps, 6)),
        shortening=_clipped(rng, 0.30 * shortening + 0.03, 0.02, 0.01, 0.24),
        ejection=ejection,
        weak_wall=(
            weak_side,
            float(rng.uniform(0.1, 0.9)),
            float(rng.uniform(0.25, 0.5)),
            float(rng.uniform(0.4, 1.1)),
        ),
        septum=wall_mm * _clipped(rng, 1.05, 0.12, 0.8, 1.5) / mm_per_px,
        lateral=wall_mm / mm_per_px,
        apical=wall_mm * _clipped(rng, 0.75, 0.12, 0.5, 1.1) / mm_per_px,
        mm_per_px=float(mm_per_px),
        thickening=_draw(extra, look.thickening),
        merging=_draw_merging(extra) if extra.random() < look.merging else (),
        chambers=tuple(float(np.exp(value)) for value in extra.normal(0, look.chambers, 4)),
        ripples=_draw_ripples(extra, look.ripples, apex) if look.ripples else None,
    )


def _draw_ripples(rng: np.random.Generator, sd: float, apex: tuple[float, float]) -> np.ndarray:
    """`Ventricle.ripples`; they spare the apex, which hardly moves in systole."""
    cells = (np.arange(RIPPLES) + 0.5) * CANVAS / RIPPLES / SCALE - MARGIN - 0.5
    distance = np.hypot(cells - apex[0], cells[:, None] - apex[1])
    return rng.normal(0, sd, (2, RIPPLES, RIPPLES)) * (1 - np.exp(-((distance / 15) ** 2)))


def _draw_merging(rng: np.random.Generator) -> tuple[tuple[float, float, float], ...]:
    """Papillary muscles that merge with the walls; the one at the septum is often missing."""
    largest = rng.permutation([0.35, rng.choice([0.0, 0.25])])
    return tuple(
        (float(rng.uniform(0.25, 0.65)), float(rng.uniform(0.12, 0.3)), float(rng.uniform(0, most)))
        for most in largest
    )


def _sample_appearance(
    rng: np.random.Generator, extra: np.random.Generator, degradation: float, look: Look
) -> Appearance:
    shadows = tuple(
        (
            float(rng.uniform(-1, 1)),
            float(rng.uniform(0.03, 0.22)),
            float(rng.choice([0.0, 0.0, rng.uniform(0.1, 0.6)])),
            float(rng.uniform(0.3, 1.0)),
        )
        for _ in range(rng.poisson(0.6 + 1.6 * degradation))
    )
    cropped = bool(extra.random() < look.cropped)
    return Appearance(
        gray_wall=_draw(rng, look.gray_wall, degradation),
        range_db=_draw(rng, look.range_db),
        blood=_draw(rng, look.blood, degradation),
        outside=_log_normal(rng, 0.29, 0.55, 0.06, 1.0),
        pericardium=_draw(rng, look.pericardium),
        valve=_log_normal(rng, 0.7, 0.45, 0.15, 2.2),
        lateral_loss=float(np.clip(rng.beta(1.2, 2.2) + 0.25 * degradation, 0, 0.95)),
        anisotropy=float(rng.uniform(0.1, 0.75)),
        patchiness=_clipped(rng, 0.5, 0.14, 0.15, 0.9),
        axial=_draw(rng, look.axial),
        angular=_draw(rng, look.angular, degradation),
        haze=_draw(rng, look.haze, degradation),
        haze_reach=_log_normal(rng, 13, 0.4, 4, 38),
        side_lobes=_clipped(rng, 0.05 + 0.16 * degradation, 0.05, 0.0, 0.35),
        noise=_log_normal(rng, 0.018 + 0.06 * degradation, 0.6, 0.002, 0.22),
        attenuation=_clipped(rng, 14 + 22 * degradation, 16, -22, 70),
        gain_slope=_clipped(rng, 0, 8, -22, 22),
        shadows=shadows,
        edge_loss=float(rng.beta(1.5, 2.0)),
        gamma=_draw(rng, look.gamma),
        persistence=float(rng.choice([0.0, rng.uniform(0.1, 0.45)])),
        decorrelation=_clipped(rng, 1.0, 0.4, 0.2, 2.2),
        native=int(rng.integers(170, 257)),
        smoothing=float(rng.choice([0.0, rng.uniform(0.5, 1.5)])),
        papillary=float(rng.uniform(0.4, 1.1) if rng.random() < look.papillary else 0.0),
        trabeculae=float(rng.uniform(0, 1)),
        roughness=look.roughness,
        muscle=_draw(extra, look.muscle),
        chamber_blood=look.chamber_blood,
        septal_line=_level(extra, look.septal_line, 0.6, 2.0),
        endocardial_line=_level(extra, look.endocardial_line, 0.6, 1.8),
        apex_fade=_level(extra, look.apex_fade, 0.3, 1.0),
        contrast=_draw(extra, look.contrast),
        reject=_draw(extra, look.reject),
        cropped=cropped,
        overlay=bool(extra.random() < look.overlays) and not cropped,
    )


def _sample_rhythm(
    rng: np.random.Generator, extra: np.random.Generator, frames: int | None, look: Look
) -> Rhythm:
    # Drawn even if the length is given, so that the generator is in the same state afterwards.
    random_length = round(_log_normal(rng, 160, 0.48, MIN_FRAMES, MAX_FRAMES))
    count = random_length if frames is None else frames
    fps = COMMON_FPS
    if rng.random() > 0.79:
        fps = float(np.round(np.clip(rng.gamma(9.0, 6.0), 18, 138)))
    rate = _clipped(rng, 70, 13, 42, 130)
    start = float(rng.random())
    if count / fps < 1.4 * 60 / rate:
        # A clip this short is cut around a systole, at a frame rate low enough to contain it.
        start = float(rng.uniform(0.95, 1.0))
        fps = min(fps, float(np.floor((count - 2) / (0.45 * 60 / rate + 0.1))))
    open_valves = extra.random() < look.open_valves
    return Rhythm(
        frames=count,
        fps=fps,
        rate=rate,
        start=start,
        irregularity=float(rng.choice([0.015, 0.04, 0.18], p=[0.6, 0.33, 0.07])),
        breathing=_log_normal(rng, 0.8, 0.6, 0.1, 4),
        open_at_ed=float(extra.uniform(0.1, 1.0)) * open_valves,
        open_at_es=float(extra.uniform(0.0, 0.6)) * open_valves,
    )
