"""Augmentation: truth moves with the image, mirrored landmarks are reordered, draws repeat."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from echo_common.errors import SettingsError
from echo_common.geometry.raster import rasterise
from echo_common.store import schema
from echo_prep.geometry.landmarks import choose_landmarks
from echo_train.runtime.counter_rng import epoch_key
from echo_train.transforms import intensity
from echo_train.transforms.augment import Augmenter, mirror_order
from echo_train.transforms.batch import Batch
from echo_train.transforms.settings import AUGMENTS, AugmentSettings, Strengths
from echo_train.transforms.spatial import transform
from support.datasets import half_ellipse_trace

SIZE = 112
STRONG = AUGMENTS["strong"]
GEOMETRY = Strengths(shift=0.08, scale=0.25, rotation=30, flip=0.5)
FRAMES = 24


def gaussians(points: np.ndarray, sigma: float = 3.0) -> torch.Tensor:
    """One Gaussian per point, (frame, landmark, y, x)."""
    y, x = np.mgrid[:SIZE, :SIZE]
    squared = (x - points[..., 0, None, None]) ** 2 + (y - points[..., 1, None, None]) ** 2
    return torch.from_numpy(np.exp(-0.5 * squared / sigma**2)).float()


def centroids(maps: torch.Tensor) -> np.ndarray:
    y, x = np.mgrid[:SIZE, :SIZE]
    values = maps.numpy().astype(np.float64)
    total = values.sum((-1, -2))
    return np.stack([(values * x).sum((-1, -2)), (values * y).sum((-1, -2))], -1) / total[..., None]


def points_of(count: int, frames: int = FRAMES) -> np.ndarray:
    return np.random.default_rng(5).uniform(40, 72, (frames, count, 2)).astype(np.float32)


def batch_of(points: np.ndarray, masks: torch.Tensor | None = None) -> Batch:
    maps = gaussians(points)
    return Batch(
        index=torch.arange(len(points)),
        images=maps[:, :1],
        masks=torch.zeros(len(points), SIZE, SIZE) if masks is None else masks,
        heatmaps=maps,
        points=torch.from_numpy(points),
        phases=torch.linspace(-1, 1, len(points)),
    )


def augment(
    strengths: Strengths,
    before: Batch,
    seed: int = 0,
    epoch: int = 1,
    order: list[int] | None = None,
) -> Batch:
    augmenter = Augmenter(strengths, order or mirror_order("anatomical", 7))
    return augmenter(before, augmenter.draw(torch.arange(FRAMES), epoch_key(seed, epoch)))


def test_points_go_where_the_image_goes() -> None:
    before = batch_of(points_of(7))
    after = augment(GEOMETRY, before)
    assert after.points is not None and after.heatmaps is not None and before.points is not None
    # The centroid of each warped Gaussian against the transformed point.
    assert np.abs(centroids(after.heatmaps) - after.points.numpy()).max() < 0.1
    # In a mirrored frame, the first landmark has become the last.
    flipped = np.abs(centroids(after.images)[:, 0] - after.points.numpy()[:, 6]).max(1) < 0.1
    kept = np.abs(centroids(after.images)[:, 0] - after.points.numpy()[:, 0]).max(1) < 0.1
    assert np.array_equal(flipped, ~kept)
    assert 4 < flipped.sum() < 20
    moved = np.linalg.norm(after.points.numpy() - before.points.numpy(), axis=2)
    assert np.median(moved) > 3


def test_without_augmentation_nothing_is_drawn() -> None:
    before, key = batch_of(points_of(7)), epoch_key(0, 1)
    for name, computes in (("none", False), ("light", True)):
        augmenter = Augmenter(AUGMENTS[name], None)
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
            augmenter(before, augmenter.draw(before.index, key))
        operations = [event for event in profiler.events() if event.name.startswith("aten::")]
        assert bool(operations) == computes


@pytest.mark.parametrize("rotation", [0.0, 20.0, -75.0, 180.0])
@pytest.mark.parametrize("mirrored", [False, True])
def test_the_transform_is_the_documented_affine_map(rotation: float, mirrored: bool) -> None:
    points = points_of(5, 1)
    angle, size, shift = np.radians(rotation), 1.2, np.array([3.5, -2.25])
    matrix = size * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = matrix @ np.diag([-1 if mirrored else 1, 1])
    order = [4, 3, 2, 1, 0]
    after = transform(
        batch_of(points),
        torch.from_numpy(matrix).float()[None],
        torch.from_numpy(shift).float()[None],
        torch.tensor([mirrored]),
        order,
    )
    expected = (points[0] - 55.5) @ matrix.T + 55.5 + shift
    expected = expected[order] if mirrored else expected
    assert after.points is not None and after.heatmaps is not None
    np.testing.assert_allclose(after.points[0].numpy(), expected, atol=1e-4)
    np.testing.assert_allclose(centroids(after.heatmaps)[0], expected, atol=0.05)


def test_the_moved_mask_is_the_mask_of_the_moved_contour() -> None:
    contours = []
    for seed in range(FRAMES):
        rng = np.random.default_rng(seed)
        trace = half_ellipse_trace(
            tuple(rng.normal([50, 25], 2)), tuple(rng.normal([62, 80], 2)), rng.uniform(24, 36)
        )
        contours.append(np.concatenate([trace[1:, :2], trace[:0:-1, 2:]]))
    points = np.stack(contours).astype(np.float32)
    masks = np.stack([rasterise(contour, (SIZE, SIZE), "chords") for contour in contours])
    before = batch_of(points, torch.from_numpy(masks).float())
    after = augment(GEOMETRY, before, order=list(range(points.shape[1])))
    assert after.points is not None
    drawn = np.stack(
        [rasterise(contour, (SIZE, SIZE), "chords") for contour in after.points.numpy()]
    )
    moved = after.masks.numpy()
    assert set(np.unique(moved)) == {0.0, 1.0}
    scores = 2 * (moved * drawn).sum((1, 2)) / (moved.sum((1, 2)) + drawn.sum((1, 2)))
    # Vertices are rounded to integers before the fill, for the drawn and for the moved mask.
    assert scores.mean() > 0.98
    assert scores.min() > 0.97


@pytest.mark.parametrize("identity", list(schema.IDENTITIES))
@pytest.mark.parametrize("count", [3, 6, 7, 11])
def test_mirrored_landmarks_are_those_that_preparation_chooses(identity: str, count: int) -> None:
    rng = np.random.default_rng(count)
    trace = half_ellipse_trace(width=30) + rng.normal(0, 0.4, (21, 4))
    axis, contour = trace[0].reshape(2, 2), np.concatenate([trace[1:, :2], trace[:0:-1, 2:]])
    mirror = np.array([-1.0, 1.0])
    before = choose_landmarks(axis, contour, "chords", identity, count)
    expected = choose_landmarks(
        axis * mirror + [111, 0], contour * mirror + [111, 0], "chords", identity, count
    )
    if identity == "anatomical" and count % 2 == 0:
        with pytest.raises(SettingsError, match="--augment-flip 0"):
            mirror_order(identity, count)
        return
    found = (before * mirror + [111, 0])[mirror_order(identity, count)]
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_zero_strengths_change_nothing() -> None:
    before = batch_of(points_of(7))
    after = augment(AUGMENTS["none"], before)
    for field in dataclasses.fields(Batch):
        assert torch.equal(getattr(before, field.name), getattr(after, field.name)), field.name


@pytest.mark.parametrize("name", ["strong", "transfer"])
def test_changes_depend_on_seed_epoch_and_frame_but_not_on_the_batch(name: str) -> None:
    before = batch_of(points_of(7))
    strengths = AUGMENTS[name]
    full = augment(strengths, before, epoch=3)
    some = torch.tensor([19, 2, 7])
    part = Batch(
        **{
            field.name: getattr(before, field.name)[some] for field in dataclasses.fields(Batch)
        }
    )  # fmt: skip
    again = augment(strengths, part, epoch=3)
    torch.testing.assert_close(again.images, full.images[some], atol=1e-6, rtol=0)
    assert again.points is not None and full.points is not None
    torch.testing.assert_close(again.points, full.points[some])
    for other in (
        augment(strengths, before, epoch=4),
        augment(strengths, before, seed=1, epoch=3),
    ):
        assert other.points is not None
        assert (other.points - full.points).abs().amax((1, 2)).min() > 1e-3


def test_a_transfer_keeps_truth_with_the_image() -> None:
    # A disk: what the fan crop leaves of it lies in the mask, wherever that has moved.
    y, x = np.mgrid[:SIZE, :SIZE]
    disk = torch.from_numpy((x - 60) ** 2 + (y - 50) ** 2 < 20**2).float().expand(FRAMES, 1, -1, -1)
    points = points_of(7)
    before = dataclasses.replace(batch_of(points, disk[:, 0].clone()), images=disk)
    strengths = Strengths(shift=0.05, scale=0.2, rotation=10, fan=0.8)
    after = augment(strengths, before)
    assert after.images[:, 0][after.masks == 0].max() <= 0.5
    seen = (after.images[:, 0] > 0.5).flatten(1).sum(1) / after.masks.flatten(1).sum(1)
    assert (seen > 0.3).all()
    assert 0.1 < (seen < 0.97).float().mean() < 0.9
    assert torch.equal(after.masks, augment(dataclasses.replace(strengths, fan=0), before).masks)


def test_the_levels_of_earlier_versions_draw_the_same_numbers() -> None:
    # Printed by the version before there were tone curves and fan crops.
    draws = Augmenter(STRONG, None).draw(torch.arange(4), epoch_key(0, 1))
    expected = {
        "matrix": [
            [0.97783136, -0.22083279, 0.22083279, 0.97783136],
            [1.0556225, 0.22203, -0.22203, 1.0556225],
            [-0.92237204, 0.3067047, 0.3067047, 0.92237204],
            [-1.0184032, 0.045945294, 0.045945294, 1.0184032],
        ],
        "shift": [
            [0.072582342, -0.082660392],
            [-0.054520823, 0.02030151],
            [0.053237356, 0.088124074],
            [0.067467824, -0.047088552],
        ],
        "gamma": [[0.66988039], [0.67810494], [1.0951005], [0.81064957]],
        "gain": [[1.0345048], [1.3987579], [1.4933928], [1.381256]],
        "blur": [[0.0], [0.0], [0.0], [0.0]],
        "speckle": [[0.0], [0.0], [0.0], [0.0]],
        "sector": [[0.0], [0.0], [0.0], [17.095234]],
        "sector_middle": [[17.525639], [29.544672], [-9.2634001], [-3.5269868]],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(draws[name].reshape(4, -1), values, rtol=1e-6, err_msg=name)


SOMETIMES = (
    "speckle", "blur", "sector", "flip", "fan", "shading", "haze", "edges", "overlay", "beam",
    "wall",
)  # fmt: skip
"""Changes of half the frames or fewer."""


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Strengths)])
def test_each_strength_changes_only_what_it_names(name: str) -> None:
    points = points_of(7)
    before = batch_of(points, (gaussians(points)[:, 0] > 0.5).float())
    after = augment(Strengths(**{name: 30 if name in ("sector", "rotation") else 0.5}), before)
    moves = name in ("shift", "scale", "rotation", "flip")
    assert torch.equal(after.masks, before.masks) is not moves
    assert torch.equal(after.points, before.points) is not moves  # type: ignore[arg-type]
    changed = (after.images != before.images).flatten(1).any(1).float().mean()
    assert changed > (0.15 if name in SOMETIMES else 0.9)
    assert after.images.min() >= 0 and after.images.max() <= 1.0001


def test_the_weights_that_a_narrow_blur_leaves_out_are_below_rounding() -> None:
    before = batch_of(points_of(7))
    augmenter = Augmenter(Strengths(blur=0.7), None)
    draws = augmenter.draw(before.index, epoch_key(0, 1))
    expected = intensity.blur(before.images, draws["blur"], reach=20)
    torch.testing.assert_close(augmenter(before, draws).images, expected, atol=3e-7, rtol=0)


def test_single_strengths_override_the_named_set() -> None:
    settings = AugmentSettings(augment="strong", augment_flip=0.0, augment_blur=2.5)
    assert settings.strengths() == dataclasses.replace(STRONG, flip=0.0, blur=2.5)
    assert AugmentSettings(augment="none").strengths() == Strengths()
