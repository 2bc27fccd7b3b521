"""Bootstrap intervals of metrics over frames, for `echo_train.metrics.results`.

A metric is a ratio of sums over frames: the sum of the Dice over the number of frames for the mean
Dice, common pixels over all pixels for the pooled Dice. Frames of one video are not independent, so
whole videos are resampled.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

RESAMPLINGS = 10_000
"""Bootstrap samples for an interval, as in the EchoNet-Dynamic paper."""

_GROUP_VIDEOS = 4_000_000
"""Videos drawn at a time, which limits the memory that 10,000 samples of a large split take."""


def bootstrap_intervals(
    numerators: np.ndarray, denominators: np.ndarray, videos: np.ndarray, seed: int = 0
) -> np.ndarray:
    """95 % intervals of ratios of sums, by the percentile bootstrap over videos.

    Parameters
    ----------
    numerators, denominators : ndarray, (metric, frame) float
        Without NaN; 0 in both for a frame without the metric.
    videos : ndarray, (frame,)
        The video of each frame.
    seed : int
        All metrics use the same samples.

    Returns
    -------
    intervals : ndarray, (metric, 2) float64
        Low and high; NaN for a metric that no frame has.
    """
    intervals = np.full((len(numerators), 2), np.nan)
    known = denominators.any(axis=1)
    if not known.any():
        return intervals
    _, group = np.unique(videos, return_inverse=True)
    above, below = (_sums(values[known], group) for values in (numerators, denominators))
    ratios = []
    for times in _draw(len(above), np.random.default_rng(seed)):
        total = times @ below
        # A sample without any frame that has the metric is ignored.
        ratios.append(
            np.divide(times @ above, total, out=np.full(total.shape, np.nan), where=total > 0)
        )
    intervals[known] = np.nanpercentile(np.concatenate(ratios), [2.5, 97.5], axis=0).T
    return intervals


def _sums(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Sum of each metric over the frames of each video, (video, metric)."""
    return np.stack([np.bincount(group, weights=row) for row in values], axis=1)


def _draw(videos: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """How often each sample contains each video, (sample, video), in groups of samples."""
    step = max(1, _GROUP_VIDEOS // videos)
    for start in range(0, RESAMPLINGS, step):
        samples = min(step, RESAMPLINGS - start)
        drawn = generator.integers(0, videos, (samples, videos))
        drawn += np.arange(samples)[:, None] * videos
        times = np.bincount(drawn.ravel(), minlength=samples * videos)
        yield times.reshape(samples, videos).astype(np.float64)
