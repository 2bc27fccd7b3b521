"""One study as a movie: its heart is painted once, then moved and scanned frame by frame."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from echo_prep.synth.phantom.anatomy import (
    Shape,
    end_diastolic_shape,
    end_systolic_shape,
    map_to_diastole,
    map_to_systole,
)
from echo_prep.synth.phantom.canvas import ripple_points, to_canvas
from echo_prep.synth.phantom.chambers import Heart, build_heart
from echo_prep.synth.phantom.motion import Motion
from echo_prep.synth.phantom.scanner import BEAMS, DEPTHS, PolarGrid, Scanner
from echo_prep.synth.phantom.study import SIZE, Appearance, Study
from echo_prep.synth.phantom.tissue import paint

_MAX_SHIFT = 24.0
"""Largest movement of tissue, in samples; exceeded only next to the probe, where beams converge."""

_ALONG = np.linspace(0, 1, 6)[:, None]
_BOW, _TIP = 2 * _ALONG * (1 - _ALONG), _ALONG**2
"""Weights of the middle and the end of a quadratic curve, along a leaflet."""

_SHIFT = 4
"""Fractional bits of the coordinates in OpenCV's drawing functions."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Movie:
    """A finished study.

    Attributes
    ----------
    frames : ndarray, (frame, y, x) uint8
    motion : Motion
    ed_contour, es_contour : ndarray, (point, 2) float64
        True endocardium in the two traced frames, in pixels of the frame: from the apex down the
        left wall of the image and back up the right wall.
    """

    frames: np.ndarray
    motion: Motion
    ed_contour: np.ndarray
    es_contour: np.ndarray


def make_movie(study: Study, motion: Motion, rng: np.random.Generator) -> Movie:
    """Make the frames of a study, and the true contours of the two traced frames."""
    diastole = end_diastolic_shape(study.ventricle)
    systole = end_systolic_shape(study.ventricle, diastole)
    grid = PolarGrid(study.probe)
    sway = grid.sway_to_samples(motion.sway)
    heart = build_heart(study.ventricle, diastole, rng)
    canvas = paint(heart, study.ventricle, study.probe, study.appearance, rng)
    tissue = Tissue(grid, canvas, diastole, systole, study.appearance, rng)
    valves = Valves(grid, heart, diastole, systole, study.appearance, rng)
    leaflets = valves.paths(motion, sway)
    scanner = Scanner(grid, study.appearance, rng)
    speckle = _speckle_phase(motion, study.appearance)
    frames = np.empty((study.rhythm.frames, SIZE, SIZE), np.uint8)
    for number, contraction in enumerate(motion.contraction):
        field = tissue.field(contraction, sway[number], speckle[number])
        valves.draw(field, leaflets[number])
        frames[number] = scanner.form(field)
    ed_contour, es_contour = map(study.probe.to_display, true_contours(study, motion))
    return Movie(frames=frames, motion=motion, ed_contour=ed_contour, es_contour=es_contour)


def true_contours(study: Study, motion: Motion) -> tuple[np.ndarray, np.ndarray]:
    """True endocardium of a study in its two traced frames, at end-diastole and end-systole.

    Returns
    -------
    ed_contour, es_contour : ndarray, (point, 2) float64
        As in `Movie`, but in pixels of the scan; see `Probe.to_display`.
    """
    diastole = end_diastolic_shape(study.ventricle)
    systole = end_systolic_shape(study.ventricle, diastole)
    grid = PolarGrid(study.probe)
    sway = grid.sway_to_samples(motion.sway)
    contours = [diastole.contour(), systole.contour()]
    if study.ventricle.ripples is not None:
        contours[0] = ripple_points(contours[0], study.ventricle.ripples)
        contours[1] = map_to_systole(contours[0], diastole, systole)
    ed_contour, es_contour = (
        grid.to_frame(grid.to_samples(contour) + sway[frame])
        for contour, frame in zip(contours, (motion.ed_frame, motion.es_frame), strict=True)
    )
    return ed_contour, es_contour


def _speckle_phase(motion: Motion, appearance: Appearance) -> np.ndarray:
    drift = np.linspace(0, 0.012 * len(motion.contraction), len(motion.contraction))
    return appearance.decorrelation * (motion.contraction + drift)


