"""Clinical measures of videos, predicted against traced: ejection fraction, volumes, lengths.

End-diastole and end-systole are the traced frames, so errors are those of the contours alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from echo_common.measures.agreement import EF_LIMITS, agreement, confusion
from echo_common.measures.ventricle import (
    corrected_volume,
    ejection_fraction,
    fractional_area_change,
)
from echo_common.store import schema
from echo_common.tables import fixed
from echo_train.data.frame_set import FrameSet
from echo_train.metrics.bootstrap import bootstrap_intervals

Measured = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Area, length and volume, (frame,) float64 each, in powers of pixels."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class VideoMeasures:
    """Measures of the videos that are traced at end-diastole and at end-systole.

    Attributes
    ----------
    video : ndarray, (video,) str
    group : ndarray, (video,) str
        Patient of the video, or its own name if the patient is unknown.
    area, length, volume : ndarray, (video, 2, 2) float64
        Predicted and traced, each at end-diastole and at end-systole, in powers of pixels; NaN
        if nothing was predicted. Short-axis views have an area alone.
    listed_ef : ndarray, (video,) float64
        Ejection fraction in the archive's list, in per cent; NaN if unknown.
    correction : float or None
        Exponent by which the predicted end-systolic volumes were corrected.
    """

    video: np.ndarray
    group: np.ndarray
    area: np.ndarray
    length: np.ndarray
    volume: np.ndarray
    listed_ef: np.ndarray
    correction: float | None = None

    def exponent(self) -> float:
        """Exponent of `corrected_volume` that suits most videos; NaN without any.

        It is the median over the videos, since a mask in a wrong place decides a least-squares fit.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            kept = np.log(self.volume[:, :, 1] / self.volume[:, :, 0])
        predicted, traced = kept[np.isfinite(kept).all(axis=1) & (kept[:, 0] < 0)].T
        return float(np.median(traced / predicted)) if len(predicted) else np.nan

    def corrected(self, exponent: float) -> VideoMeasures:
        """Correct the predicted end-systolic volumes by an exponent of other videos."""
        volume = self.volume.copy()
        volume[:, 0, 1] = corrected_volume(volume[:, 0, 1], volume[:, 0, 0], exponent)
        return dataclasses.replace(self, volume=volume, correction=exponent)

    def ef(self) -> tuple[np.ndarray, np.ndarray]:
        """Ejection fractions in per cent, predicted and traced, (video,) float64 each."""
        return _fractions(ejection_fraction, self.volume)

    def fac(self) -> tuple[np.ndarray, np.ndarray]:
        """Fractional area changes in per cent, predicted and traced, (video,) float64 each."""
        return _fractions(fractional_area_change, self.area)

    def summary(self) -> dict[str, Any]:
        """Agreement with the tracings for summary.json.

        Ejection fraction and fractional area change are in percentage points, volumes in per cent
        of the traced volume, lengths in pixels.
        """
        ef, traced_ef = self.ef()
        errors = 100 * (self.volume[:, 0] / self.volume[:, 1] - 1)
        table = {
            "ef": {
                **self._agreement(ef, traced_ef),
                "correction": self.correction,
                "exponent": self.exponent(),
                "listed": self._agreement(ef, self.listed_ef),
                "traced_listed": self._agreement(traced_ef, self.listed_ef),
                **{f"below_{limit:.0f}": confusion(ef, traced_ef, limit) for limit in EF_LIMITS},
            },
            "fac": self._agreement(*self.fac()),
        }
        for name, values in (("edv", errors[:, 0]), ("esv", errors[:, 1])):
            table[name] = self._agreement(values, np.zeros(len(values)))
        for phase, name in enumerate(("ed_length", "es_length")):
            table[name] = self._agreement(self.length[:, 0, phase], self.length[:, 1, phase])
        return table

    def rows(self) -> list[list[Any]]:
        """List the rows of videos.csv, a video each, after its columns."""
        columns: dict[str, list[Any]] = {"video": self.video.tolist()}
        ef, traced_ef = self.ef()
        values = {"ef": ef, "traced_ef": traced_ef, "listed_ef": self.listed_ef}
        values |= dict(zip(("fac", "traced_fac"), self.fac(), strict=True))
        for phase, letters in enumerate(("ed", "es")):
            for kind, prefix in enumerate(("", "traced_")):
                values[f"{prefix}{letters}v_px3"] = self.volume[:, kind, phase]
                values[f"{prefix}{letters}_length_px"] = self.length[:, kind, phase]
        if self.correction is not None:
            values["correction"] = np.full(len(ef), self.correction)
        columns |= {name: [fixed(value, 3) for value in cells] for name, cells in values.items()}
        return [list(columns), *(list(row) for row in zip(*columns.values(), strict=True))]

    def _agreement(self, measured: np.ndarray, reference: np.ndarray) -> dict[str, Any]:
        """Agreement as a table, with 95 % intervals of MAE and bias over patients or videos."""
        found = agreement(measured, reference)
        difference = measured - reference
        known = ~np.isnan(difference)
        above = np.where(known, [np.abs(difference), difference], 0.0)
        mae, bias = bootstrap_intervals(above, np.stack([known, known]).astype(float), self.group)
        return {
            **dataclasses.asdict(found),
            "limits": list(found.limits),
            "mae_ci95": mae.tolist(),
            "bias_ci95": bias.tolist(),
        }


def pair_frames(
    frames: FrameSet, index: np.ndarray, predicted: Measured, traced: Measured
) -> VideoMeasures:
    """Find the end-diastolic and the end-systolic frame of each video; others are left out.

    Parameters
    ----------
    index : ndarray, (frame,) int64
        Which frames of the set were measured.
    """
    video, phase = frames.video[index], frames.phase[index]
    diastole, systole = (
        dict(zip(video[rows].tolist(), rows.tolist(), strict=True))
        for rows in (np.flatnonzero(phase == schema.PHASES.index(name)) for name in ("ED", "ES"))
    )
    names = [name for name in diastole if name in systole]
    pairs = np.array([[diastole[name], systole[name]] for name in names], dtype=np.int64)
    pairs = pairs.reshape(-1, 2)
    area, length, volume = (
        np.stack([first[pairs], second[pairs]], axis=1)
        for first, second in zip(predicted, traced, strict=True)
    )
    return VideoMeasures(
        video=np.array(names, dtype=object),
        group=frames.groups[index][pairs[:, 0]],
        area=area,
        length=length,
        volume=volume,
        listed_ef=frames.ef[index][pairs[:, 0]].astype(np.float64),
    )


def _fractions(
    fraction: Callable[[np.ndarray, np.ndarray], np.ndarray], values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    return fraction(values[:, 0, 0], values[:, 0, 1]), fraction(values[:, 1, 0], values[:, 1, 1])
