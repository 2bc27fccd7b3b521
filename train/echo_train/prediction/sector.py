"""The scan sector of a clip: what the network sees, and what pictures show of a frame."""

from __future__ import annotations

import dataclasses
from typing import Self

import cv2
import numpy as np

SMALLEST = 160
"""Pixels; frames whose longer side is shorter have no room for text, and show the sector alone."""

LIT, BRIGHT = 24, 64
"""Gray values above which a pixel is not black, and may belong to text."""

_DENSE = 0.25
"""Share of lit pixels around a pixel of the sector."""

_REACH = 0.02
"""Distance across which lit pixels belong together, as a share of the frame's shorter side."""

_MOVING = 0.05
"""Least motion of a part of the sector, as a share of that of the part with the most."""

_ALONE = 0.001
"""Share of bright pixels outside the sector up to which a frame shows the sector alone."""

_FILLS = 0.8
"""Share of a side of the frame from which on a sector alone is not cropped."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sector:
    """A part of the frames.

    Attributes
    ----------
    x, y : int
        Upper left pixel.
    mask : ndarray, (height, width) bool
        Pixels of the sector in its box.
    """

    x: int
    y: int
    mask: np.ndarray

    @classmethod
    def of_box(cls, box: tuple[int, int, int, int]) -> Self:
        """All pixels of a box of x, y, width and height."""
        x, y, width, height = box
        return cls(x=x, y=y, mask=np.ones((height, width), bool))

    @property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns of the frame."""
        height, width = self.mask.shape
        return slice(self.y, self.y + height), slice(self.x, self.x + width)

    def cut(self, images: np.ndarray) -> np.ndarray:
        """Crop frames, (…, y, x) uint8, to the sector, black around it."""
        return images[(..., *self.box)] * self.mask

    def paste(self, mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Place a mask of the box, (y, x) uint8, in a frame of a shape."""
        pasted = np.zeros(shape, mask.dtype)
        pasted[self.box] = mask
        return pasted

    def outline(self, image: np.ndarray, keep_text: bool) -> np.ndarray:
        """Draw the box over a frame, (y, x) uint8, that is black outside the sector; (y, x, 3)."""
        shape = (image.shape[0], image.shape[1])
        shown = image if keep_text else self.paste(self.cut(image), shape)
        canvas = cv2.cvtColor(shown, cv2.COLOR_GRAY2BGR)
        height, width = self.mask.shape
        corner = (self.x + width - 1, self.y + height - 1)
        return np.asarray(cv2.rectangle(canvas, (self.x, self.y), corner, (54, 90, 255), 2))


def find_sector(
    images: np.ndarray, region: tuple[int, int, int, int] | None = None
) -> Sector | None:
    """Find the scan sector among text, an ECG trace and a colour bar.

    None if the frames show the sector alone, or nothing moves.

    The sector is what the convex hull of the dense and moving parts of the frames encloses. Text
    and colour bars hardly move, and lines are not dense.

    Parameters
    ----------
    images : ndarray, (frame, y, x) uint8
        Some frames of a clip.
    region : tuple of int, optional
        Where to look, as x, y, width and height; this box is the sector if nothing is found in it.
    """
    if region is not None:
        box = Sector.of_box(region)
        inner = find_sector(box.cut(images)) or dataclasses.replace(box, x=0, y=0)
        return dataclasses.replace(inner, x=box.x + inner.x, y=box.y + inner.y)
    height, width = images.shape[1:]
    if max(height, width) < SMALLEST:
        return None
    highest = images.max(axis=0)
    lit, motion = highest > LIT, np.ptp(images, axis=0).astype(np.float64)
    reach = max(1, round(_REACH * min(height, width)))
    size = (2 * reach + 1, 2 * reach + 1)
    dense = cv2.boxFilter(lit.astype(np.float32), -1, size, borderType=cv2.BORDER_REPLICATE)
    count, labels = cv2.connectedComponents((dense > _DENSE).astype(np.uint8))
    moving = np.bincount(labels.ravel(), weights=motion.ravel(), minlength=count)
    moving[0] = 0
    if not moving.any():
        return None
    part = ((moving >= _MOVING * moving.max())[labels] & lit).astype(np.uint8)
    # A line that reaches into the sector is thinner than what opening leaves.
    for operation in (cv2.MORPH_CLOSE, cv2.MORPH_OPEN):
        part = cv2.morphologyEx(part, operation, np.ones(size, np.uint8)).astype(np.uint8)
    points = cv2.findNonZero(part)
    if points is None:
        return None
    hull = np.zeros((height, width), np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(points), (1,))
    # Opening has cut the apex.
    hull = np.asarray(cv2.dilate(hull, np.ones((reach, reach), np.uint8)))
    x, y, box_width, box_height = cv2.boundingRect(hull)
    near = cv2.dilate(hull, np.ones((2 * size[0] + 1, 2 * size[1] + 1), np.uint8))
    alone = ((highest > BRIGHT) & (near == 0)).mean() <= _ALONE
    if alone and (box_width >= _FILLS * width or box_height >= _FILLS * height):
        return None
    return Sector(x=x, y=y, mask=hull[y : y + box_height, x : x + box_width] > 0)
