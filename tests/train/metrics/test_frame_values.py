"""Values of frames over batches: their order, and those of a single frame."""

from __future__ import annotations

import torch

from echo_train.metrics.frame_values import FrameValues
from echo_train.metrics.overlap import pixel_counts
from support.masks import mask_pairs


def test_counts_keep_the_order_of_the_frames() -> None:
    predicted, true = mask_pairs(6)
    metric = FrameValues("counts")
    for part in (slice(0, 4), slice(4, 6)):
        index = torch.tensor([9, 3, 5, 0, 7, 2])[part]
        masks = (torch.from_numpy(predicted[part]), torch.from_numpy(true[part]))
        metric.update(index=index, counts=pixel_counts(*masks))
    index, counts = metric.rows().values()
    assert index.tolist() == [9, 3, 5, 0, 7, 2]
    for row, found, target in zip(counts.tolist(), predicted, true, strict=True):
        assert row == [(found & target).sum(), found.sum(), target.sum(), (found == target).sum()]


def test_landmarks_keep_their_order() -> None:
    metric = FrameValues("points", "masks")
    points = torch.rand(5, 7, 2)
    masks = torch.arange(10, dtype=torch.uint8).reshape(5, 2)
    metric.update(index=torch.tensor([4, 1]), points=points[:2], masks=masks[:2])
    metric.update(index=torch.tensor([0, 2, 3]), points=points[2:], masks=masks[2:])
    index, kept, packed = metric.rows().values()
    assert index.tolist() == [4, 1, 0, 2, 3]
    assert torch.equal(kept, points) and torch.equal(packed, masks)


def test_a_single_frame_has_rows_too() -> None:
    metric = FrameValues("counts")
    metric.update(index=torch.tensor([3]), counts=torch.ones(1, 4))
    rows = metric.rows()
    assert rows["index"].tolist() == [3] and rows["counts"].shape == (1, 4)
