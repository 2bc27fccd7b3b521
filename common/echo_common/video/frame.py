"""A frame of a video, as every reader of videos returns it, and its gray values."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

LARGEST_SIDE = 8192
"""Pixels; a frame that claims a larger side is not decoded."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Frame:
    """A frame of a video, or the reason why it could not be read.

    Attributes
    ----------
    number : int
        From 0, in order of display.
    seconds : float or None
        Time stamp, from the first frame; None if the file has none.
    pixels : ndarray, (height, width) uint8, or None
        Gray values; None if there is a fault.
    fault : str
        Description of the fault; empty if there is none.
    other_shape : tuple of int or None
        (height, width) if the fault is that the frame has another shape.
    """

    number: int
    seconds: float | None
    pixels: np.ndarray | None = None
    fault: str = ""
    other_shape: tuple[int, int] | None = None

    @classmethod
    def of_other_shape(
        cls, number: int, seconds: float | None, found: tuple[int, int], shape: tuple[int, int]
    ) -> Frame:
        """A frame that was not decoded, since it is not of the expected (height, width)."""
        fault = f"frame {number} is {found[1]}x{found[0]}, not {shape[1]}x{shape[0]}"
        return cls(number=number, seconds=seconds, fault=fault, other_shape=found)


def to_gray(pixels: np.ndarray) -> np.ndarray:
    """Convert a decoded frame to gray values.

    Parameters
    ----------
    pixels : ndarray, (height, width) or (height, width, 3) uint8
        Colours in OpenCV's order: blue, green, red.

    Returns
    -------
    gray : ndarray, (height, width) uint8
        The luma of ITU-R BT.601, as `cv2.cvtColor` computes it.
    """
    gray = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    return np.asarray(gray, dtype=np.uint8)
