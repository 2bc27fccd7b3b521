"""From the contours of a clip to its beats, volumes and ejection fraction."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.ndimage import median_filter
from scipy.signal import savgol_filter

from echo_common.measures.beats import RATE, Beats, find_beats
from echo_common.measures.disks import millilitres
from echo_common.measures.ventricle import (
    ejection_fraction,
    fractional_area_change,
    longitudinal_strain,
    measure_contours,
)
from echo_train.evaluation.trained_model import TrainedModel
from echo_train.prediction.clip import Clip
from echo_train.prediction.sector import Sector
from echo_train.prediction.segment import Segmentation, segment_clip

FOUND = 0.75
"""Least share of frames with a ventricle in a clip that is measured."""

GAP = 0.15
"""Longest time between two frames, in seconds, across which a curve is interpolated."""

ROUGH = 1.0
"""Largest standard deviation of the volumes from their smoothed curve, as a share of that of the
curve. It is 0.1 to 0.5 in synthetic clips, and above 1.4 in noise and in shuffled frames."""

SMOOTHING = 0.14
"""Seconds of the window in which a parabola is fitted to the curve: on synthetic clips, the window
with the least error of the ejection fraction. A longer one cuts the peaks, and smoothing logits
or landmarks gains nothing over it."""

IRREGULAR = 0.15
"""Coefficient of variation of the intervals between beats above which a rhythm is irregular."""

JUMP = 1.5
"""Ratio of a frame's volume to the median of the frames around it above which the contour is wrong.
A ventricle does not grow so much and shrink again within `JUMP_SECONDS`; a contour may take in the
atrium while the mitral valve is open."""

JUMP_SECONDS = 0.2

MOST_JUMPS = 0.25
"""Largest share of such frames in a clip that is measured."""

_SHORTEST_STEP = 1e-3
"""Seconds; time stamps that are closer are those of a damaged file."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measurement:
    """The measures of a clip.

    Attributes
    ----------
    status : str
        ``measured``, ``irregular`` (measured, but one beat does not stand for the others),
        ``not measurable`` or ``failed``.
    reason : str
        Why the status is not ``measured``.
    ed, es : ndarray, (beat,) int64
        Positions of end-diastole and end-systole among the segmented frames.
    ef, ef_sd : float
        Mean ejection fraction in per cent, and its standard deviation over beats.
    edv, esv : float
        Mean volumes, in `volume_unit`.
    volume_unit : str
        ``ml`` if the size of a pixel is known, else ``px³``.
    fac, strain : float
        Mean fractional area change and global longitudinal strain, in per cent.
    heart_rate : float
        Beats a minute.
    curves : dict of str to ndarray (frame,) float64
        ``area`` in square pixels and ``volume`` in `volume_unit`, and both smoothed along time.
    """

    status: str
    reason: str = ""
    ed: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0, np.int64))
    es: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0, np.int64))
    ef: float = np.nan
    ef_sd: float = np.nan
    edv: float = np.nan
    esv: float = np.nan
    volume_unit: str = "px³"
    fac: float = np.nan
    strain: float = np.nan
    heart_rate: float = np.nan
    curves: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def phases(self) -> np.ndarray:
        """Phase of each frame, (frame,) float64, from -1 at end-diastole to 1 at end-systole.

        It follows the volume, from the mean at end-diastole to that at end-systole.
        """
        volume = self.curves["smooth_volume"]
        largest, smallest = volume[self.ed].mean(), volume[self.es].mean()
        phases: np.ndarray = np.clip(1 - 2 * (volume - smallest) / (largest - smallest), -1, 1)
        return phases


def segment_and_measure(
    model: TrainedModel, clip: Clip, sector: Sector | None = None, confidence: float = 0.0
) -> tuple[Segmentation, Measurement]:
    """Segment a clip and measure its beats.

    If a model takes the phase of a frame, a first pass without phases finds the beats, and a
    second one is told the phases.

    Parameters
    ----------
    model, clip, sector, confidence
        As `echo_train.prediction.segment.segment_clip` takes them.

    Raises
    ------
    DataError
        As `Clip.chunks`.
    """
    found = segment_clip(model, clip, sector, confidence)
    measured = measure_clip(found, clip.rate, clip.spacing)
    if model.takes_phases and len(measured.ed):
        found = segment_clip(model, clip, sector, confidence, measured.phases())
        measured = measure_clip(found, clip.rate, clip.spacing)
    return found, measured


