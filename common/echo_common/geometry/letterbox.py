"""Scale frames of any size into one size, with their aspect ratio, and points with them."""

from __future__ import annotations

import dataclasses
from typing import Self

import cv2
import numpy as np


@dataclasses.dataclass(frozen=True, kw_only=True)
class Letterbox:
    """Where a frame is in an image of another size, such as a network's input.

    Attributes
    ----------
    size : tuple of int
        (height, width) of the frame.
    target : tuple of int
        (height, width) of the image.
    inner : tuple of int
        (height, width) of the scaled frame: as large as fits, with its aspect ratio.
    offset : tuple of int
        (y, x) of its upper left pixel in the image; the rest of the image is black.
    """

    size: tuple[int, int]
    target: tuple[int, int]
    inner: tuple[int, int]
    offset: tuple[int, int]

    @classmethod
    def of(cls, size: tuple[int, int], target: tuple[int, int], aspect: float = 1.0) -> Self:
        """Centre frames of a size in the image; frames of the image's size are not changed.

        Parameters
        ----------
        size, target : tuple of int
            (height, width) of the frame and of the image.
        aspect : float
            Height of the frame's pixels by their width; those of the image are square.
        """
        height = size[0] * aspect
        scale = min(target[0] / height, target[1] / size[1])
        inner = (
            min(target[0], max(1, round(height * scale))),
            min(target[1], max(1, round(size[1] * scale))),
        )
        offset = ((target[0] - inner[0]) // 2, (target[1] - inner[1]) // 2)
        return cls(size=size, target=target, inner=inner, offset=offset)

    def shrink(self, image: np.ndarray) -> np.ndarray:
        """Scale a frame, (y, x) uint8, to the image's size."""
        if self.inner != self.size:
            shrinks = self.inner[0] < self.size[0]
            interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            image = np.asarray(cv2.resize(image, self.inner[::-1], interpolation=interpolation))
        fitted = np.zeros(self.target, dtype=np.uint8)
        fitted[self.box] = image
        return fitted

    def shrink_mask(self, mask: np.ndarray) -> np.ndarray:
        """Scale a mask, (y, x) uint8 of 0 and 1: pixels that are at least half inside are 1."""
        return np.asarray(self.shrink(mask * np.uint8(254)) >= 127).astype(np.uint8)

    def shrink_points(self, points: np.ndarray) -> np.ndarray:
        """Convert points, (…, 2) as (x, y), from the frame to the image; float64."""
        corner = np.array(self.offset[::-1], dtype=np.float64)
        # Each side has a whole number of pixels, so the two factors differ a little.
        factor = np.array(self.inner[::-1]) / np.array(self.size[::-1])
        return (np.asarray(points) + 0.5) * factor - 0.5 + corner

    def enlarge_points(self, points: np.ndarray) -> np.ndarray:
        """Convert points, (…, 2) as (x, y), from the image to the frame; float32."""
        corner = np.array(self.offset[::-1], dtype=np.float64)
        factor = np.array(self.size[::-1]) / np.array(self.inner[::-1])
        # Pixel centres are at integers, so the image's edge is at -0.5.
        return ((points - corner + 0.5) * factor - 0.5).astype(np.float32)

    @property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns of the image that the frame takes."""
        (y, x), (height, width) = self.offset, self.inner
        return slice(y, y + height), slice(x, x + width)
