"""Affine warp of image, mask, heatmaps and points together, for augmentation."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.nn import functional

from echo_train.transforms.batch import Batch


def transform(
    batch: Batch, matrix: Tensor, shift: Tensor, flip: Tensor, mirror_order: list[int] | None
) -> Batch:
    """Warp image, mask, heatmaps and points of each frame by one affine map about its centre.

    A point p moves to ``matrix (p - centre) + centre + shift``. Pixels from
    outside the image are black and background.

    Parameters
    ----------
    batch : Batch
    matrix : Tensor, (frame, 2, 2) float
    shift : Tensor, (frame, 2) float
        (x, y) in pixels.
    flip : Tensor, (frame,) bool
        Whether the matrix mirrors the frame; its landmarks are then reordered.
    mirror_order : list of int or None
        From `echo_train.transforms.augment.mirror_order`; None if they keep their order.
    """
    height, width = batch.masks.shape[1:]
    planes = [batch.images, batch.masks[:, None]]
    planes += [] if batch.heatmaps is None else [batch.heatmaps]
    warped = _warp(torch.cat(planes, dim=1), matrix, shift)
    points, heatmaps = batch.points, None if batch.heatmaps is None else warped[:, 2:]
    if points is not None:
        a, b, c, d = matrix.reshape(-1, 4).unbind(1)
        x, y = (width - 1) / 2, (height - 1) / 2
        offset = torch.stack([x - a * x - b * y, y - c * x - d * y], dim=1) + shift
        points = points @ matrix.transpose(1, 2) + offset[:, None]
    if mirror_order is not None:
        points, heatmaps = (_mirrored(values, flip, mirror_order) for values in (points, heatmaps))
    return dataclasses.replace(
        batch,
        images=warped[:, :1],
        # To even, so that 0.5 is background; a comparison takes ten times as long on a CPU.
        masks=warped[:, 1].round(),
        heatmaps=heatmaps,
        points=points,
    )


def _mirrored(values: Tensor | None, flip: Tensor, order: list[int]) -> Tensor | None:
    """Reorder the landmarks, dimension 1, of mirrored frames."""
    if values is None:
        return None
    # An index on the host would be copied to the device, and wait for it, in every batch.
    reordered = torch.stack([values[:, landmark] for landmark in order], dim=1)
    return torch.where(flip.reshape(-1, *[1] * (values.ndim - 1)), reordered, values)


def _warp(planes: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
    """Warp planes, (frame, plane, y, x), by sampling each target pixel at its source position."""
    height, width = planes.shape[2:]
    x = torch.arange(width, device=planes.device) - (width - 1) / 2
    y = torch.arange(height, device=planes.device) - (height - 1) / 2
    # In closed form: torch.linalg.inv checks for singular matrices, which synchronises the GPU.
    # The coordinates of grid_sample run from -1 to 1 between the outer edges of the image.
    a, b, c, d = matrix.reshape(-1, 4).unbind(1)
    determinant = (a * d - b * c)[:, None]
    across = torch.stack([d * (2 / width), c * (-2 / height)], dim=1) / determinant
    down = torch.stack([b * (-2 / width), a * (2 / height)], dim=1) / determinant
    origin = -(across * shift[:, :1] + down * shift[:, 1:])
    # A sum over columns and one over rows, since the map is affine. The coordinates are the last
    # dimension of the grid but not the innermost in memory, which would take three times as long.
    rows = (down[:, :, None] * y + origin[:, :, None])[..., None]
    grid = (rows + (across[:, :, None] * x)[:, :, None]).permute(0, 2, 3, 1)
    return functional.grid_sample(planes, grid, padding_mode="zeros", align_corners=False)
