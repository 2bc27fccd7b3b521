"""How a measure of many videos agrees with a reference: bias, limits of agreement, classes."""

from __future__ import annotations

import dataclasses

import numpy as np

EF_LIMITS = (40.0, 50.0)
"""Ejection fractions in per cent that separate reduced, mildly reduced and preserved."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Agreement:
    """Agreement of measured values with a reference (Bland, Altman: Lancet 1986, 307-310).

    Attributes
    ----------
    mae, bias, sd : float
        Mean absolute difference, mean difference (measured minus reference), and standard
        deviation of the differences; in the unit of the values, NaN if unknown.
    r : float
        Pearson's correlation.
    n : int
        Number of pairs; those with a NaN do not count.
    """

    mae: float
    bias: float
    sd: float
    r: float
    n: int

    @property
    def limits(self) -> tuple[float, float]:
        """Limits of agreement, between which 95 % of the differences are if they are normal."""
        return self.bias - 1.96 * self.sd, self.bias + 1.96 * self.sd


def agreement(measured: np.ndarray, reference: np.ndarray) -> Agreement:
    """Compare values with a reference, (video,) float each; pairs with a NaN are left out."""
    known = ~(np.isnan(measured) | np.isnan(reference))
    measured, reference = measured[known], reference[known]
    difference, n = measured - reference, int(known.sum())
    varies = n > 1 and np.ptp(measured) > 0 and np.ptp(reference) > 0
    return Agreement(
        mae=float(np.abs(difference).mean()) if n else np.nan,
        bias=float(difference.mean()) if n else np.nan,
        sd=float(difference.std(ddof=1)) if n > 1 else np.nan,
        r=float(np.corrcoef(measured, reference)[0, 1]) if varies else np.nan,
        n=n,
    )


def confusion(measured: np.ndarray, reference: np.ndarray, limit: float) -> dict[str, int]:
    """Count videos below and at least at a limit, by both; pairs with a NaN are left out.

    Returns
    -------
    counts : dict of str to int
        ``both_below``, ``only_measured_below``, ``only_reference_below``, ``both_above``.
    """
    known = ~(np.isnan(measured) | np.isnan(reference))
    first, second = measured[known] < limit, reference[known] < limit
    return {
        "both_below": int((first & second).sum()),
        "only_measured_below": int((first & ~second).sum()),
        "only_reference_below": int((~first & second).sum()),
        "both_above": int((~first & ~second).sum()),
    }
