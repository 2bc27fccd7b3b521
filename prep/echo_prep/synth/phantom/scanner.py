"""The ultrasound scanner: forms gray frames from scatterers in polar coordinates.

Each point of tissue echoes with a complex amplitude. The beam smears these
amplitudes by its point spread function, whose angular width is constant, so it
widens with depth; the magnitude of the sum is speckle. It is compressed to
decibels, scan converted, reduced with cubic interpolation and cut to a fan;
the last two steps are EchoNet-Dynamic's own.
"""

from __future__ import annotations

import cv2
import numpy as np

from echo_prep.synth.phantom.study import SIZE, Appearance, Probe

DEPTHS, BEAMS = 180, 120
"""Samples along a beam, and beams across the sector."""

_NEAR = DEPTHS // 3
"""Samples in front of the focus, where beams are wider than their spacing."""

_MIN_MAGNITUDE = np.float32(1e-4)
"""Smallest magnitude, far below black; it keeps the logarithm finite."""

_NOISE_MARGIN = 64
"""Margin of the noise field, from which each frame takes a different window."""


def fan_mask() -> np.ndarray:
    """Pixels that EchoNet-Dynamic's preparation keeps, (SIZE, SIZE) uint8, 255 or 0."""
    y, x = np.mgrid[:SIZE, :SIZE]
    return np.where((x + y > 67) & (x - y < 67), 255, 0).astype(np.uint8)


