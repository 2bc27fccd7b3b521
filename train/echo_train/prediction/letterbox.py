"""Frames of any size, fitted into the size that a model was trained on, and back."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
from torch import Tensor
from torch.nn import functional


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fit:
    """Where a frame lies in the image that the network sees.

    Attributes
    ----------
    size : tuple of int
        (height, width) of the frame.
    target : tuple of int
        (height, width) of what the network sees.
    inner : tuple of int
        (height, width) of the frame in there: as large as fits, its sides in
        their proportion.
    offset : tuple of int
        (y, x) of its upper left pixel; black lies around it.
    """

    size: tuple[int, int]
    target: tuple[int, int]
    inner: tuple[int, int]
    offset: tuple[int, int]

    @classmethod
    def of(cls, size: tuple[int, int], target: tuple[int, int]) -> Fit:
        """Fit frames of a size, centred; those of the right size are left as they are."""
        scale = min(target[0] / size[0], target[1] / size[1])
        inner = (
            min(target[0], max(1, round(size[0] * scale))),
            min(target[1], max(1, round(size[1] * scale))),
        )
        offset = ((target[0] - inner[0]) // 2, (target[1] - inner[1]) // 2)
        return cls(size=size, target=target, inner=inner, offset=offset)

    def shrink(self, image: np.ndarray) -> np.ndarray:
        """Scale a frame, (y, x) uint8, to what the network sees."""
        if self.inner != self.size:
            smaller = self.inner[0] < self.size[0]
            how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
            image = np.asarray(cv2.resize(image, self.inner[::-1], interpolation=how))
        fitted = np.zeros(self.target, dtype=np.uint8)
        fitted[self._box()] = image
        return fitted

    def enlarge(self, logits: Tensor) -> Tensor:
        """Scale logits, (frame, channel, y, x), back to the frame's size."""
        rows, columns = self._box()
        inner = logits[:, :, rows, columns]
        if self.inner == self.size:
            return inner
        return functional.interpolate(inner, self.size, mode="bilinear", align_corners=False)

    def enlarge_points(self, points: np.ndarray) -> np.ndarray:
        """Move points, (frame, point, 2) as (x, y), to where they are in the frame."""
        corner = np.array(self.offset[::-1], dtype=np.float64)
        factor = np.array(self.size[::-1]) / np.array(self.inner[::-1])
        # Pixel centres are at integers, so the image's edge is at -0.5.
        return ((points - corner + 0.5) * factor - 0.5).astype(np.float32)

    def _box(self) -> tuple[slice, slice]:
        (y, x), (height, width) = self.offset, self.inner
        return slice(y, y + height), slice(x, x + width)
