"""Scale frames of any size to the size of a model's input, and predictions back."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
from torch import Tensor
from torch.nn import functional


@dataclasses.dataclass(frozen=True, kw_only=True)
class Letterbox:
    """Where a frame is in the network's input.

    Attributes
    ----------
    size : tuple of int
        (height, width) of the frame.
    target : tuple of int
        (height, width) of the input.
    inner : tuple of int
        (height, width) of the scaled frame: as large as fits, with its aspect ratio.
    offset : tuple of int
        (y, x) of its upper left pixel in the input; the rest of the input is black.
    """

    size: tuple[int, int]
    target: tuple[int, int]
    inner: tuple[int, int]
    offset: tuple[int, int]

    @classmethod
    def of(cls, size: tuple[int, int], target: tuple[int, int]) -> Letterbox:
        """Centre frames of a size in the input; frames of the input's size are not changed."""
        scale = min(target[0] / size[0], target[1] / size[1])
        inner = (
            min(target[0], max(1, round(size[0] * scale))),
            min(target[1], max(1, round(size[1] * scale))),
        )
        offset = ((target[0] - inner[0]) // 2, (target[1] - inner[1]) // 2)
        return cls(size=size, target=target, inner=inner, offset=offset)

    def shrink(self, image: np.ndarray) -> np.ndarray:
        """Scale a frame, (y, x) uint8, to the input's size."""
        if self.inner != self.size:
            shrinks = self.inner[0] < self.size[0]
            interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            image = np.asarray(cv2.resize(image, self.inner[::-1], interpolation=interpolation))
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
        """Convert points, (frame, point, 2) as (x, y), from the input to the frame."""
        corner = np.array(self.offset[::-1], dtype=np.float64)
        factor = np.array(self.size[::-1]) / np.array(self.inner[::-1])
        # Pixel centres are at integers, so the image's edge is at -0.5.
        return ((points - corner + 0.5) * factor - 0.5).astype(np.float32)

    def _box(self) -> tuple[slice, slice]:
        (y, x), (height, width) = self.offset, self.inner
        return slice(y, y + height), slice(x, x + width)