class PolarGrid:
    """Conversion between samples of the beams and pixels of the frame."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self.step = probe.radius / (DEPTHS - 1)
        self.first = probe.tilt - probe.half_angle
        self.angle = 2 * probe.half_angle / (BEAMS - 1)

    def points(self) -> np.ndarray:
        """Positions of all samples in pixels, (DEPTHS, BEAMS, 2) float64."""
        radius = np.arange(DEPTHS) * self.step
        angle = self.first + np.arange(BEAMS) * self.angle
        x = self.probe.x + radius[:, None] * np.sin(angle)
        y = self.probe.y + radius[:, None] * np.cos(angle)
        return np.stack([x, y], axis=-1)

    def to_samples(self, points: np.ndarray) -> np.ndarray:
        """Convert pixels to (beam, depth) in samples; same shape as `points`."""
        x, y = points[..., 0] - self.probe.x, points[..., 1] - self.probe.y
        beam = (np.arctan2(x, y) - self.first) / self.angle
        return np.stack([beam, np.hypot(x, y) / self.step], axis=-1)

    def sway_to_samples(self, sway: np.ndarray) -> np.ndarray:
        """Convert `Motion.sway` to (beam, depth) in samples, (frame, 2)."""
        return np.stack([sway[:, 1] / 50 / self.angle, sway[:, 0] / self.step], axis=1)

    def to_frame(self, samples: np.ndarray) -> np.ndarray:
        """Convert (beam, depth) in samples to pixels; the inverse of `to_samples`."""
        angle = self.first + samples[..., 0] * self.angle
        radius = samples[..., 1] * self.step
        x = self.probe.x + radius * np.sin(angle)
        return np.stack([x, self.probe.y + radius * np.cos(angle)], axis=-1)


class Scanner:
    """Forms the frames of one study, in order.

    Parameters
    ----------
    grid : PolarGrid
    appearance : Appearance
    rng : numpy.random.Generator
        Source of the study's noise and clutter.
    """

    def __init__(self, grid: PolarGrid, appearance: Appearance, rng: np.random.Generator) -> None:
        self.appearance = appearance
        self._rng = rng
        self._axial = _kernel(appearance.axial)
        self._angular = _kernel(appearance.angular)
        self._wide = _kernel(3.0 * appearance.angular)
        depth = (np.arange(DEPTHS, dtype=np.float32) / DEPTHS)[:, None]
        side = np.linspace(-1, 1, BEAMS, dtype=np.float32)
        self._shadow = _pair(_shadows(appearance, depth, side))
        noise = rng.standard_normal(
            (DEPTHS + _NOISE_MARGIN, BEAMS + _NOISE_MARGIN, 2), dtype=np.float32
        )
        self._noise = cv2.sepFilter2D(noise, cv2.CV_32F, self._angular, self._axial)
        haze = _haze(appearance, depth, side, grid.step, rng)
        noise_level = appearance.noise * (0.12 + depth**2) + 0.5 * haze
        self._noise_level = _pair(np.broadcast_to(noise_level, (DEPTHS, BEAMS)))
        self._clutter = self._noise[_NOISE_MARGIN:, _NOISE_MARGIN:] * _pair(0.85 * haze)
        self._slope = float(255 / appearance.range_db * 20 / np.log(10))
        self._gain = _gain(appearance, depth, side)
        self._curve = np.rint(255 * gray_map(appearance)).astype(np.uint8)
        fade = np.linspace(1, 0, _NEAR, dtype=np.float32)[:, None]
        self._wide_weight = _pair(np.broadcast_to(fade, (_NEAR, BEAMS)))
        self._narrow_weight = 1 - self._wide_weight
        self._maps = _conversion_maps(grid, appearance.native)
        self._fan = fan_mask() if appearance.cropped else np.full((SIZE, SIZE), 255, np.uint8)
        # As in `sample_study`: for what EchoNet-Dynamic's look does not need.
        extra = rng.spawn(1)[0]
        self._overlay = _draw_overlay(grid.probe, extra) if appearance.overlay else None
        self._previous: np.ndarray | None = None

    def spread(self, field: np.ndarray) -> np.ndarray:
        """Convolve a complex field with the point spread function, preserving its mean power."""
        smeared = cv2.sepFilter2D(field, cv2.CV_32F, self._angular, self._axial)
        # In front of the focus the width of the beam is that of the probe, not of an angle.
        near = smeared[:_NEAR]
        wide = cv2.sepFilter2D(near, cv2.CV_32F, self._wide, np.ones((1, 1), np.float32))
        smeared[:_NEAR] = cv2.add(
            cv2.multiply(near, self._narrow_weight), cv2.multiply(wide, self._wide_weight)
        )
        return smeared

    def form(self, field: np.ndarray) -> np.ndarray:
        """Form the next frame from the field of the scatterers.

        Parameters
        ----------
        field : ndarray, (DEPTHS, BEAMS, 2) float32
            Real and imaginary parts.

        Returns
        -------
        frame : ndarray, (SIZE, SIZE) uint8
        """
        row, column = self._rng.integers(_NOISE_MARGIN, size=2)
        noise = self._noise[row : row + DEPTHS, column : column + BEAMS]
        signal = cv2.multiply(self.spread(field), self._shadow)
        signal = cv2.add(signal, cv2.multiply(noise, self._noise_level))
        real, imaginary = cv2.split(cv2.add(signal, self._clutter))
        magnitude = np.maximum(cv2.magnitude(real, imaginary), _MIN_MAGNITUDE)
        # Convert to decibels and to gray values, and clip to a byte, in one call.
        gray = cv2.addWeighted(
            cv2.log(magnitude), self._slope, self._gain, 1.0, 0.0, dtype=cv2.CV_8U
        )
        if self.appearance.persistence and self._previous is not None:
            weight = self.appearance.persistence
            gray = cv2.addWeighted(gray, 1 - weight, self._previous, weight, 0)
        self._previous = gray
        screen = cv2.remap(cv2.LUT(gray, self._curve), *self._maps, cv2.INTER_LINEAR)
        if self.appearance.smoothing:
            screen = cv2.GaussianBlur(screen, (0, 0), self.appearance.smoothing)
        frame = cv2.bitwise_and(
            cv2.resize(screen, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC), self._fan
        )
        return frame if self._overlay is None else cv2.max(frame, self._overlay)


def gray_map(appearance: Appearance) -> np.ndarray:
    """The scanner's displayed gray values for received ones, (256,) float64 in [0, 1]."""
    received = np.clip((np.arange(256) - appearance.reject) / (255 - appearance.reject), 0, 1)
    power = received**appearance.gamma
    return power + appearance.contrast * (power * power * (3 - 2 * power) - power)


def _kernel(sigma: float) -> np.ndarray:
    """A Gaussian whose squares sum to 1, so that white noise keeps its power."""
    size = 2 * int(np.ceil(2.5 * sigma)) + 1
    kernel = cv2.getGaussianKernel(size, sigma, cv2.CV_32F)
    return kernel / np.linalg.norm(kernel)


def _pair(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.stack([values, values], axis=-1), dtype=np.float32)


