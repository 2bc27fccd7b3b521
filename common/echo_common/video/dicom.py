"""Frames of a DICOM file, its frame times, and its calibration; with pydicom (extra `dicom`).

Only the elements that are named here are read: none that identifies a patient.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from echo_common.video.content import VideoError
from echo_common.video.frame import LARGEST_SIDE, Frame, to_gray

_ELEMENTS = (
    "Rows", "Columns", "NumberOfFrames", "BitsStored", "PhotometricInterpretation", "FrameTime",
    "FrameTimeVector", "CineRate", "PixelSpacing", "SequenceOfUltrasoundRegions",
    "RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData", "BluePaletteColorLookupTableData",
)  # fmt: skip

_TWO_DIMENSIONAL, _CENTIMETRES = 1, 3
"""Values of Region Spatial Format and of Physical Units, part 3, C.8.5.5."""

_SQUARE = 0.01
"""Largest difference of a pixel's sides, as a share, up to which it is a square."""


class Dicom:
    """The frames of a DICOM file.

    Parameters
    ----------
    handle : int
        A file descriptor.

    Attributes
    ----------
    shape : tuple of int
        (height, width) of the frames.
    rate : float or None
        Frames per second.
    count : int
        Number of frames that the file claims to hold.
    spacing : float or None
        Millimetres in a pixel.
    region : tuple of int, or None
        The two-dimensional ultrasound region: x, y, width and height.
    ending : str
        Always empty: a frame that is missing is returned with its fault.

    Raises
    ------
    VideoError
        If pydicom is not installed, or the file has no frames that can be decoded.
    """

    ending = ""

    def __init__(self, handle: int) -> None:
        try:
            import pydicom
        except ImportError as error:
            raise VideoError(
                "it is a DICOM file, which needs pydicom; install it with: "
                "pip install 'echo-lv-segmentation[dicom]'"
            ) from error
        self._handle = handle
        # Warnings quote values of the file.
        with self._open() as file, warnings.catch_warnings(action="ignore"):
            try:
                header: Any = pydicom.dcmread(file, specific_tags=list(_ELEMENTS))
                self.shape = (int(header.Rows), int(header.Columns))
                self.count = int(header.get("NumberOfFrames") or 1)
                self._times = _frame_times(header, self.count)
                self.rate = _rate(self._times)
                self._header = header
            except Exception as error:
                raise VideoError(
                    f"the DICOM file has no pictures, or is damaged: {_words(error)}"
                ) from error
        if not 1 <= min(self.shape) <= max(self.shape) <= LARGEST_SIDE:
            raise VideoError(
                f"the DICOM file claims frames of {self.shape[1]}x{self.shape[0]} pixels"
            )
        self.region, self.spacing = _calibration(header)

    def frames(self, wanted: Collection[int] | None, shape: tuple[int, int]) -> Iterator[Frame]:
        """Decode frames in order; see `echo_common.video.video_file.Video.frames`."""
        from pydicom.pixels.utils import iter_pixels

        numbers = [number for number in range(self.count) if wanted is None or number in wanted]
        while numbers:
            with (
                self._open() as file,
                contextlib.closing(iter_pixels(file, indices=list(numbers))) as decoded,  # type: ignore[type-var]
            ):
                while numbers:
                    number, fault, pixels = numbers.pop(0), "", None
                    try:
                        with warnings.catch_warnings(action="ignore"):
                            pixels = self._gray(next(decoded))
                    except Exception as error:
                        fault = f"frame {number} is damaged: {_words(error)}"
                    seconds = None if self._times is None else float(self._times[number])
                    yield Frame(number=number, seconds=seconds, pixels=pixels, fault=fault)
                    if fault:
                        # The generator has ended; the next frame is tried with another one.
                        break

    def _open(self) -> Any:
        os.lseek(self._handle, 0, os.SEEK_SET)
        return os.fdopen(os.dup(self._handle), "rb")

    def _gray(self, pixels: np.ndarray) -> np.ndarray:
        kind = self._header.PhotometricInterpretation
        bits = int(self._header.get("BitsStored", 8))
        if kind == "PALETTE COLOR":
            from pydicom.pixels.processing import apply_color_lut

            pixels = apply_color_lut(pixels, self._header)
            bits = 8 * pixels.itemsize
        if bits > 8:
            pixels = pixels >> (bits - 8)
        gray = to_gray(
            np.ascontiguousarray(pixels[..., ::-1] if pixels.ndim == 3 else pixels, np.uint8)
        )
        return 255 - gray if kind == "MONOCHROME1" else gray


def _frame_times(header: Any, count: int) -> np.ndarray | None:
    """Seconds of each frame from the first; None if the file does not tell."""
    vector = header.get("FrameTimeVector")
    if vector is not None and len(np.atleast_1d(vector)) == count:
        steps = np.atleast_1d(np.asarray(vector, dtype=np.float64))
        return np.cumsum(steps) / 1000 - steps[0] / 1000
    milliseconds = float(header.get("FrameTime") or 0)
    if not milliseconds and header.get("CineRate"):
        milliseconds = 1000 / float(header.CineRate)
    return np.arange(count) * milliseconds / 1000 if milliseconds > 0 else None


def _rate(times: np.ndarray | None) -> float | None:
    if times is None or len(times) < 2 or times[-1] <= 0:
        return None
    return float((len(times) - 1) / times[-1])


def _calibration(header: Any) -> tuple[tuple[int, int, int, int] | None, float | None]:
    """The two-dimensional region as a box, and the size of a pixel in millimetres."""
    for item in header.get("SequenceOfUltrasoundRegions") or ():
        corners = [item.get(f"RegionLocation{end}") for end in ("MinX0", "MinY0", "MaxX1", "MaxY1")]
        if item.get("RegionSpatialFormat") != _TWO_DIMENSIONAL or None in corners:
            continue
        left, top, right, bottom = map(int, corners)
        height, width = int(header.Rows), int(header.Columns)
        if not (0 <= left < right < width and 0 <= top < bottom < height):
            continue
        units = (item.get("PhysicalUnitsXDirection"), item.get("PhysicalUnitsYDirection"))
        sides = (item.get("PhysicalDeltaX"), item.get("PhysicalDeltaY"))
        known = units == (_CENTIMETRES, _CENTIMETRES) and None not in sides
        spacing = _square([10 * abs(float(side)) for side in sides]) if known else None
        return (left, top, right - left + 1, bottom - top + 1), spacing
    spacing = header.get("PixelSpacing")
    return None, None if spacing is None else _square([float(side) for side in spacing])


def _square(sides: list[float]) -> float | None:
    """Side of a square pixel; None for one that is no square."""
    if len(sides) != 2 or min(sides) <= 0 or max(sides) / min(sides) > 1 + _SQUARE:
        return None
    return sum(sides) / 2


def _words(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
