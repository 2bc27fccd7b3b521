"""Sizes of frames: as FileList.csv lists them, or else as the videos say; none is assumed."""

from __future__ import annotations

import numpy as np

from echo_common.video.content import VideoError
from echo_prep.dataset.frame_source import FrameSource, RefusedError
from echo_prep.dataset.types import Dataset

FARTHEST = 1024 / 112
"""Largest plausible coordinate, in longer sides of the frame."""

_LEAST_INSIDE = 0.25
"""Share of a contour's points in the frame below which it was traced on another one."""


def frame_shapes(dataset: Dataset, source: FrameSource) -> dict[str, tuple[int, int]]:
    """Find the size of the frames of each video.

    A listed size that the traces do not fit, such as the one that the video had
    before it was exported again, is checked against the video itself.

    Parameters
    ----------
    dataset : Dataset
    source : FrameSource

    Returns
    -------
    shapes : dict of str to tuple of int
        (height, width) by name. A video that is not listed with a size and
        cannot be read is left out.
    """
    shapes = {}
    for video in dataset.videos:
        shape = video.shape
        traces = dataset.traces[video.name]
        if shape is None or any(misplaced(trace.contour, shape) for trace in traces):
            shape = _measured_shape(source, video.name) or shape
        if shape is not None:
            shapes[video.name] = shape
    return shapes


def misplaced(contour: np.ndarray, shape: tuple[int, int]) -> tuple[str, str] | None:
    """Tell why a contour does not belong to a frame; None if it does.

    Parameters
    ----------
    contour : ndarray, (point, 2) float64
    shape : tuple of int
        (height, width) of the frame.

    Returns
    -------
    reason, message : str
    """
    height, width = shape
    far = np.abs(contour).max()
    if far > FARTHEST * max(height, width):
        return "coordinates", f"a coordinate is {far:.3g} px away"
    inside = (contour >= -0.5).all(axis=1) & (contour <= [width - 0.5, height - 0.5]).all(axis=1)
    if inside.mean() < _LEAST_INSIDE:
        return "outside", f"the contour is outside the {width}x{height} frame"
    return None


def _measured_shape(source: FrameSource, name: str) -> tuple[int, int] | None:
    try:
        return source.shape(name)
    except (OSError, RefusedError, VideoError):
        # Its frames cannot be read either, and are rejected with the reason.
        return None