def measure_clip(found: Segmentation, rate: float | None, spacing: float | None) -> Measurement:
    """Measure the beats of a clip.

    Frames whose volume jumps (`JUMP`) count in no measure.

    Parameters
    ----------
    rate : float or None
        Frames per second, for a clip without time stamps.
    spacing : float or None
        Millimetres in a pixel; None if unknown.
    """
    frames = measure_contours(found.contours, found.axes)
    unit = "px³" if spacing is None else "ml"
    volume = frames.volume if spacing is None else millilitres(frames.volume, spacing)
    grid = _Grid(found.seconds, rate)
    curves = {"area": frames.area, "volume": volume}
    jumps = grid.jumps(volume)
    volume, area, wall = (
        np.where(jumps, np.nan, values) for values in (volume, frames.area, frames.wall)
    )
    smooth = {"volume": grid.smooth(volume), "area": grid.smooth(area)}
    curves |= {f"smooth_{name}": values for name, values in smooth.items()}
    nothing = Measurement(status="not measurable", volume_unit=unit, curves=curves)
    beats = grid.beats(volume)
    # With its jumps, the curve of a heart may be twice as rough.
    rough = grid.roughness(curves["volume"]) > 2 * ROUGH or grid.roughness(volume) > ROUGH
    if reason := _why_not(found, grid, rough):
        return dataclasses.replace(nothing, reason=reason)
    if jumps.mean() > MOST_JUMPS:
        reason = f"the volume jumps in {jumps.sum()} of {len(jumps)} frames"
        return dataclasses.replace(nothing, reason=reason)
    if not len(beats.ed):
        return dataclasses.replace(nothing, reason="no complete heart beat was found")
    ed, es = (grid.nearest(positions, ~jumps) for positions in (beats.ed, beats.es))
    edv, esv = smooth["volume"][ed], smooth["volume"][es]
    wall = grid.smooth(wall)
    fractions = ejection_fraction(edv, esv)
    irregularity = beats.irregularity()
    irregular = irregularity > IRREGULAR
    return dataclasses.replace(
        nothing,
        status="irregular" if irregular else "measured",
        reason=f"the intervals between beats vary by {irregularity:.0%}" if irregular else "",
        ed=ed,
        es=es,
        ef=float(fractions.mean()),
        ef_sd=float(fractions.std(ddof=1)) if len(fractions) > 1 else np.nan,
        edv=float(edv.mean()),
        esv=float(esv.mean()),
        fac=float(fractional_area_change(smooth["area"][ed], smooth["area"][es]).mean()),
        strain=float(longitudinal_strain(wall[ed], wall[es]).mean()),
        heart_rate=beats.heart_rate(grid.rate if grid.is_known else None),
    )


def headline(measured: Measurement) -> str:
    """Describe the measures in a line."""
    if not len(measured.ed):
        return f"{measured.status}: {measured.reason}"
    unit = measured.volume_unit
    spread = "" if np.isnan(measured.ef_sd) else f" ± {measured.ef_sd:.1f}"
    rate = "" if np.isnan(measured.heart_rate) else f", {measured.heart_rate:.0f} beats a minute"
    beats = "1 beat" if len(measured.ed) == 1 else f"{len(measured.ed)} beats"
    text = (
        f"EF {measured.ef:.1f}{spread} % over {beats}, EDV {measured.edv:.0f} {unit}, "
        f"ESV {measured.esv:.0f} {unit}{rate}"
    )
    return f"{text}; {measured.status}: {measured.reason}" if measured.reason else text


class _Grid:
    """Equal steps of time over a clip, in which its curves are smoothed and its beats found."""

    def __init__(self, seconds: np.ndarray, rate: float | None) -> None:
        stamped = not np.isnan(seconds).any() and bool((np.diff(seconds) > 0).all())
        if not stamped:
            seconds = np.arange(len(seconds)) / (rate or RATE)
        steps = np.diff(seconds)
        self.gap = float(steps.max(initial=0))
        self.is_known = stamped or rate is not None
        step = max(float(np.median(steps)), _SHORTEST_STEP) if len(steps) else 1 / RATE
        self.rate = 1 / step
        count = 1 + round((seconds[-1] - seconds[0]) / step) if self.gap <= GAP else 1
        self._seconds, self._even = seconds, seconds[0] + step * np.arange(count)

    def smooth(self, curve: np.ndarray) -> np.ndarray:
        """Smooth a curve, (frame,) float, by local parabolas; gaps are filled."""
        window = 2 * round(SMOOTHING * self.rate / 2) + 1
        smooth = savgol_filter(self.resample(curve), max(window, 3), 2, mode="nearest")
        return np.interp(self._seconds, self._even, smooth)

    def jumps(self, curve: np.ndarray) -> np.ndarray:
        """Where a curve, (frame,) float, jumps up and down again; (frame,) bool."""
        reach = max(1, round(JUMP_SECONDS * self.rate / 2))
        around = median_filter(self.resample(curve), 2 * reach + 1, mode="nearest")
        jumped: np.ndarray = curve > JUMP * np.interp(self._seconds, self._even, around)
        return jumped

    def beats(self, curve: np.ndarray) -> Beats:
        """Find beats in a curve, (frame,) float."""
        return find_beats(self.resample(curve), self.rate)

    def roughness(self, curve: np.ndarray) -> float:
        """Standard deviation of a curve from its smoothed curve, as a share of that of the latter.

        NaN for a curve that has no value, and for a constant one.
        """
        smooth = self.beats(curve).curve
        with np.errstate(invalid="ignore", divide="ignore"):
            return float(np.std(self.resample(curve) - smooth) / np.std(smooth))

    def nearest(self, positions: np.ndarray, usable: np.ndarray) -> np.ndarray:
        """Usable frames, (frame,) bool, nearest to positions in the equal steps."""
        frames = np.flatnonzero(usable)
        seconds = self._seconds[frames]
        found: np.ndarray = frames[
            np.searchsorted((seconds[1:] + seconds[:-1]) / 2, self._even[positions])
        ]
        return found

    def resample(self, curve: np.ndarray) -> np.ndarray:
        """Values of a curve, (frame,) float, at equal steps; all NaN if it has none."""
        known = np.flatnonzero(~np.isnan(curve))
        if not len(known):
            return np.full(len(self._even), np.nan)
        return np.interp(self._even, self._seconds[known], curve[known])


def _why_not(found: Segmentation, grid: _Grid, rough: bool) -> str:
    """Why a clip cannot be measured; empty if it can."""
    lost = found.reasons[found.reasons != ""]
    if len(lost) > (1 - FOUND) * len(found.reasons):
        texts, counts = np.unique(lost, return_counts=True)
        return f"{texts[counts.argmax()]} in {counts.max()} of {len(found.reasons)} frames"
    if grid.gap > GAP:
        return f"there are {grid.gap:.2f} s between two frames"
    if rough:
        return "the volume changes more between neighbouring frames than with the heart beat"
    return ""
