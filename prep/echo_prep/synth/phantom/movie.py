"""One study as a film: its heart painted once, and moved, scanned and drawn frame by frame."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from echo_prep.synth.phantom.anatomy import Shape, diastole, follow_back, systole
from echo_prep.synth.phantom.chambers import Heart, build_heart
from echo_prep.synth.phantom.motion import Motion, move
from echo_prep.synth.phantom.scanner import BEAMS, DEPTHS, PolarGrid, Scanner
from echo_prep.synth.phantom.study import SIZE, Look, Study
from echo_prep.synth.phantom.tissue import paint, to_canvas

_FARTHEST = 24.0
"""Samples that tissue may move; beyond, only at the probe's very tip, where beams crowd."""

_ALONG = np.linspace(0, 1, 6)[:, None]
_BOW, _TIP = 2 * _ALONG * (1 - _ALONG), _ALONG**2
"""Weights of a quadratic curve's middle and end, along a leaflet."""

_SHIFT = 4
"""Bits below the sample that OpenCV's drawing takes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Film:
    """A finished study.

    Attributes
    ----------
    frames : ndarray, (frame, y, x) uint8
    motion : Motion
    end_diastole, end_systole : ndarray, (point, 2) float64
        The true endocardium in the two traced frames, from the apex down the image's left wall
        and up the right one, in pixels.
    """

    frames: np.ndarray
    motion: Motion
    end_diastole: np.ndarray
    end_systole: np.ndarray


def make_film(study: Study, rng: np.random.Generator) -> Film:
    """Make the frames of a study, and the truth about the two that are traced."""
    full = diastole(study.ventricle)
    empty = systole(study.ventricle, full)
    motion = move(study.rhythm, rng)
    grid = PolarGrid(study.probe)
    sway = grid.sway(motion.sway)
    heart = build_heart(study.ventricle, full, rng)
    canvas = paint(heart, study.ventricle, study.probe, study.look, rng)
    tissue = Tissue(grid, canvas, full, empty, study.look, rng)
    valves = Valves(grid, heart, full, empty, study.look, rng)
    leaflets = valves.paths(motion, sway)
    scanner = Scanner(grid, study.look, rng)
    speckle = _speckle_phase(motion, study.look)
    frames = np.empty((study.rhythm.frames, SIZE, SIZE), np.uint8)
    for number, contraction in enumerate(motion.contraction):
        field = tissue.at(contraction, sway[number], speckle[number])
        valves.draw(field, leaflets[number])
        frames[number] = scanner.form(field)
    ends = [
        grid.place(grid.locate(shape.contour()) + sway[frame])
        for shape, frame in ((full, motion.end_diastole), (empty, motion.end_systole))
    ]
    return Film(frames=frames, motion=motion, end_diastole=ends[0], end_systole=ends[1])


def _speckle_phase(motion: Motion, look: Look) -> np.ndarray:
    drift = np.linspace(0, 0.012 * len(motion.contraction), len(motion.contraction))
    return look.decorrelation * (motion.contraction + drift)


class Tissue:
    """The scatterers, and where they are in each phase of the beat."""

    def __init__(
        self,
        grid: PolarGrid,
        canvas: np.ndarray,
        full: Shape,
        empty: Shape,
        look: Look,
        rng: np.random.Generator,
    ) -> None:
        points = grid.points()
        where = to_canvas(points).astype(np.float32)
        amplitude = cv2.remap(
            canvas, where[..., 0], where[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        smeared = cv2.GaussianBlur(amplitude, (0, 0), sigmaX=9, sigmaY=1)
        amplitude = amplitude + np.float32(look.side_lobes) * smeared
        shape = (2, DEPTHS, BEAMS, 2)
        self._fields = rng.standard_normal(shape, dtype=np.float32)
        self._fields *= amplitude[..., None] * np.float32(np.sqrt(0.5))
        here = np.stack(np.meshgrid(np.arange(BEAMS), np.arange(DEPTHS)), axis=-1)
        shift = grid.locate(follow_back(points, full, empty)) - here
        shift = np.clip(shift, -_FARTHEST, _FARTHEST)
        self._shift = [shift[..., axis].astype(np.float32) for axis in (0, 1)]
        self._here = [here[..., axis].astype(np.float32) for axis in (0, 1)]

    def at(self, contraction: float, sway: np.ndarray, phase: float) -> np.ndarray:
        """The field at a state of the heart, (DEPTHS, BEAMS, 2) float32."""
        field = cv2.addWeighted(self._fields[0], np.cos(phase), self._fields[1], np.sin(phase), 0)
        beam, depth = (
            cv2.addWeighted(shift, float(contraction), here, 1.0, -float(away))
            for here, shift, away in zip(self._here, self._shift, sway, strict=True)
        )
        moved = cv2.remap(field, beam, depth, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        return np.asarray(moved)


class Valves:
    """The leaflets of the mitral and tricuspid valves, drawn anew in each frame."""

    def __init__(
        self,
        grid: PolarGrid,
        heart: Heart,
        full: Shape,
        empty: Shape,
        look: Look,
        rng: np.random.Generator,
    ) -> None:
        self._grid = grid
        self._noise = rng.standard_normal((DEPTHS, BEAMS, 2), dtype=np.float32)
        lift = (full.length - empty.length) * full.down
        mitral_end = empty.contour()[len(heart.cavity) // 2 - 1 :][:2]
        self._full = np.concatenate([heart.mitral, heart.tricuspid])
        self._empty = np.concatenate([mitral_end, heart.tricuspid - 1.1 * lift])
        # How much of its plane each leaflet spans, seen from its own hinge.
        mitral, tricuspid = rng.uniform(0.52, 0.68), rng.uniform(0.4, 0.6)
        spans = [mitral, mitral - 1, tricuspid, tricuspid - 1]
        self._reach = np.array(spans)[:, None]
        self._toward_apex = -full.down
        self._level = look.valve
        self._tent = float(rng.uniform(0.08, 0.25))
        self._width = 1 if rng.random() < 0.6 else 2

    def draw(self, field: np.ndarray, leaflets: np.ndarray) -> None:
        """Add the leaflets of one frame, as `paths` gives them, to a field in place."""
        stencil = np.zeros((DEPTHS, BEAMS), np.float32)
        cv2.polylines(stencil, list(leaflets), False, (self._level,), self._width, shift=_SHIFT)
        low = np.clip((leaflets.min(axis=(0, 1)) >> _SHIFT) - 2, 0, None)
        high = (leaflets.max(axis=(0, 1)) >> _SHIFT) + 3
        part = (slice(low[1], max(high[1], 0)), slice(low[0], max(high[0], 0)))
        field[part] += self._noise[part] * stencil[part][..., None]

    def paths(self, motion: Motion, sway: np.ndarray) -> np.ndarray:
        """The four leaflets of each frame, curves from hinge to tip.

        Returns
        -------
        paths : ndarray, (frame, leaflet, point, 2) int32
            (beam, depth) in samples, with `_SHIFT` bits below the sample.
        """
        contraction = motion.contraction[:, None, None]
        opening = motion.opening[:, None, None]
        hinge = self._full + contraction * (self._empty - self._full)
        across = np.repeat(hinge[:, 1::2] - hinge[:, ::2], 2, axis=1)
        span = np.linalg.norm(across, axis=-1, keepdims=True)
        closed = self._reach * across + self._tent * span * self._toward_apex
        reach = np.linalg.norm(closed, axis=-1, keepdims=True)
        # Open, a leaflet hangs into the ventricle along its own wall.
        hanging = 0.92 * reach * self._toward_apex + 0.12 * closed
        tip = closed + opening * (hanging - closed)
        bow = 0.5 * tip + (0.18 - 0.11 * opening) * reach * self._toward_apex
        curves = hinge[..., None, :] + _BOW * bow[..., None, :] + _TIP * tip[..., None, :]
        samples = self._grid.locate(curves) + sway[:, None, None]
        return np.rint(samples * (1 << _SHIFT)).astype(np.int32)
