"""Gray values against the formula of ITU-R BT.601."""

from __future__ import annotations

import numpy as np

from echo_common.video.frame import to_gray


def test_colours_become_their_luma() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    blue, green, red = np.moveaxis(pixels.astype(float), 2, 0)
    gray = to_gray(pixels)
    assert gray.dtype == np.uint8
    np.testing.assert_allclose(gray, 0.299 * red + 0.587 * green + 0.114 * blue, atol=0.6)


def test_gray_frames_stay_as_they_are() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (9, 7), dtype=np.uint8)
    np.testing.assert_array_equal(to_gray(pixels), pixels)