class Tissue:
    """The scatterers, and their positions in each phase of the beat."""

    def __init__(
        self,
        grid: PolarGrid,
        canvas: np.ndarray,
        diastole: Shape,
        systole: Shape,
        appearance: Appearance,
        rng: np.random.Generator,
    ) -> None:
        points = grid.points()
        pixels = to_canvas(points).astype(np.float32)
        amplitude = cv2.remap(
            canvas,
            pixels[..., 0],
            pixels[..., 1],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        smeared = cv2.GaussianBlur(amplitude, (0, 0), sigmaX=9, sigmaY=1)
        amplitude = amplitude + np.float32(appearance.side_lobes) * smeared
        shape = (2, DEPTHS, BEAMS, 2)
        self._fields = rng.standard_normal(shape, dtype=np.float32)
        self._fields *= amplitude[..., None] * np.float32(np.sqrt(0.5))
        samples = np.stack(np.meshgrid(np.arange(BEAMS), np.arange(DEPTHS)), axis=-1)
        shift = grid.to_samples(map_to_diastole(points, diastole, systole)) - samples
        shift = np.clip(shift, -_MAX_SHIFT, _MAX_SHIFT)
        self._shift = [shift[..., axis].astype(np.float32) for axis in (0, 1)]
        self._samples = [samples[..., axis].astype(np.float32) for axis in (0, 1)]

    def field(self, contraction: float, sway: np.ndarray, phase: float) -> np.ndarray:
        """Complex field of the scatterers in one frame, (DEPTHS, BEAMS, 2) float32."""
        field = cv2.addWeighted(self._fields[0], np.cos(phase), self._fields[1], np.sin(phase), 0)
        beam, depth = (
            cv2.addWeighted(shift, float(contraction), samples, 1.0, -float(displacement))
            for samples, shift, displacement in zip(self._samples, self._shift, sway, strict=True)
        )
        moved = cv2.remap(field, beam, depth, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        return np.asarray(moved)


class Valves:
    """The leaflets of the mitral and tricuspid valves, redrawn in each frame."""

    def __init__(
        self,
        grid: PolarGrid,
        heart: Heart,
        diastole: Shape,
        systole: Shape,
        appearance: Appearance,
        rng: np.random.Generator,
    ) -> None:
        self._grid = grid
        self._noise = rng.standard_normal((DEPTHS, BEAMS, 2), dtype=np.float32)
        lift = (diastole.length - systole.length) * diastole.down
        systolic_mitral = systole.contour()[len(heart.cavity) // 2 - 1 :][:2]
        self._diastolic_hinges = np.concatenate([heart.mitral, heart.tricuspid])
        self._systolic_hinges = np.concatenate([systolic_mitral, heart.tricuspid - 1.1 * lift])
        # How much of the valve plane each leaflet spans, measured from its own hinge.
        mitral, tricuspid = rng.uniform(0.52, 0.68), rng.uniform(0.4, 0.6)
        spans = [mitral, mitral - 1, tricuspid, tricuspid - 1]
        self._reach = np.array(spans)[:, None]
        self._toward_apex = -diastole.down
        self._level = appearance.valve
        self._tent = float(rng.uniform(0.08, 0.25))
        self._width = 1 if rng.random() < 0.6 else 2

    def draw(self, field: np.ndarray, leaflets: np.ndarray) -> None:
        """Add the leaflets of one frame, as returned by `paths`, to a field in place."""
        stencil = np.zeros((DEPTHS, BEAMS), np.float32)
        cv2.polylines(stencil, list(leaflets), False, (self._level,), self._width, shift=_SHIFT)
        low = np.clip((leaflets.min(axis=(0, 1)) >> _SHIFT) - 2, 0, None)
        high = (leaflets.max(axis=(0, 1)) >> _SHIFT) + 3
        part = (slice(low[1], max(high[1], 0)), slice(low[0], max(high[0], 0)))
        field[part] += self._noise[part] * stencil[part][..., None]

    def paths(self, motion: Motion, sway: np.ndarray) -> np.ndarray:
        """Curves of the four leaflets in each frame, from hinge to tip.

        Returns
        -------
        paths : ndarray, (frame, leaflet, point, 2) int32
            (beam, depth) in samples, as fixed-point numbers with `_SHIFT` fractional bits.
        """
        contraction = motion.contraction[:, None, None]
        opening = motion.opening[:, None, None]
        hinge = self._diastolic_hinges + contraction * (
            self._systolic_hinges - self._diastolic_hinges
        )
        across = np.repeat(hinge[:, 1::2] - hinge[:, ::2], 2, axis=1)
        span = np.linalg.norm(across, axis=-1, keepdims=True)
        closed = self._reach * across + self._tent * span * self._toward_apex
        reach = np.linalg.norm(closed, axis=-1, keepdims=True)
        # An open leaflet hangs into the ventricle along its own wall.
        hanging = 0.92 * reach * self._toward_apex + 0.12 * closed
        tip = closed + opening * (hanging - closed)
        bow = 0.5 * tip + (0.18 - 0.11 * opening) * reach * self._toward_apex
        curves = hinge[..., None, :] + _BOW * bow[..., None, :] + _TIP * tip[..., None, :]
        samples = self._grid.to_samples(curves) + sway[:, None, None]
        return np.rint(samples * (1 << _SHIFT)).astype(np.int32)
