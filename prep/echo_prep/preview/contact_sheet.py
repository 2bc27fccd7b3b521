"""Drawing with OpenCV on enlarged frames, and the sheet that they are set out on.

`echo_prep.preview.preview` says what is drawn. Colours are (red, green, blue), uint8.
"""

from __future__ import annotations

import cv2
import numpy as np

from echo_common.errors import SettingsError

Colour = tuple[int, int, int]

CONTOUR: Colour = (53, 208, 127)
AXIS: Colour = (255, 209, 102)
MASK: Colour = (64, 156, 255)
BAND: Colour = (255, 138, 61)
LANDMARK: Colour = (255, 70, 85)
PAPER: Colour = (22, 26, 32)
INK: Colour = (236, 240, 244)

MAX_PIXELS = 1 << 26
"""Largest sheet, in pixels: 200 MB in memory, and about what viewers of pictures still open."""

_SHIFT = 4
"""Bits behind the point in OpenCV's coordinates: lines are placed to a sixteenth of a pixel."""

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_UNIT = 336
"""Width in pixels of a tile whose text has a size of 1."""


def tint(image: np.ndarray, region: np.ndarray, colour: Colour, share: float) -> np.ndarray:
    """Colour a region of a frame, the frame shining through.

    Parameters
    ----------
    image : ndarray, (height, width) uint8
    region : ndarray, (height, width) uint8
        Not 0 where the colour goes.
    colour : tuple of int
    share : float
        Of the colour in the mixture.

    Returns
    -------
    tinted : ndarray, (height, width, 3) uint8
    """
    gray = np.repeat(image[:, :, None], 3, axis=2)
    mixed = np.rint((1 - share) * gray + share * np.array(colour)).astype(np.uint8)
    return np.where(region[:, :, None] != 0, mixed, gray)


