"""JPEG images against OpenCV's decoder, and damage that OpenCV hides."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from echo_common.video.content import VideoError
from echo_common.video.jpeg import decode_jpeg, jpeg_shape
from support.avi import jpeg
from support.datasets import frame_pattern

SAMPLINGS = (
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440,
    cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
)


def opencv_pixels(content: bytes) -> np.ndarray:
    flags = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION
    return np.asarray(cv2.imdecode(np.frombuffer(content, np.uint8), flags))


def speckle(rng: np.random.Generator, shape: tuple[int, ...], blur: float) -> np.ndarray:
    noise = rng.integers(0, 256, shape, dtype=np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), blur) if blur else noise
    return np.asarray(cv2.normalize(smooth, None, 0, 255, cv2.NORM_MINMAX))


@pytest.mark.parametrize("quality", [1, 10, 30, 50, 75, 85, 95, 100])
@pytest.mark.parametrize("progressive", [0, 1])
def test_pixels_are_those_of_opencv(quality: int, progressive: int) -> None:
    rng = np.random.default_rng(quality)
    for number in range(25):
        height, width = rng.integers(8, 200, 2).tolist() if number % 2 else (112, 112)
        gray = number % 5 == 4
        image = speckle(rng, (height, width) if gray else (height, width, 3), number % 4)
        options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_PROGRESSIVE, progressive]
        options += [cv2.IMWRITE_JPEG_OPTIMIZE, int(number % 3 == 0)]
        options += [cv2.IMWRITE_JPEG_RST_INTERVAL, number % 4]
        if not gray:
            options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, SAMPLINGS[number % 5]]
        content = cv2.imencode(".jpg", image, options)[1].tobytes()
        assert jpeg_shape(content) == (height, width)
        np.testing.assert_array_equal(decode_jpeg(content), opencv_pixels(content))


def test_an_image_without_huffman_tables_has_the_standard_ones() -> None:
    # As many capture cards write Motion-JPEG.
    content = jpeg(frame_pattern(0, 0))
    short = content
    while (start := short.find(b"\xff\xc4")) >= 0:
        size = int.from_bytes(short[start + 2 : start + 4], "big")
        short = short[:start] + short[start + 2 + size :]
    assert len(short) < len(content) - 400
    np.testing.assert_array_equal(decode_jpeg(short), decode_jpeg(content))


def entropy_start(content: bytes) -> int:
    start = content.index(b"\xff\xda")
    return start + 2 + int.from_bytes(content[start + 2 : start + 4], "big")


def zeroed(content: bytes, share: float) -> bytes:
    start = entropy_start(content)
    start += int((len(content) - 2 - start) * share)
    return content[:start] + bytes(len(content) - 2 - start) + content[-2:]


def shortened(content: bytes, share: float) -> bytes:
    start = entropy_start(content)
    return content[: start + int((len(content) - 2 - start) * share)] + content[-2:]


def missing_part(content: bytes, share: float) -> bytes:
    start = entropy_start(content)
    start += int((len(content) - 2 - start) * share * 0.9)
    return content[:start] + content[start + (len(content) - start) // 12 :]


def foreign_end(content: bytes, share: float) -> bytes:
    other = jpeg(frame_pattern(5, 3), quality=60)
    start = entropy_start(content)
    start += int((len(content) - 2 - start) * share)
    return content[:start] + other[entropy_start(other) :]


@pytest.mark.parametrize("damage", [zeroed, shortened, missing_part, foreign_end])
@pytest.mark.parametrize("share", [0.05, 0.1, 1 / 3, 0.5, 0.8])
def test_damage_that_opencv_hides_is_heard(damage: object, share: float) -> None:
    for number in range(5):
        content = jpeg(frame_pattern(number, 2 * number))
        broken = damage(content, share)  # type: ignore[operator]
        # OpenCV gives an image of the right size, and no hint.
        assert opencv_pixels(broken).shape == (112, 112)
        with pytest.raises(VideoError, match="JPEG image cannot be decoded"):
            decode_jpeg(broken)


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff\xd9", b"\xff\xd8" + bytes(99)])
def test_what_is_no_image_is_an_error(content: bytes) -> None:
    with pytest.raises(VideoError):
        decode_jpeg(content)
    assert jpeg_shape(content) is None
