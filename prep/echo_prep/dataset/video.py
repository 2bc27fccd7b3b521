"""The frames of a video: their size, and the traced ones with each fault as a status of the store.

The size is as FileList.csv lists it, or else as the video says; none is assumed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np

from echo_common.geometry.letterbox import Letterbox
from echo_common.store.schema import STATUSES
from echo_common.video.content import VideoError
from echo_common.video.frame import Frame
from echo_prep.dataset.frame_source import FrameSource, RefusedError
from echo_prep.dataset.types import Dataset

OK, MISSING, REFUSED, UNREADABLE, BEYOND_END, WRONG_SIZE = range(len(STATUSES))
"""Codes of `STATUSES`, in its order."""

FARTHEST = 1024 / 112
"""Largest plausible coordinate, in longer sides of the frame."""

_LEAST_INSIDE = 0.25
"""Share of a contour's points in the frame below which it was traced on another one."""


@dataclasses.dataclass(frozen=True)
class FrameRead:
    """A frame, or the reason why it could not be read.

    Attributes
    ----------
    pixels : ndarray, (height, width) uint8, or None
        Gray values; None if status is not 0.
    status : int
        Code of `echo_common.store.schema.STATUSES`.
    message : str
        Description of the fault; empty if status is 0.
    """

    pixels: np.ndarray | None
    status: int = OK
    message: str = ""


def prepare_process() -> None:
    """Limit OpenCV to one thread in this process: each worker has one core."""
    cv2.setNumThreads(1)


def read_frames(
    source: FrameSource,
    name: str,
    numbers: Sequence[int],
    shape: tuple[int, int],
    target: tuple[int, int] | None = None,
    aspect: float = 1.0,
) -> list[FrameRead]:
    """Read frames of a video as gray images.

    Parameters
    ----------
    name : str
        The video's name without its suffix.
    numbers : sequence of int
        0-based indices into the decoded video, in any order.
    shape : tuple of int
        (height, width) that every frame must have.
    target : tuple of int, optional
        (height, width) to scale the frames to, with black borders; `shape` by default.
    aspect : float
        Height of the frames' pixels by their width.

    Returns
    -------
    reads : list of FrameRead
        One per number; a fault of the file is repeated for each.
    """
    try:
        decoded = source.decode(name, numbers, shape)
    except FileNotFoundError:
        folder, _, file = source.where(name).rpartition("/")
        message = f"there is no {file} in {folder or source.path.name}/"
        return [FrameRead(None, MISSING, message)] * len(numbers)
    except RefusedError as error:
        return [FrameRead(None, REFUSED, str(error))] * len(numbers)
    except VideoError as error:
        return [FrameRead(None, UNREADABLE, str(error))] * len(numbers)
    except OSError as error:
        message = f"the file cannot be opened: {error.strerror}"
        return [FrameRead(None, UNREADABLE, message)] * len(numbers)
    box = Letterbox.of(shape, target or shape, aspect)
    return [
        _frame_read(decoded.frames[number], box)
        if number in decoded.frames
        else _absent(number, decoded.count, decoded.ending)
        for number in numbers
    ]


def _frame_read(frame: Frame, box: Letterbox) -> FrameRead:
    if frame.other_shape is not None:
        height, width = frame.other_shape
        expected = f"{box.size[1]}x{box.size[0]}"
        message = f"the frames are {width}x{height}, and the data set's {expected}"
        return FrameRead(None, WRONG_SIZE, message)
    if frame.pixels is None:
        return FrameRead(None, UNREADABLE, frame.fault)
    return FrameRead(box.shrink(frame.pixels))


def _absent(number: int, count: int, ending: str) -> FrameRead:
    if ending:
        return FrameRead(None, UNREADABLE, f"{ending}, before frame {number}")
    if not count:
        return FrameRead(None, BEYOND_END, "the video has no frame")
    message = f"frame {number} is traced, and the video has frames 0 to {count - 1}"
    return FrameRead(None, BEYOND_END, message)


def frame_shapes(dataset: Dataset, source: FrameSource) -> dict[str, tuple[int, int]]:
    """Find the size of the frames of each video.

    A listed size that the traces do not fit, such as the one that the video had
    before it was exported again, is checked against the video itself.

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
    """Reason and message if a contour does not belong to a frame; None if it does.

    Parameters
    ----------
    contour : ndarray, (point, 2) float64
    shape : tuple of int
        (height, width) of the frame.
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
