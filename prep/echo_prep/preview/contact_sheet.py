"""Drawing on enlarged frames, and setting out the tiles of a contact sheet.

Colours are (red, green, blue), uint8.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from skimage.util import montage

from echo_common.outputs import SOFTWARE

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

PNG_MARK = b"tEXtSoftware\0" + SOFTWARE.encode() + b", echo-prep preview"
"""Text in a sheet's file by which a later command knows that it may be replaced."""

_SHIFT = 4
"""Fractional bits of OpenCV's coordinates: lines are placed to a sixteenth of a pixel."""

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_UNIT = 336
"""Width in pixels of a tile whose text has a size of 1."""


def tint(image: np.ndarray, region: np.ndarray, colour: Colour, share: float) -> np.ndarray:
    """Mix a colour into a region of a frame.

    Parameters
    ----------
    image : ndarray, (height, width) uint8
    region : ndarray, (height, width) uint8
        Not 0 where the colour is added.
    share : float
        Share of the colour in the mixture.

    Returns
    -------
    tinted : ndarray, (height, width, 3) uint8
    """
    gray = to_colour(image)
    mixed = np.rint((1 - share) * gray + share * np.array(colour)).astype(np.uint8)
    return np.where(region[:, :, None] != 0, mixed, gray)


def overlay_heat(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Draw a heatmap over a darkened frame: from violet, near 0, to pale yellow at the peak.

    Parameters
    ----------
    image, heat : ndarray, (height, width) uint8

    Returns
    -------
    coloured : ndarray, (height, width, 3) uint8
        The frame alone where the heatmap is 0.
    """
    # From 40 of 255 on, the violet of the colour map is visible on the frame.
    levels = np.where(heat > 0, 40 + heat.astype(np.float64) * (215 / 255), 0)
    colours = cv2.applyColorMap(np.rint(levels).astype(np.uint8), cv2.COLORMAP_INFERNO)[:, :, ::-1]
    return np.where(heat[:, :, None] > 0, colours, to_colour(image // 2))


def enlarge(image: np.ndarray, scale: int) -> np.ndarray:
    """Make a tile of a frame: each pixel becomes a square of `scale` by `scale`, in colour.

    Parameters
    ----------
    image : ndarray, (height, width) or (height, width, 3) uint8

    Returns
    -------
    tile : ndarray, (height * scale, width * scale, 3) uint8
    """
    coloured = image if image.ndim == 3 else to_colour(image)
    return np.ascontiguousarray(coloured.repeat(scale, axis=0).repeat(scale, axis=1))


def draw_line(
    tile: np.ndarray, points: np.ndarray, scale: int, colour: Colour, closed: bool = True
) -> None:
    """Join points of a frame by straight lines on its tile, in place."""
    corners = _tile_coordinates(points, scale).astype(np.int32)[:, None, :]
    thickness = max(1, round(1.6 * tile.shape[1] / _UNIT))
    cv2.polylines(tile, [corners], closed, colour, thickness, cv2.LINE_AA, _SHIFT)


def draw_dots(
    tile: np.ndarray, points: np.ndarray, scale: int, colour: Colour, size: float
) -> None:
    """Draw a dot for each point of a frame on its tile, in place; `size` is the radius."""
    radius = round(max(1.5, size * tile.shape[1] / _UNIT) * (1 << _SHIFT))
    for x, y in _tile_coordinates(points, scale).tolist():
        cv2.circle(tile, (x, y), radius, colour, -1, cv2.LINE_AA, _SHIFT)


def draw_numbers(tile: np.ndarray, points: np.ndarray, scale: int) -> None:
    """Number points of a frame from 0 on its tile, in place, outside the shape that they form."""
    unit = tile.shape[1] / _UNIT
    radius = max(6, round(9 * unit))
    # Numbers of landmarks at the edge of the image stay inside.
    highest = np.array(tile.shape[1::-1]) - radius - 1
    middle = points.mean(axis=0)
    taken: list[np.ndarray] = []
    for number, point in enumerate(points):
        outward = (point - middle) / max(float(np.linalg.norm(point - middle)), 1e-6)
        # Among crowded landmarks the next number is farther out, if there is room.
        for distance in (1.9 * radius, 4.0 * radius, 6.1 * radius, 1.9 * radius):
            centre = np.clip((point + 0.5) * scale - 0.5 + distance * outward, radius, highest)
            if all(np.linalg.norm(centre - other) >= 1.7 * radius for other in taken):
                break
        taken.append(centre)
        x, y = np.rint(centre).astype(int).tolist()
        cv2.circle(tile, (x, y), radius, PAPER, -1, cv2.LINE_AA)
        size = 0.48 * unit
        (width, height), _ = cv2.getTextSize(str(number), _FONT, size, 1)
        _write(tile, str(number), x - width // 2, y + (height + 1) // 2, size)


def _tile_coordinates(points: np.ndarray, scale: int) -> np.ndarray:
    # A pixel's centre is at a whole number, and its square on the tile has `scale` pixels.
    inside = np.clip((points + 0.5) * scale - 0.5, -(1 << 20), 1 << 20)
    return np.rint(inside * (1 << _SHIFT)).astype(np.int64)


def _write(image: np.ndarray, text: str, left: int, bottom: int, size: float) -> None:
    cv2.putText(image, text, (left, bottom), _FONT, size, INK, max(1, round(size)), cv2.LINE_AA)


class Layout:
    """How tiles are set out: a block for each frame, which is a heading above a grid of tiles.

    Every tile has its label in a strip above it. Blocks of few tiles are side
    by side; blocks with more tiles than the sheet has columns are wrapped.

    Parameters
    ----------
    panels : int
        Number of tiles in a block.
    tile : tuple of int
        (height, width) of a tile in pixels.
    columns : int
        Largest number of tiles side by side.
    """

    def __init__(self, panels: int, tile: tuple[int, int], columns: int) -> None:
        self.panels, self.tile = panels, tile
        across = min(panels, columns)
        self._tiles = -(-panels // across), across
        self._abreast = max(1, columns // across)
        self._unit = tile[1] / _UNIT
        self._gap = max(4, round(6 * self._unit))
        self._strip = max(14, round(28 * self._unit))

    def size(self, blocks: int) -> tuple[int, int]:
        """(height, width) in pixels of a sheet with a number of blocks."""
        rows, across = self._tiles
        height = self._strip + rows * (self._strip + self.tile[0] + self._gap) + self._gap
        width = across * (self.tile[1] + self._gap) + self._gap
        return -(-blocks // self._abreast) * height, min(blocks, self._abreast) * width

    def fits(self, blocks: int) -> bool:
        """Whether a sheet has at most `MAX_PIXELS`."""
        height, width = self.size(blocks)
        return height * width <= MAX_PIXELS

    def block(self, heading: str, labels: Sequence[str], tiles: Sequence[np.ndarray]) -> np.ndarray:
        """Join the tiles of a frame, (height, width, 3) uint8."""
        labelled = np.stack(
            [
                np.vstack([self._text(label, self.tile[1], 0.56), tile])
                for label, tile in zip(labels, tiles, strict=True)
            ]
        )
        grid = montage(
            labelled,
            fill=PAPER,
            grid_shape=self._tiles,
            padding_width=self._gap,
            channel_axis=3,
        )
        return np.vstack([self._text(heading, grid.shape[1], 0.64, self._gap), grid])

    def sheet(self, blocks: Sequence[np.ndarray]) -> np.ndarray:
        """Join the blocks of all frames, (height, width, 3) uint8."""
        shape = -(-len(blocks) // self._abreast), min(len(blocks), self._abreast)
        joined: np.ndarray = montage(np.stack(blocks), fill=PAPER, grid_shape=shape, channel_axis=3)
        return joined

    def _text(self, text: str, width: int, size: float, indent: int = 0) -> np.ndarray:
        """Draw a strip with a line of text."""
        strip = np.full((self._strip, width, 3), PAPER, dtype=np.uint8)
        size *= self._unit
        # Text that is too wide is drawn smaller, never cut. Its width changes in steps with the
        # size, so the size is found by trying.
        while cv2.getTextSize(text, _FONT, size, 1)[0][0] > width - 2 * indent and size > 0.1:
            size *= 0.97
        (_, height), _ = cv2.getTextSize(text, _FONT, size, 1)
        _write(strip, text, indent, (self._strip + height) // 2, size)
        return strip


def to_colour(image: np.ndarray) -> np.ndarray:
    """Convert a gray image to red, green and blue, uint8."""
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_GRAY2RGB))


def encode_png(image: np.ndarray) -> bytes:
    """Encode an image, (height, width, 3) uint8, as a PNG file that says which software made it."""
    text = PngInfo()
    text.add_text("Software", PNG_MARK.partition(b"\0")[2].decode())
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG", pnginfo=text)
    return content.getvalue()
