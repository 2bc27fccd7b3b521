"""The scanner: from scatterers in polar coordinates to gray frames as the data set has them.

A point of tissue answers with a complex amplitude; the beam smears these over
its point spread, which is a constant angle and so widens with depth; the
magnitude of the sum is speckle. It is compressed to decibels, scan converted,
made smaller with the data set's own cubic resize, and cut to the data set's
fan.
"""

from __future__ import annotations

import cv2
import numpy as np

from echo_prep.synth.phantom.study import SIZE, Look, Probe

DEPTHS, BEAMS = 180, 120
"""Samples along a beam, and beams across the sector."""

_NEAR = DEPTHS // 3
"""Samples before the focus, where beams are wider than their spacing."""

_FAINTEST = np.float32(1e-4)
"""Magnitude that stands for none: far below black, and it has a logarithm."""

_TILE = 64
"""By how much the noise field is larger than the image, so that each frame cuts another part."""


def fan_mask() -> np.ndarray:
    """Pixels that the data set's own preparation keeps, (SIZE, SIZE) uint8, 255 or 0."""
    y, x = np.mgrid[:SIZE, :SIZE]
    return np.where((x + y > 67) & (x - y < 67), 255, 0).astype(np.uint8)


class PolarGrid:
    """Where the samples of the beams stand in the frame."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self.step = probe.radius / (DEPTHS - 1)
        # A few beams beyond either side let the point spread reach in.
        self.first = probe.tilt - probe.half_angle
        self.angle = 2 * probe.half_angle / (BEAMS - 1)

    def points(self) -> np.ndarray:
        """Samples in pixels of the frame, (DEPTHS, BEAMS, 2) float64."""
        radius = np.arange(DEPTHS) * self.step
        angle = self.first + np.arange(BEAMS) * self.angle
        x = self.probe.x + radius[:, None] * np.sin(angle)
        y = self.probe.y + radius[:, None] * np.cos(angle)
        return np.stack([x, y], axis=-1)

    def locate(self, points: np.ndarray) -> np.ndarray:
        """From pixels of the frame to (beam, depth) in samples; same shape as `points`."""
        x, y = points[..., 0] - self.probe.x, points[..., 1] - self.probe.y
        beam = (np.arctan2(x, y) - self.first) / self.angle
        return np.stack([beam, np.hypot(x, y) / self.step], axis=-1)

    def sway(self, sway: np.ndarray) -> np.ndarray:
        """From `Motion.sway` to (beam, depth) in samples, (frame, 2)."""
        return np.stack([sway[:, 1] / 50 / self.angle, sway[:, 0] / self.step], axis=1)

    def place(self, samples: np.ndarray) -> np.ndarray:
        """The inverse of `locate`."""
        angle = self.first + samples[..., 0] * self.angle
        radius = samples[..., 1] * self.step
        x = self.probe.x + radius * np.sin(angle)
        return np.stack([x, self.probe.y + radius * np.cos(angle)], axis=-1)


class Scanner:
    """Forms the frames of one study.

    Parameters
    ----------
    grid : PolarGrid
    look : Look
    rng : numpy.random.Generator
        For the noise and clutter of this study.
    """

    def __init__(self, grid: PolarGrid, look: Look, rng: np.random.Generator) -> None:
        self.look = look
        self._rng = rng
        self._axial = _kernel(look.axial)
        self._angular = _kernel(look.angular)
        self._wide = _kernel(3.0 * look.angular)
        depth = (np.arange(DEPTHS, dtype=np.float32) / DEPTHS)[:, None]
        side = np.linspace(-1, 1, BEAMS, dtype=np.float32)
        self._shadow = _pair(_shadows(look, depth, side))
        noise = rng.standard_normal((DEPTHS + _TILE, BEAMS + _TILE, 2), dtype=np.float32)
        self._noise = cv2.sepFilter2D(noise, cv2.CV_32F, self._angular, self._axial)
        haze = _haze(look, depth, side, grid.step, rng)
        loudness = look.noise * (0.12 + depth**2) + 0.5 * haze
        self._loudness = _pair(np.broadcast_to(loudness, (DEPTHS, BEAMS)))
        self._clutter = self._noise[_TILE:, _TILE:] * _pair(0.85 * haze)
        self._slope = float(255 / look.range_db * 20 / np.log(10))
        self._gain = _gain(look, depth, side)
        self._curve = np.rint(255 * (np.arange(256) / 255) ** look.gamma).astype(np.uint8)
        fade = np.linspace(1, 0, _NEAR, dtype=np.float32)[:, None]
        self._wide_share = _pair(np.broadcast_to(fade, (_NEAR, BEAMS)))
        self._narrow_share = 1 - self._wide_share
        self._maps = _conversion_maps(grid, look.native)
        self._fan = fan_mask()
        self._before: np.ndarray | None = None

    def spread(self, field: np.ndarray) -> np.ndarray:
        """Smear a complex field by the point spread, keeping its mean power, (…, …, 2) float32."""
        smeared = cv2.sepFilter2D(field, cv2.CV_32F, self._angular, self._axial)
        # Before the focus the beam is as wide as the probe, not as its angle.
        near = smeared[:_NEAR]
        wide = cv2.sepFilter2D(near, cv2.CV_32F, self._wide, np.ones((1, 1), np.float32))
        smeared[:_NEAR] = cv2.add(
            cv2.multiply(near, self._narrow_share), cv2.multiply(wide, self._wide_share)
        )
        return smeared

    def form(self, field: np.ndarray) -> np.ndarray:
        """Form one frame from the scatterers' field; frames follow each other.

        Parameters
        ----------
        field : ndarray, (DEPTHS, BEAMS, 2) float32
            Real and imaginary part.

        Returns
        -------
        frame : ndarray, (SIZE, SIZE) uint8
        """
        row, column = self._rng.integers(_TILE, size=2)
        noise = self._noise[row : row + DEPTHS, column : column + BEAMS]
        answer = cv2.multiply(self.spread(field), self._shadow)
        answer = cv2.add(answer, cv2.multiply(noise, self._loudness))
        real, imaginary = cv2.split(cv2.add(answer, self._clutter))
        strength = np.maximum(cv2.magnitude(real, imaginary), _FAINTEST)
        # To decibels, to gray, and held within a byte, all in one.
        gray = cv2.addWeighted(
            cv2.log(strength), self._slope, self._gain, 1.0, 0.0, dtype=cv2.CV_8U
        )
        if self.look.persistence and self._before is not None:
            keep = self.look.persistence
            gray = cv2.addWeighted(gray, 1 - keep, self._before, keep, 0)
        self._before = gray
        screen = cv2.remap(cv2.LUT(gray, self._curve), *self._maps, cv2.INTER_LINEAR)
        if self.look.smoothing:
            screen = cv2.GaussianBlur(screen, (0, 0), self.look.smoothing)
        return cv2.bitwise_and(
            cv2.resize(screen, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC), self._fan
        )


def _kernel(sigma: float) -> np.ndarray:
    """A Gaussian whose squares sum to one: white noise keeps its power."""
    size = 2 * int(np.ceil(2.5 * sigma)) + 1
    kernel = cv2.getGaussianKernel(size, sigma, cv2.CV_32F)
    return kernel / np.linalg.norm(kernel)


def _pair(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.stack([values, values], axis=-1), dtype=np.float32)


def _shadows(look: Look, depth: np.ndarray, side: np.ndarray) -> np.ndarray:
    kept = np.ones((DEPTHS, BEAMS), np.float32)
    for direction, width, begin, strength in look.shadows:
        across = np.exp(-(((side - direction) / width) ** 4))
        along = np.clip((depth - begin) / 0.08, 0, 1)
        kept *= 1 - strength * across * along
    return kept


def _haze(
    look: Look, depth: np.ndarray, side: np.ndarray, step: float, rng: np.random.Generator
) -> np.ndarray:
    reach = look.haze_reach / step / DEPTHS
    uneven = cv2.resize(
        rng.uniform(0.3, 1.5, (1, 6)).astype(np.float32), (BEAMS, 1), interpolation=cv2.INTER_CUBIC
    )
    haze = look.haze * np.exp(-((depth / reach) ** 1.4)) * np.maximum(uneven, 0)
    # Beside it, the ringing of the probe itself: a bright cap on the sector's tip.
    bang = 1.2 * np.exp(-((depth / 0.045) ** 4))
    ring = 0.3 * look.haze * np.exp(-(((depth - 0.09 - 0.04 * look.haze) / 0.012) ** 2))
    return haze + bang + ring + 0 * side


def _gain(look: Look, depth: np.ndarray, side: np.ndarray) -> np.ndarray:
    along = look.gray_wall - look.attenuation * (2 * depth - 1)
    along = along + look.gain_slope * np.sin(2 * np.pi * depth)
    edge = 70 * look.edge_loss * np.clip((np.abs(side) - 0.72) / 0.28, 0, 1) ** 2
    return (along - edge).astype(np.float32)


def _conversion_maps(grid: PolarGrid, native: int) -> tuple[np.ndarray, np.ndarray]:
    # Where pixels of the large image stand in the small one: as cv2.resize takes them.
    place = (np.arange(native, dtype=np.float32) + 0.5) * np.float32(SIZE / native) - 0.5
    x, y = np.meshgrid(place - np.float32(grid.probe.x), place - np.float32(grid.probe.y))
    radius, angle = cv2.cartToPolar(y, x)
    angle = np.where(angle > np.pi, angle - np.float32(2 * np.pi), angle)
    beam = (angle - np.float32(grid.first)) / np.float32(grid.angle)
    maps = cv2.convertMaps(beam, radius / np.float32(grid.step), cv2.CV_16SC2)
    return np.asarray(maps[0]), np.asarray(maps[1])
