"""From a contour to a mask: the one rasteriser of tracings and predictions alike."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from skimage.draw import polygon as draw_polygon

from echo_common.errors import SettingsError
from echo_common.schema import METHODS

PIXEL_LIMIT = 1 << 20
"""Coordinates are held within this many pixels: far outside any image, inside an int32."""


def rasterise(contour: npt.ArrayLike, shape: tuple[int, int], method: str) -> np.ndarray:
    """Fill a closed contour by the rule of its method.

    Points are rounded to the nearest pixel first. `chords` is filled as
    EchoNet-Dynamic's own loader fills it, with `skimage.draw.polygon`; the
    other methods as the paper fills them (section 3.5), with `cv2.fillPoly`,
    which also paints the boundary.

    Parameters
    ----------
    contour : array_like, (point, 2) float
        (x, y) in pixels, pixel centres at integers, y down. Rows of NaN are
        padding and are passed over. Points outside the image are allowed; the
        mask is clipped.
    shape : tuple of int
        (height, width) of the mask.
    method : str
        One of `echo_common.schema.METHODS`.

    Returns
    -------
    mask : ndarray, (height, width) uint8
        1 inside and 0 outside; all 0 where fewer than three points are left.

    Raises
    ------
    SettingsError
        If the method is not known.

    Examples
    --------
    >>> square = [[1, 1], [3, 1], [3, 3], [1, 3]]
    >>> rasterise(square, (5, 5), "convexhull").sum()
    np.uint64(9)
    """
    if method not in METHODS:
        raise SettingsError(f"no method {method!r}; choose one of {', '.join(METHODS)}")
    points = np.asarray(contour, dtype=np.float64)
    points = points[~np.isnan(points).any(axis=1)]
    mask = np.zeros(shape, dtype=np.uint8)
    if len(points) < 3:
        return mask
    pixels = np.rint(np.clip(points, -PIXEL_LIMIT, PIXEL_LIMIT)).astype(np.int32)
    if method == "chords":
        rows, columns = draw_polygon(pixels[:, 1], pixels[:, 0], shape)  # type: ignore[no-untyped-call]
        mask[rows, columns] = 1
    else:
        cv2.fillPoly(mask, [pixels], (1,))
    return mask
