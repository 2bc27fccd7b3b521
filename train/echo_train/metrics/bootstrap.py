"""Bootstrap intervals of figures over frames, drawn by video, for `echo_train.metrics.summary`.

A figure is a ratio of sums over frames: of Dice over one a frame for a mean,
of common pixels over all pixels for a pooled Dice. Frames of one video are no
independent samples, so whole videos are drawn.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

RESAMPLINGS = 10_000
"""Bootstrap samples of an interval, as published for EchoNet-Dynamic."""

_AT_ONCE = 4_000_000
"""Videos drawn at a time: 10,000 samples of a large split need not stand in memory at once."""


def bootstrap_intervals(
    numerators: np.ndarray, denominators: np.ndarray, videos: np.ndarray, seed: int = 0
) -> np.ndarray:
    """95 % intervals of ratios of sums, by the percentile bootstrap over videos.

    Parameters
    ----------
    numerators, denominators : ndarray, (figure, frame) float
        Without NaN; a frame that does not count for a figure is 0 in both.
    videos : ndarray, (frame,)
        Which video each frame is of.
    seed : int
        All figures are computed on the same samples.

    Returns
    -------
    intervals : ndarray, (figure, 2) float64
        Low and high; NaN for a figure that no frame counts for.
    """
    intervals = np.full((len(numerators), 2), np.nan)
    counted = denominators.any(axis=1)
    if not counted.any():
        return intervals
    _, group = np.unique(videos, return_inverse=True)
    above, below = (_sums(values[counted], group) for values in (numerators, denominators))
    ratios = []
    for times in _draw(len(above), np.random.default_rng(seed)):
        total = times @ below
        # A sample may hold no frame that counts: it says nothing of the figure.
        ratios.append(
            np.divide(times @ above, total, out=np.full(total.shape, np.nan), where=total > 0)
        )
    intervals[counted] = np.nanpercentile(np.concatenate(ratios), [2.5, 97.5], axis=0).T
    return intervals


def _sums(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Sum of each figure over the frames of each video, (video, figure)."""
    return np.stack([np.bincount(group, weights=row) for row in values], axis=1)


def _draw(videos: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """How often each sample holds each video, (sample, video), in a few pieces."""
    step = max(1, _AT_ONCE // videos)
    for start in range(0, RESAMPLINGS, step):
        samples = min(step, RESAMPLINGS - start)
        drawn = generator.integers(0, videos, (samples, videos))
        drawn += np.arange(samples)[:, None] * videos
        times = np.bincount(drawn.ravel(), minlength=samples * videos)
        yield times.reshape(samples, videos).astype(np.float64)
