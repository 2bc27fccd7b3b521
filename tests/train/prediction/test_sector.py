"""The scan sector of a recording is found among text, an ECG trace and a colour bar."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from echo_train.prediction.sector import Sector, find_sector

APEX, RADIUS = (500, 140), 450


def fan(shape: tuple[int, int]) -> np.ndarray:
    """A circular sector of 70 degrees, (y, x) bool."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    dx, dy = x - APEX[0], y - APEX[1]
    return (np.hypot(dx, dy) < RADIUS) & (np.abs(np.arctan2(dx, dy)) < np.radians(35))


def speckle(count: int, shape: tuple[int, int]) -> np.ndarray:
    rng = np.random.default_rng(5)
    noise = rng.integers(0, 256, (count, *shape)).astype(np.uint8)
    smooth = np.array([cv2.GaussianBlur(image, (0, 0), 3) for image in noise])
    images = np.clip(3 * (smooth.astype(int) - 110), 0, 255).astype(np.uint8)
    # A dark cavity moves in it.
    for number, image in enumerate(images):
        cv2.ellipse(image, (500, 330), (60, 110 - 5 * number), 0.0, 0.0, 360.0, 0.0, -1)
    return images * fan(shape)


def recording(count: int = 12) -> np.ndarray:
    images = speckle(count, (768, 1024))
    for number, image in enumerate(images):
        cv2.putText(image, "DOE JANE 1970-01-01", (20, 40), cv2.FONT_HERSHEY_SIMPLEX, 0.9, 220, 2)
        cv2.putText(image, f"HR {60 + number}", (860, 90), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 220, 2)
        image[150:450, 970:990] = np.linspace(255, 0, 300)[:, None]
        x = np.arange(80 * (number + 1))
        y = 700 - 50 * np.exp(-(((x % 200) - 90) ** 2) / 60)
        cv2.polylines(image, [np.stack([x, y], axis=1).astype(np.int32)], False, 255, 2)
    return images


def test_the_sector_of_a_recording_is_cropped_and_the_rest_is_black() -> None:
    images = recording()
    sector = find_sector(images)
    assert sector is not None
    mask = sector.paste(sector.mask, (768, 1024))
    true = fan((768, 1024))
    assert (mask & true).sum() > 0.99 * true.sum()
    assert (mask & ~true).sum() < 0.15 * true.sum()
    hidden = sector.paste(sector.cut(images[-1]), (768, 1024))
    assert not hidden[:120].any() and not hidden[640:].any() and not hidden[:, 900:].any()
    assert (hidden[mask] == images[-1][mask]).all()
    rows, columns = sector.box
    np.testing.assert_array_equal(sector.cut(images)[3], hidden_box(images[3], mask, rows, columns))


def hidden_box(image: np.ndarray, mask: np.ndarray, rows: slice, columns: slice) -> np.ndarray:
    return np.where(mask, image, 0)[rows, columns]


def test_frames_that_show_the_sector_alone_are_not_cropped() -> None:
    images = speckle(6, (768, 1024))
    tight = images[:, 130:600, 230:770]
    assert find_sector(tight) is None
    small = np.array(
        [cv2.resize(image, (112, 112), interpolation=cv2.INTER_AREA) for image in tight]
    )
    assert find_sector(small) is None
    assert find_sector(np.zeros((4, 300, 300), np.uint8)) is None
    # A small sector on a large black frame is cropped, though there is nothing else.
    assert find_sector(images) is not None


@pytest.mark.parametrize("keep_text", [False, True])
def test_the_outline_shows_the_box_and_no_text_unless_it_is_kept(keep_text: bool) -> None:
    image = recording(1)[0]
    canvas = Sector.of_box((230, 130, 540, 470)).outline(image, keep_text)
    assert canvas[:100].any() == keep_text
    assert (canvas[130, 230:770] == (54, 90, 255)).all()