def _shadows(appearance: Appearance, depth: np.ndarray, side: np.ndarray) -> np.ndarray:
    transmitted = np.ones((DEPTHS, BEAMS), np.float32)
    for direction, width, begin, strength in appearance.shadows:
        across = np.exp(-(((side - direction) / width) ** 4))
        along = np.clip((depth - begin) / 0.08, 0, 1)
        transmitted *= 1 - strength * across * along
    return transmitted


def _haze(
    appearance: Appearance,
    depth: np.ndarray,
    side: np.ndarray,
    step: float,
    rng: np.random.Generator,
) -> np.ndarray:
    reach = appearance.haze_reach / step / DEPTHS
    uneven = cv2.resize(
        rng.uniform(0.3, 1.5, (1, 6)).astype(np.float32), (BEAMS, 1), interpolation=cv2.INTER_CUBIC
    )
    haze = appearance.haze * np.exp(-((depth / reach) ** 1.4)) * np.maximum(uneven, 0)
    # The ringing of the probe itself adds a bright cap at the tip of the sector.
    cap = 1.2 * np.exp(-((depth / 0.045) ** 4))
    ring = 0.3 * appearance.haze * np.exp(-(((depth - 0.09 - 0.04 * appearance.haze) / 0.012) ** 2))
    return haze + cap + ring + 0 * side


def _gain(appearance: Appearance, depth: np.ndarray, side: np.ndarray) -> np.ndarray:
    along = appearance.gray_wall - appearance.attenuation * (2 * depth - 1)
    along = along + appearance.gain_slope * np.sin(2 * np.pi * depth)
    edge = 70 * appearance.edge_loss * np.clip((np.abs(side) - 0.72) / 0.28, 0, 1) ** 2
    return (along - edge).astype(np.float32)


def _conversion_maps(grid: PolarGrid, native: int) -> tuple[np.ndarray, np.ndarray]:
    # Pixel centres of the large image in the small one, by the convention of cv2.resize.
    centres = (np.arange(native, dtype=np.float32) + 0.5) * np.float32(SIZE / native) - 0.5
    middle = np.float32(0.5 * (SIZE - 1))
    across = (centres - middle) / np.float32(grid.probe.stretch) + middle
    if grid.probe.stretch == 1:
        across = centres
    x, y = np.meshgrid(across - np.float32(grid.probe.x), centres - np.float32(grid.probe.y))
    radius, angle = cv2.cartToPolar(y, x)
    angle = np.where(angle > np.pi, angle - np.float32(2 * np.pi), angle)
    beam = (angle - np.float32(grid.first)) / np.float32(grid.angle)
    maps = cv2.convertMaps(beam, radius / np.float32(grid.step), cv2.CV_16SC2)
    return np.asarray(maps[0]), np.asarray(maps[1])


def _draw_overlay(probe: Probe, rng: np.random.Generator) -> np.ndarray:
    """An ECG below the scan, depth ticks next to it and a marker, (SIZE, SIZE) uint8."""
    overlay = np.zeros((SIZE, SIZE), np.uint8)
    x = np.arange(SIZE)
    phase = (x / rng.uniform(24, 60) + rng.uniform()) % 1
    waves = ((0.20, 0.03, 0.15), (0.30, 0.012, 1.0), (0.34, 0.012, -0.25), (0.55, 0.05, 0.3))
    beat = sum(height * np.exp(-(((phase - at) / width) ** 2)) for at, width, height in waves)
    y = rng.uniform(102, 109) - rng.uniform(4, 10) * beat
    gray = int(rng.integers(90, 256))
    curve = np.rint(16 * np.stack([x, y], axis=1)).astype(np.int32)
    cv2.polylines(overlay, [curve], False, (gray,), 1, cv2.LINE_AA, shift=4)
    column = int(rng.choice([rng.integers(2, 8), rng.integers(103, 110)]))
    ticks = np.arange(max(probe.y, 0), SIZE, probe.radius / rng.integers(5, 17)).astype(int)
    overlay[ticks, column : column + 2] = gray
    marker = (int(probe.x + rng.choice([-1, 1]) * rng.uniform(5, 14)), int(rng.uniform(2, 8)))
    cv2.circle(overlay, marker, int(rng.integers(1, 3)), (gray,), 1, cv2.LINE_AA)
    return overlay
