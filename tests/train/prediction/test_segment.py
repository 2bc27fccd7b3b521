"""Frames of any size are segmented in their own pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from echo_common.geometry.contours import contour_from_landmarks
from echo_common.geometry.raster import rasterise
from echo_common.store.reader import EchoStore
from echo_train.evaluation.trained_model import TrainedModel, load_model
from echo_train.prediction.segment import segment
from echo_train.transforms.letterbox import Letterbox
from support.commands import csv_rows

CPU = torch.device("cpu")

SIZES = st.tuples(st.integers(1, 300), st.integers(1, 300))


@given(size=SIZES, target=SIZES)
def test_a_frame_is_scaled_to_fit_and_centred(
    size: tuple[int, int], target: tuple[int, int]
) -> None:
    letterbox = Letterbox.of(size, target)
    assert all(1 <= inner <= room for inner, room in zip(letterbox.inner, target, strict=True))
    assert letterbox.inner[0] == target[0] or letterbox.inner[1] == target[1]
    scale = min(target[0] / size[0], target[1] / size[1])
    for inner, side in zip(letterbox.inner, size, strict=True):
        assert abs(inner - side * scale) <= 0.5 or inner == 1
    for offset, inner, room in zip(letterbox.offset, letterbox.inner, target, strict=True):
        assert abs((room - inner - offset) - offset) <= 1
    image = np.full(size, 200, np.uint8)
    shrunk = letterbox.shrink(image)
    assert shrunk.shape == target
    assert (shrunk > 0).sum() == letterbox.inner[0] * letterbox.inner[1]


def test_a_frame_of_the_right_size_is_not_changed() -> None:
    image = np.arange(112 * 112, dtype=np.uint8).reshape(112, 112)
    letterbox = Letterbox.of((112, 112), (112, 112))
    np.testing.assert_array_equal(letterbox.shrink(image), image)
    logits = torch.randn(1, 2, 112, 112)
    assert torch.equal(letterbox.enlarge(logits), logits)
    points = np.array([[[3.5, 7.25]]], dtype=np.float32)
    np.testing.assert_array_equal(letterbox.enlarge_points(points), points)


def test_enlarging_restores_positions_in_the_frame() -> None:
    """The mask and centre of a disc in a large frame, after shrinking the frame."""
    y, x = np.mgrid[:300, :420]
    disc = ((x - 290.0) ** 2 + (y - 120.0) ** 2 <= 60**2).astype(np.uint8)
    letterbox = Letterbox.of((300, 420), (112, 112))
    assert (letterbox.inner, letterbox.offset) == ((80, 112), (16, 0))
    shrunk = letterbox.shrink(255 * disc)
    rows_, columns = np.nonzero(shrunk > 127)
    centre = np.array([[[columns.mean(), rows_.mean()]]])
    np.testing.assert_allclose(letterbox.enlarge_points(centre), [[[290, 120]]], atol=0.5)
    logits = torch.from_numpy(shrunk.astype(np.float32))[None, None] - 127.5
    again = (letterbox.enlarge(logits)[0, 0] > 0).numpy()
    dice = 2 * (again & (disc > 0)).sum() / (again.sum() + disc.sum())
    assert dice > 0.985


@pytest.mark.parametrize("target", ["mask", "landmarks"])
def test_frames_of_the_store_are_segmented_as_in_the_run(
    runs: Path, small_store: Path, target: str
) -> None:
    model = load_model(runs / target, "best", CPU)
    store = EchoStore(small_store)
    images = store.read("frames")
    prediction = model.predict(torch.from_numpy(images)[:, None].float() / 255)
    # Only evaluation counts what the shape prior draws from nothing.
    expected = prediction.masks * (prediction.reasons() == "")[:, None, None]
    np.testing.assert_array_equal(segment(model, images).masks, expected)
    true = store.read("masks/chords") > 0
    listed = csv_rows(runs / target / "frames.csv")
    assert len(listed) == 12
    for row in listed:
        place = int(row["row"])
        assert prediction.masks[place].sum() == int(row["predicted_pixels"])
        both = (prediction.masks[place] > 0) & true[place]
        score = 2 * both.sum() / (prediction.masks[place].sum() + true[place].sum())
        assert score == pytest.approx(float(row["dice"]), abs=1e-6)


def test_landmarks_of_a_large_frame_become_a_mask_of_its_size(
    runs: Path, small_store: Path
) -> None:
    model = load_model(runs / "landmarks", "best", CPU)
    images = EchoStore(small_store).read("frames")[:2]
    large = images.repeat(3, axis=1).repeat(3, axis=2)
    small_found, found = segment(model, images), segment(model, large)
    assert small_found.points is not None and found.points is not None
    np.testing.assert_allclose(found.points, (small_found.points + 0.5) * 3 - 0.5, atol=1e-3)
    for mask, points in zip(found.masks, found.points, strict=True):
        contour = contour_from_landmarks(points, "anatomical")
        np.testing.assert_array_equal(mask, rasterise(contour, (336, 336), "chords"))


def test_masks_of_a_large_frame_are_those_of_the_small_one(runs: Path, small_store: Path) -> None:
    model = load_model(runs / "mask", "best", CPU)
    images = EchoStore(small_store).read("frames")[:2]
    small_found = segment(model, images).masks
    found = segment(model, images.repeat(3, axis=1).repeat(3, axis=2)).masks
    assert found.shape == (2, 336, 336)
    # The middle of each block of 3x3 is the small frame's pixel.
    np.testing.assert_array_equal(found[:, 1::3, 1::3], small_found)


def test_a_frame_without_any_landmark_is_left_empty(
    runs: Path, small_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From nothing, the shape prior infers the mean shape, which is nobody's ventricle."""
    model = load_model(runs / "landmarks", "best", CPU)
    logits = torch.zeros(3, model.target.channels, 112, 112)
    logits[0, :, 50, 40] = logits[2, 2:, 50, 40] = 50
    monkeypatch.setattr(TrainedModel, "logits", lambda *arguments: logits)
    prediction = segment(model, EchoStore(small_store).read("frames")[:3])
    assert prediction.found is not None and prediction.points is not None
    assert prediction.reasons().tolist() == ["", "no landmark found", ""]
    assert prediction.found.sum(axis=1).tolist() == [7, 0, 5]
    assert not np.isnan(prediction.points[[0, 2]]).any()
    assert np.isnan(prediction.points[1]).all() and np.isnan(prediction.contours[1]).all()
    assert not prediction.masks[1].any()
