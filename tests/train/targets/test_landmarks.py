"""The landmark target on constructed logits."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from echo_common.cli.settings import replace
from echo_common.geometry.contours import contour_from_landmarks
from echo_common.geometry.raster import rasterise
from echo_common.store.schema import LandmarkSet
from echo_train.data.frame_set import Choice, FrameSet
from echo_train.landmarks.settings import LandmarkSettings
from echo_train.losses.distance_map import distance_loss
from echo_train.losses.landmark_losses import spatial_cross_entropy
from echo_train.losses.settings import LossSettings
from echo_train.metrics.overlap import pixel_counts
from echo_train.targets import landmarks
from echo_train.targets.landmarks import LandmarkTarget, training_sample
from echo_train.training.settings import TrainSettings
from echo_train.transforms.batch import Batch
from support.frames import frame_set

CHOICE = Choice(
    method="chords",
    landmarks=LandmarkSet(method="chords", identity="anatomical", count=7),
    falloff="gaussian",
)
SHAPE = np.array([[-13, 25], [-14, 5], [-9, -15], [0, -28], [9, -15], [14, 5], [13, 25.0]])


def make_target(**settings: object) -> LandmarkTarget:
    rng = np.random.default_rng(0)
    train_points = SHAPE * rng.normal(1, 0.1, (200, 1, 1)) + rng.normal([58, 48], 4, (200, 1, 2))
    given = replace(TrainSettings(), decoder="dark", **settings)
    return LandmarkTarget(given.losses, given.decoding, CHOICE, train_points)


def peaks(points: np.ndarray) -> torch.Tensor:
    """Logits whose softmax over the pixels is a Gaussian of sigma 1.5 about each point."""
    y, x = np.mgrid[:112, :112]
    squared = (x - points[..., 0, None, None]) ** 2 + (y - points[..., 1, None, None]) ** 2
    return torch.from_numpy(-squared / (2 * 1.5**2)).float()


@pytest.fixture
def points() -> np.ndarray:
    return (SHAPE * [[[1.0]], [[0.9]]] + [[[57.3, 47.6]], [[60.2, 50.1]]]).astype(np.float32)


def test_landmarks_are_found_and_the_mask_is_the_rasterised_contour(points: np.ndarray) -> None:
    prediction = make_target().predict(peaks(points))
    assert prediction.points is not None
    np.testing.assert_allclose(prediction.points, points, atol=0.02)
    for mask, found in zip(prediction.masks, prediction.points, strict=True):
        contour = contour_from_landmarks(found, "anatomical")
        np.testing.assert_array_equal(mask, rasterise(contour, (112, 112), "chords"))
        assert mask.sum() > 800


def test_a_flat_map_is_a_missed_landmark(points: np.ndarray) -> None:
    logits = peaks(points)
    logits[1, 3] = 0
    found = make_target(shape_prior=False).predict(logits).points
    assert found is not None
    missed = np.isnan(found).any(axis=2)
    assert missed[1, 3] and missed.sum() == 1


def test_prior_fills_in_a_missed_landmark_and_pulls_a_wrong_one_back(points: np.ndarray) -> None:
    logits = peaks(points)
    logits[1, 3] = 0
    wrong = points.copy()
    wrong[0, 0] = [10, 100]
    logits[0, 0] = peaks(wrong)[0, 0]
    found = make_target(shape_prior=True).predict(logits).points
    assert found is not None
    error = np.linalg.norm(found - points, axis=2)
    assert error[1, 3] < 2 and error[0, 0] < 2
    plausible = np.ones((2, 7), dtype=bool)
    plausible[1, 3] = plausible[0, 0] = False
    assert error[plausible].max() < 0.05


def test_the_prior_travels_with_the_checkpoint(points: np.ndarray) -> None:
    learnt = make_target(shape_prior=True)
    other = LandmarkTarget(
        LossSettings(),
        LandmarkSettings(decoder="dark", shape_prior=True),
        CHOICE,
        np.random.default_rng(1).normal(50, 20, (50, 7, 2)),
    )
    logits = peaks(points)
    logits[0, 2] = 0
    expected = learnt.predict(logits).points
    assert not np.array_equal(other.predict(logits).points, expected)
    other.restore(learnt.state())
    np.testing.assert_array_equal(other.predict(logits).points, expected)


def test_distance_head_is_one_more_channel_and_adds_its_weighted_loss() -> None:
    generator = torch.Generator().manual_seed(0)
    target = make_target(distance_weight=0.5)
    assert target.channels == 8
    logits = torch.randn(2, 8, 112, 112, generator=generator)
    masks = torch.zeros(2, 112, 112)
    masks[:, 30:60, 40:70] = 1
    heatmaps = torch.rand(2, 7, 112, 112, generator=generator)
    no_points = torch.zeros(2, 7, 2)
    batch = Batch(
        index=torch.arange(2),
        images=torch.zeros(2, 1, 112, 112),
        masks=masks,
        heatmaps=heatmaps,
        points=no_points,
    )
    expected = spatial_cross_entropy(logits[:, :7], heatmaps, no_points)
    expected = expected + 0.5 * distance_loss(logits[:, 7], masks)
    torch.testing.assert_close(target.loss(logits, batch), expected)


def test_background_channel_is_no_landmark() -> None:
    target = make_target(loss="channel-ce-background")
    assert target.channels == 8
    logits = torch.zeros(1, 8, 112, 112)
    positions = (SHAPE + np.array([57, 48])).astype(int)
    logits[:, 7] = 3.0
    for landmark, (x, y) in enumerate(positions):
        logits[0, landmark, y, x] = 9.0
    found = target.predict(logits).points
    assert found is not None
    np.testing.assert_allclose(found[0], positions, atol=0.1)


def many_frames(count: int) -> tuple[FrameSet, Batch, torch.Tensor]:
    """Frames of which the first tenth is for validation, their batch, and logits with peaks."""
    rng = np.random.default_rng(3)
    points = SHAPE * rng.normal(1, 0.1, (count, 1, 1)) + rng.normal([58, 48], 4, (count, 1, 2))
    masks = np.stack(
        [rasterise(contour_from_landmarks(p, "anatomical"), (112, 112), "chords") for p in points]
    )
    frames = frame_set(
        count,
        split=(np.arange(count) < count // 10).astype(np.int64),
        points=points.astype(np.float32),
    )
    batch = Batch(
        index=torch.arange(count),
        images=torch.zeros(count, 1, 112, 112),
        masks=torch.from_numpy(masks).float(),
        heatmaps=None,
        points=torch.from_numpy(points).float(),
    )
    logits = peaks((points + rng.normal(0, 1.5, points.shape)).astype(np.float32))
    logits[rng.random((count, 7)) < 0.05] = 0
    return frames, batch, logits


def part(batch: Batch, rows: slice) -> Batch:
    return Batch(
        index=batch.index[rows],
        images=batch.images[rows],
        masks=batch.masks[rows],
        heatmaps=None,
        points=None,
    )


def test_results_are_those_of_frames_measured_alone() -> None:
    frames, batch, logits = many_frames(30)
    target = make_target(shape_prior=True)
    collector = target.collector(frames, torch.device("cpu"))
    for start in (0, 16):
        rows = slice(start, start + 16)
        collector.update(logits[rows], part(batch, rows))
    results = collector.results()
    counts = []
    for number in range(30):
        found = target.predict(logits[number : number + 1])
        assert found.points is not None and results.points is not None
        np.testing.assert_array_equal(results.points[number], found.points[0])
        contour = contour_from_landmarks(found.points[0], "anatomical")
        mask = torch.from_numpy(rasterise(contour, (112, 112), "chords"))
        counts.append(pixel_counts(mask[None] > 0, batch.masks[[number]] > 0))
    np.testing.assert_array_equal(results.counts, torch.cat(counts).numpy())
    assert results.index.tolist() == list(range(30))
    assert 0.8 < results.dice().mean() < 0.99


def test_the_training_dice_is_that_of_the_same_sample_in_every_epoch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(landmarks, "TRAINING_SAMPLE", 5)
    frames, batch, logits = many_frames(30)
    target = make_target(shape_prior=False)
    everything = target.collector(frames, torch.device("cpu"))
    everything.update(logits, batch)
    expected = everything.results()
    sample = set(training_sample(frames).tolist())
    assert len(sample) == 5 and min(sample) >= 3
    for seed in (0, 1):
        order = np.random.default_rng(seed).permutation(frames.indices("TRAIN"))
        collector = target.collector(frames, torch.device("cpu"), order)
        for start in range(0, len(order), 4):
            rows = order[start : start + 4]
            collector.update(logits[rows], part(batch, rows))  # type: ignore[arg-type]
        results = collector.results()
        assert set(results.index.tolist()) == sample
        np.testing.assert_array_equal(results.counts, expected.counts[results.index])
