"""A prior on the positions of a frame's landmarks, computed from the training split.

Each map is decoded alone, without knowing that the apex lies above the mitral
plane. The prior is a Gaussian over all coordinates of a frame's landmarks, by
principal components of the training split. It finds landmarks that do not fit
the others, and moves them and missed ones to the position that the others
predict.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import Tensor

KEPT_VARIANCE = 0.99
"""Share of the variance that the kept components explain."""

MEASUREMENT = 3.0
"""Standard deviation in pixels of a decoded landmark around its true position."""

IMPLAUSIBLE = 2.0
"""Standard deviations from the predicted position beyond which a landmark is moved there.

This and `MEASUREMENT` are the best of a few pairs for 7 and for 11 landmarks on a
validation split, without and with corruptions (docs/landmarks.md).
"""

_ROUNDS = 10

_GROUP = 128
"""Frames of one pass: few enough that BLAS starts no threads, which cost more than the work."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShapePrior:
    """A probabilistic principal component model of the landmarks of a frame.

    Attributes
    ----------
    mean : ndarray, (coordinate,) float64
        x and y of each landmark in turn, in pixels.
    modes : ndarray, (mode, coordinate) float64
        Principal components, each scaled by its standard deviation in pixels.
    residual : float
        Standard deviation in pixels of the part that the modes do not explain.

    References
    ----------
    Cootes et al.: Active Shape Models, 1995; Tipping and Bishop: Probabilistic
    Principal Component Analysis, 1999.
    """

    mean: np.ndarray
    modes: np.ndarray
    residual: float

    def correct(self, points: np.ndarray) -> np.ndarray:
        """Move implausible landmarks and fill in missed ones.

        A landmark's weight is the higher the better it agrees with the others
        (iteratively reweighted Gaussian inference), so that a wrong one does
        not pull them away. A plausible landmark is not changed.

        Parameters
        ----------
        points : ndarray, (frame, landmark, 2) float
            (x, y) in pixels; NaN for a missed landmark.

        Returns
        -------
        corrected : ndarray, (frame, landmark, 2) float
            Without NaN; a frame without any landmark gets the mean shape.
        """
        corrected = points.copy()
        for start in range(0, len(points), _GROUP):
            found = points[start : start + _GROUP]
            seen = ~np.isnan(found).any(axis=2)
            expected, deviations = self._infer(np.where(seen[..., None], found, 0.0), seen)
            implausible = ~seen | (deviations > IMPLAUSIBLE)
            corrected[start : start + _GROUP][implausible] = expected[implausible]
        return corrected

    def to_tensors(self) -> dict[str, Tensor]:
        """Return the prior as tensors for a checkpoint."""
        return {
            "mean": torch.from_numpy(self.mean),
            "modes": torch.from_numpy(self.modes),
            "residual": torch.tensor(self.residual, dtype=torch.float64),
        }

    @classmethod
    def from_tensors(cls, state: dict[str, Tensor]) -> ShapePrior:
        """Make a prior from what `to_tensors` returned.

        Raises
        ------
        KeyError, ValueError
            If the tensors are not those of a prior.
        """
        mean, modes = state["mean"].cpu().numpy(), state["modes"].cpu().numpy()
        if (
            modes.ndim != 2
            or modes.shape[1:] != mean.shape
            or {mean.dtype, modes.dtype} != {np.dtype(np.float64)}
        ):
            raise ValueError("its shape prior has tensors of other shapes or types")
        return cls(mean=mean, modes=modes, residual=float(state["residual"]))

    def _infer(self, found: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Compute each landmark's expected position, and its distance from it in deviations."""
        variance = MEASUREMENT**2 + self.residual**2
        offsets = found.reshape(len(found), -1) - self.mean
        # The normal equations are linear in the weights: one product gives those of all frames.
        count = len(self.modes)
        pairs = (self.modes[:, None] * self.modes).reshape(count * count, -1).T
        weights = seen / variance
        for _ in range(_ROUNDS):
            precision = np.repeat(weights, 2, axis=1)
            systems = np.eye(count) + (precision @ pairs).reshape(-1, count, count)
            right = (precision * offsets) @ self.modes.T
            scores = np.linalg.solve(systems, right[..., None])[..., 0]
            expected = (self.mean + scores @ self.modes).reshape(found.shape)
            squared = ((found - expected) ** 2).sum(axis=2) / variance
            # Cauchy weights: a landmark ten deviations away has 1/26 of the weight.
            weights = seen / (1.0 + squared / 4.0) / variance
        return expected, np.sqrt(squared)


def fit_shape_prior(points: np.ndarray) -> ShapePrior:
    """Compute a prior from the landmarks of the training split.

    Parameters
    ----------
    points : ndarray, (frame, landmark, 2) float
        At least two frames; rows of NaN are not allowed.
    """
    flat = points.reshape(len(points), -1).astype(np.float64)
    mean = flat.mean(axis=0)
    _, singular, components = np.linalg.svd(flat - mean, full_matrices=False)
    variances = singular**2 / max(len(flat) - 1, 1)
    total = variances.sum()
    kept = int(np.searchsorted(np.cumsum(variances), KEPT_VARIANCE * total)) + 1
    kept = min(kept, len(variances))
    left = flat.shape[1] - kept
    residual = float(np.sqrt(variances[kept:].sum() / left)) if left > 0 else 0.0
    modes = components[:kept] * np.sqrt(variances[:kept])[:, None]
    return ShapePrior(mean=mean, modes=modes, residual=residual)
