"""Frames and masks in image files (PNG, JPEG, TIFF, BMP), NIfTI files and videos.

A NIfTI file has one image, or the frames of a clip along its third axis.
"""

from __future__ import annotations

import dataclasses
import io
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from echo_common.errors import DataError, SettingsError
from echo_common.regular_file import read_regular

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
NIFTI = (".nii", ".nii.gz")
VIDEOS = (".avi", ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv")

_LARGEST = 8192, 1 << 16
"""Largest side in pixels, and number of frames, of a NIfTI file."""


def suffix_of(name: str, suffixes: tuple[str, ...]) -> str:
    """The suffix of a file name, in any case, that is one of some; empty if there is none."""
    return next((s for s in sorted(suffixes, key=len)[::-1] if name.lower().endswith(s)), "")


def stem_of(name: str) -> str:
    """A file name without the suffix of an image, a NIfTI file or a video."""
    suffix = suffix_of(name, (*IMAGES, *NIFTI, *VIDEOS))
    return name[: len(name) - len(suffix)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageFile:
    """An open file of frames.

    Attributes
    ----------
    count : int
        Number of frames.
    shape : tuple of int
        (height, width) in pixels.
    spacing : tuple of float or None
        Height and width of a pixel in mm; None if the file does not tell.
    read : callable
        Gives the pixels of a frame by its number, (height, width) or (height, width, channel),
        of the file's type. Raises DataError if there is no such frame, or it is damaged.
    """

    count: int
    shape: tuple[int, int]
    read: Callable[[int], np.ndarray]
    spacing: tuple[float, float] | None = None


def open_image(path: Path) -> ImageFile:
    """Open an image or a NIfTI file.

    Raises
    ------
    DataError
        If it is damaged, or not such a file.
    SettingsError
        If nibabel is not installed.
    OSError
        If it cannot be read.
    """
    if suffix_of(path.name, NIFTI):
        return _open_nifti(path)
    try:
        content = np.frombuffer(read_regular(path), dtype=np.uint8)
        pixels = cv2.imdecode(content, cv2.IMREAD_UNCHANGED) if len(content) else None
    except cv2.error:
        pixels = None
    if pixels is None:
        raise DataError(f"{path.name} is not an image, or is damaged")
    image = np.asarray(pixels)

    def read(number: int) -> np.ndarray:
        _check_number(path, number, 1)
        return image

    return ImageFile(count=1, shape=(image.shape[0], image.shape[1]), read=read)


def to_gray(pixels: np.ndarray, name: str) -> np.ndarray:
    """Convert the pixels of a frame to gray values, (height, width) uint8.

    Raises
    ------
    DataError
        If its values are not from 0 to 255; `name` is the file's.
    """
    if pixels.ndim == 3:
        colour = pixels[..., :3] if pixels.shape[2] >= 3 else pixels[..., :1].repeat(3, axis=2)
        pixels = np.asarray(cv2.cvtColor(np.ascontiguousarray(colour), cv2.COLOR_BGR2GRAY))
    if pixels.dtype != np.uint8:
        low, high = pixels.min(), pixels.max()
        if not (low >= 0 and high <= 255):
            raise DataError(f"{name} has values from {low:g} to {high:g}, not 0 to 255")
        pixels = np.rint(pixels).astype(np.uint8)
    return np.ascontiguousarray(pixels)


def to_mask(pixels: np.ndarray, name: str, label: int | None) -> np.ndarray:
    """Convert the pixels of a mask to (height, width) uint8, 0 or 1.

    Parameters
    ----------
    name : str
        The file's.
    label : int or None
        Value of the ventricle; None if the mask has no other value besides 0.

    Raises
    ------
    DataError
        If the label is None and the mask has several.
    """
    if pixels.ndim == 3:
        pixels = pixels[..., :3].max(axis=2)
    if label is not None:
        return np.ascontiguousarray(pixels == label).astype(np.uint8)
    found = np.unique(pixels)
    if (found != 0).sum() > 1:
        some = ", ".join(f"{value:g}" for value in found[:6])
        raise DataError(
            f"{name} has the values {some}{', …' if len(found) > 6 else ''}: give the ventricle's "
            "with --label"
        )
    return np.ascontiguousarray(pixels != 0).astype(np.uint8)


def _open_nifti(path: Path) -> ImageFile:
    try:
        import nibabel
    except ImportError as error:
        raise SettingsError(
            f"{path.name} is a NIfTI file, which needs nibabel; install it with: "
            "pip install 'echo-lv-segmentation[nifti]'"
        ) from error
    content = read_regular(path)
    try:
        if content[:2] == b"\x1f\x8b":
            # With a limit, so that a small file cannot fill the memory.
            decompressor = zlib.decompressobj(wbits=31)
            content = decompressor.decompress(content, 1 << 30)
            if not decompressor.eof:
                raise ValueError("the compressed data end early, or are larger than 1 GB")
        image: Any = nibabel.Nifti1Image.from_stream(io.BytesIO(content))
        sizes = [int(size) for size in image.shape]
        zooms = [float(zoom) for zoom in image.header.get_zooms()]
    except Exception as error:
        # nibabel has no common class of errors, and a damaged header may cause any.
        raise DataError(f"{path.name} is not a NIfTI file, or is damaged: {error}") from error
    width, height, *others = sizes if len(sizes) >= 2 else (0, 0)
    count = int(np.prod(others, dtype=np.int64)) if others else 1
    if not (min(width, height) > 0 and max(width, height) <= _LARGEST[0]) or not (
        0 < count <= _LARGEST[1]
    ):
        raise DataError(f"{path.name} has the shape {sizes}, not that of images")
    # A file that does not tell has 1; a pixel of more than a centimetre is no pixel of a heart.
    known = zooms[:2] != [1, 1] and all(0 < zoom < 10 for zoom in zooms[:2])

    def read(number: int) -> np.ndarray:
        _check_number(path, number, count)
        try:
            pixels = np.asarray(image.dataobj).reshape(width, height, count, order="F")
        except (ValueError, OSError, EOFError) as error:
            raise DataError(f"{path.name} is damaged: {error}") from error
        # The first axis of a NIfTI file is x.
        return np.asarray(pixels[:, :, number].T)

    return ImageFile(
        count=count,
        shape=(height, width),
        read=read,
        spacing=(zooms[1], zooms[0]) if known else None,
    )


def _check_number(path: Path, number: int, count: int) -> None:
    if not 0 <= number < count:
        raise DataError(f"{path.name} has no frame {number}, only {count}")