def overlay_heat(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Lay a heatmap over a darkened frame: from violet, near 0, to pale yellow at the peak.

    Parameters
    ----------
    image, heat : ndarray, (height, width) uint8

    Returns
    -------
    coloured : ndarray, (height, width, 3) uint8
        The frame alone where the heatmap is 0.
    """
    # Above 40 of 255 the colour map's violet stands out from the frame.
    levels = np.where(heat > 0, 40 + heat.astype(np.float64) * (215 / 255), 0)
    colours = cv2.applyColorMap(np.rint(levels).astype(np.uint8), cv2.COLORMAP_INFERNO)[:, :, ::-1]
    dark = np.repeat((image // 2)[:, :, None], 3, axis=2)
    return np.where(heat[:, :, None] > 0, colours, dark)


def enlarge(image: np.ndarray, scale: int) -> np.ndarray:
    """Make a tile of a frame: each pixel a square of `scale` by `scale`, in colour.

    Parameters
    ----------
    image : ndarray, (height, width) or (height, width, 3) uint8
    scale : int

    Returns
    -------
    tile : ndarray, (height * scale, width * scale, 3) uint8
    """
    coloured = image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)
    return np.ascontiguousarray(coloured.repeat(scale, axis=0).repeat(scale, axis=1))


def draw_line(
    tile: np.ndarray, points: np.ndarray, scale: int, colour: Colour, closed: bool = True
) -> None:
    """Join points of a frame by straight lines on its tile, in place."""
    place = _placed(points, scale).astype(np.int32)[:, None, :]
    thick = max(1, round(1.6 * tile.shape[1] / _UNIT))
    cv2.polylines(tile, [place], closed, colour, thick, cv2.LINE_AA, _SHIFT)


def draw_dots(
    tile: np.ndarray, points: np.ndarray, scale: int, colour: Colour, size: float
) -> None:
    """Draw a dot for each point of a frame on its tile, in place; `size` is a radius."""
    radius = round(max(1.5, size * tile.shape[1] / _UNIT) * (1 << _SHIFT))
    for x, y in _placed(points, scale).tolist():
        cv2.circle(tile, (x, y), radius, colour, -1, cv2.LINE_AA, _SHIFT)


def draw_numbers(tile: np.ndarray, points: np.ndarray, scale: int) -> None:
    """Number points of a frame from 0 on its tile, in place, outside the shape that they make."""
    unit = tile.shape[1] / _UNIT
    radius = max(6, round(9 * unit))
    # Numbers of landmarks at the image's edge stay inside.
    highest = np.array(tile.shape[1::-1]) - radius - 1
    middle = points.mean(axis=0)
    taken: list[np.ndarray] = []
    for number, point in enumerate(points):
        outward = (point - middle) / max(float(np.linalg.norm(point - middle)), 1e-6)
        # Where landmarks crowd, the next number stands farther out, if there is room.
        for away in (1.9 * radius, 4.0 * radius, 6.1 * radius, 1.9 * radius):
            centre = np.clip((point + 0.5) * scale - 0.5 + away * outward, radius, highest)
            if all(np.linalg.norm(centre - other) >= 1.7 * radius for other in taken):
                break
        taken.append(centre)
        x, y = np.rint(centre).astype(int).tolist()
        cv2.circle(tile, (x, y), radius, PAPER, -1, cv2.LINE_AA)
        size = 0.48 * unit
        (width, height), _ = cv2.getTextSize(str(number), _FONT, size, 1)
        _write(tile, str(number), x - width // 2, y + (height + 1) // 2, size)


def _placed(points: np.ndarray, scale: int) -> np.ndarray:
    # A pixel's centre is at a whole number, and its square on the tile has `scale` pixels.
    inside = np.clip((points + 0.5) * scale - 0.5, -(1 << 20), 1 << 20)
    return np.rint(inside * (1 << _SHIFT)).astype(np.int64)


def _write(image: np.ndarray, text: str, left: int, bottom: int, size: float) -> None:
    cv2.putText(image, text, (left, bottom), _FONT, size, INK, max(1, round(size)), cv2.LINE_AA)


class Layout:
    """Where the tiles of a sheet stand: blocks, each a heading over a grid of labelled tiles.

    Blocks of few tiles stand side by side; blocks of more tiles than the sheet
    has columns are wrapped.

    Parameters
    ----------
    panels : int
        Number of tiles a block.
    tile : tuple of int
        (height, width) of a tile in pixels.
    columns : int
        Tiles side by side, at most.
    """

    def __init__(self, panels: int, tile: tuple[int, int], columns: int) -> None:
        self.panels, self.tile = panels, tile
        self.across = min(panels, columns)
        self.abreast = max(1, columns // self.across)
        unit = tile[1] / _UNIT
        self.gap = max(4, round(6 * unit))
        self.strip = max(14, round(28 * unit))
        self.block = (
            self.strip + -(-panels // self.across) * (self.strip + tile[0]) + 2 * self.gap,
            self.across * (tile[1] + self.gap) + self.gap,
        )

    def size(self, blocks: int) -> tuple[int, int]:
        """(height, width) of a sheet of so many blocks."""
        return (
            -(-blocks // self.abreast) * self.block[0] + self.gap,
            min(blocks, self.abreast) * self.block[1] + self.gap,
        )

    def fits(self, blocks: int) -> bool:
        """Whether a sheet of so many blocks has at most `MAX_PIXELS`."""
        height, width = self.size(blocks)
        return height * width <= MAX_PIXELS

    def block_corner(self, block: int) -> tuple[int, int]:
        """(y, x) of a block's first pixel."""
        line, column = divmod(block, self.abreast)
        return self.gap + line * self.block[0], self.gap + column * self.block[1]

    def corner(self, block: int, panel: int) -> tuple[int, int]:
        """(y, x) of a tile's first pixel; its label is in the strip above."""
        top, left = self.block_corner(block)
        line, column = divmod(panel, self.across)
        return (
            top + self.strip + line * (self.strip + self.tile[0]) + self.strip,
            left + column * (self.tile[1] + self.gap),
        )


class Sheet:
    """A contact sheet that is filled tile by tile.

    Parameters
    ----------
    layout : Layout
    blocks : int

    Attributes
    ----------
    image : ndarray, (height, width, 3) uint8

    Raises
    ------
    SettingsError
        If the sheet would have more than `MAX_PIXELS`.
    """

    def __init__(self, layout: Layout, blocks: int) -> None:
        height, width = layout.size(blocks)
        if not layout.fits(blocks):
            raise SettingsError(
                f"the sheet would have {width}x{height} pixels, and {MAX_PIXELS / 1e6:.0f} "
                f"megapixels are the most: {blocks} frames of {layout.panels} panels of "
                f"{layout.tile[1]}x{layout.tile[0]} pixels; show fewer frames or panels, or take "
                "a smaller --scale"
            )
        self.layout = layout
        self.image = np.full((height, width, 3), PAPER, dtype=np.uint8)

    def head(self, block: int, text: str) -> None:
        """Write a block's heading."""
        top, left = self.layout.block_corner(block)
        self._write_strip(text, top, left, self.layout.block[1] - 2 * self.layout.gap, 0.64)

    def paste(self, block: int, panel: int, label: str, tile: np.ndarray) -> None:
        """Put a tile in its place, with its label above."""
        top, left = self.layout.corner(block, panel)
        height, width = self.layout.tile
        self.image[top : top + height, left : left + width] = tile
        self._write_strip(label, top - self.layout.strip, left, width, 0.56)

    def png(self) -> bytes:
        """Encode the sheet as a PNG file."""
        options = [cv2.IMWRITE_PNG_COMPRESSION, 6]
        done, encoded = cv2.imencode(".png", cv2.cvtColor(self.image, cv2.COLOR_RGB2BGR), options)
        if not done:
            raise RuntimeError("OpenCV could not encode the sheet as PNG")
        return encoded.tobytes()

    def _write_strip(self, text: str, top: int, left: int, width: int, size: float) -> None:
        size *= self.layout.tile[1] / _UNIT
        # A text wider than its place is drawn smaller, never cut. The width goes in steps with
        # the size, so the size is tried, not computed.
        while cv2.getTextSize(text, _FONT, size, 1)[0][0] > width and size > 0.1:
            size *= 0.97
        (_, height), _ = cv2.getTextSize(text, _FONT, size, 1)
        _write(self.image, text, left, top + (self.layout.strip + height) // 2, size)
