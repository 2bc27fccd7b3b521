"""Affine warp of image, mask, heatmaps and points together, for augmentation."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.nn import functional

from echo_train.runtime.device import constant
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
        From `echo_train.transforms.augment.mirror_order`; None without landmarks.
    """
    height, width = batch.masks.shape[1:]
    planes = [batch.images, batch.masks[:, None]]
    planes += [] if batch.heatmaps is None else [batch.heatmaps]
    warped = _warp(torch.cat(planes, dim=1), matrix, shift)
    points, heatmaps = batch.points, None if batch.heatmaps is None else warped[:, 2:]
    order = constant(tuple(mirror_order or ()), shift.device, torch.int64)
    if points is not None:
        centre = _centre(height, width, points.device)
        points = (points - centre) @ matrix.transpose(1, 2) + centre + shift[:, None]
        points = torch.where(flip[:, None, None], points[:, order], points)
    if heatmaps is not None:
        heatmaps = torch.where(flip[:, None, None, None], heatmaps[:, order], heatmaps)
    return dataclasses.replace(
        batch,
        images=warped[:, :1],
        masks=(warped[:, 1] > 0.5).float(),
        heatmaps=heatmaps,
        points=points,
    )


def _warp(planes: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
    """Warp planes, (frame, plane, y, x), by sampling each target pixel at its source position."""
    height, width = planes.shape[2:]
    x = torch.arange(width, device=planes.device) - (width - 1) / 2
    y = torch.arange(height, device=planes.device) - (height - 1) / 2
    # The coordinates of grid_sample run from -1 to 1 between the outer edges of the image.
    side = constant((width / 2, height / 2), planes.device)
    across, down = (_inverse(matrix) / side[:, None]).unbind(2)
    origin = -(across * shift[:, :1] + down * shift[:, 1:])
    # A sum over columns and one over rows, since the map is affine.
    rows = (down[:, None] * y[:, None] + origin[:, None])[:, :, None]
    grid = rows + (across[:, None] * x[:, None])[:, None]
    return functional.grid_sample(planes, grid, padding_mode="zeros", align_corners=False)


def _inverse(matrix: Tensor) -> Tensor:
    # In closed form: torch.linalg.inv checks for singular matrices, which synchronises the GPU.
    a, b, c, d = matrix.reshape(-1, 4).unbind(1)
    adjugate = torch.stack([d, -b, -c, a], dim=1) / (a * d - b * c)[:, None]
    return adjugate.reshape(-1, 2, 2)


def _centre(height: int, width: int, device: torch.device) -> Tensor:
    return constant(((width - 1) / 2, (height - 1) / 2), device)
