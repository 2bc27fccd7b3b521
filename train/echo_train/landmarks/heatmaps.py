"""Heatmaps drawn on the device: the same as the store's, from points and masks.

A store's heatmaps are seven times the size of its frames, and warping them with
an augmented image blurs their border band. Drawn anew for each batch they cost
no memory, and follow the moved points exactly.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from echo_train.runtime.device import constant


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeatmapShape:
    """What `echo-prep build` was told about a store's heatmaps.

    Attributes
    ----------
    falloff : str
        One of `echo_common.store.schema.FALLOFFS`.
    radius : float
        Pixel expansion: distance in pixels up to which a heatmap reaches.
    sigma : float
        Standard deviation of the Gaussian in pixels; not used by the other falloff.
    band_kernel : int
        Side of the square kernel that dilates and erodes the mask, in pixels.
    band_iterations : int
        How often it does; 0 for no band.
    """

    falloff: str
    radius: float
    sigma: float = math.nan
    band_kernel: int
    band_iterations: int

    @classmethod
    def of(cls, parameters: dict[str, Any]) -> HeatmapShape:
        """Take the shape from the parameters in a heatmap array's manifest."""
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in parameters.items() if name in names})


def border_band(masks: Tensor, kernel: int, iterations: int) -> Tensor:
    """Mark the pixels near the border of each mask: dilated and not eroded.

    Parameters
    ----------
    masks : Tensor, (frame, y, x) float
        1 inside, 0 outside.
    kernel, iterations : int
        A square of ones, applied that often; 0 for a band that is everywhere.

    Returns
    -------
    band : Tensor, (frame, y, x) float
        1 in the band, 0 elsewhere.
    """
    if iterations == 0:
        return torch.ones_like(masks)
    # Squares that follow each other are one square. One of even side has its anchor right of its
    # middle, as `cv2.dilate` has it.
    before, after = iterations * (kernel // 2), iterations * ((kernel - 1) // 2)
    both = torch.stack([masks, 1 - masks], dim=1)
    both = functional.pad(both, (before, after, before, after))
    window = before + after + 1
    both = _largest_within(_largest_within(both, window, dim=2), window, dim=3)
    # Dilated, and not in what is left of the mask: where the background, dilated, reaches too.
    return both[:, 0] * both[:, 1]


def _largest_within(values: Tensor, window: int, dim: int) -> Tensor:
    # Maxima of shifted slices, each reaching twice as far as the one before: several times as
    # fast on a CPU as max_pool2d, which looks at every pixel of each window.
    reach = 1
    while reach < window:
        step = min(reach, window - reach)
        length = values.shape[dim] - step
        values = torch.maximum(values.narrow(dim, 0, length), values.narrow(dim, step, length))
        reach += step
    return values


def render_heatmaps(points: Tensor, masks: Tensor, shape: HeatmapShape) -> Tensor:
    """Draw one heatmap a landmark, as `echo-prep build` does: expansion x band x falloff.

    Within the pixel expansion a heatmap falls off from the landmark, is scaled
    so that its largest value is 1 and its smallest 0, and is cut to the band.
    Values are not rounded to the store's 255 steps.

    Parameters
    ----------
    points : Tensor, (frame, landmark, 2) float
        (x, y) in pixels; they may be outside the image.
    masks : Tensor, (frame, y, x) float
        1 inside, 0 outside.
    shape : HeatmapShape

    Returns
    -------
    heatmaps : Tensor, (frame, landmark, y, x) float
        In [0, 1]; all 0 where the landmark's expansion misses the image.
    """
    count, landmarks = points.shape[:2]
    height, width = masks.shape[1:]
    band = border_band(masks, shape.band_kernel, shape.band_iterations)
    # Only the square around a landmark is computed: 441 pixels of 12,544. Squares that lie
    # outside the image altogether may lie anywhere there; the clamp keeps integers small.
    reach = torch.arange(math.floor(2 * shape.radius) + 1, device=points.device)
    limit = constant((width, height), points.device) + len(reach)
    first = (points - shape.radius).ceil().clamp_min(-len(reach)).minimum(limit).long()
    x, y = (first[..., axis, None] + reach for axis in (0, 1))
    across, down = (x - points[..., :1]).square(), (y - points[..., 1:]).square()
    squared = down[..., None] + across[..., None, :]
    inside = ((y >= 0) & (y < height))[..., None] & ((x >= 0) & (x < width))[..., None, :]
    near = inside & (squared <= shape.radius**2)
    values = _scaled(_falloff(squared, near, shape), near)
    place = y.clamp(0, height - 1)[..., None] * width + x.clamp(0, width - 1)[..., None, :]
    place = place.flatten(1)
    values = values.flatten(1) * band.flatten(1).gather(1, place)
    # What is outside the image is zero by now, so that adding it to the edge changes nothing.
    planes = torch.arange(landmarks, device=points.device).repeat_interleave(len(reach) ** 2)
    heatmaps = torch.zeros(count, landmarks * height * width, device=masks.device)
    heatmaps.scatter_add_(1, planes * (height * width) + place, values)
    return heatmaps.reshape(count, landmarks, height, width)


def _falloff(squared: Tensor, near: Tensor, shape: HeatmapShape) -> Tensor:
    if shape.falloff == "gaussian":
        # Measured from the nearest pixel: a factor that the scaling takes out again, and without
        # which a Gaussian far outside the image is too small for float32.
        nearest = torch.where(near, squared, math.inf).amin((2, 3), keepdim=True)
        return torch.exp(-0.5 / shape.sigma**2 * (squared - nearest))
    distance = squared.sqrt()
    farthest = torch.where(near, distance, 0.0).amax((2, 3), keepdim=True)
    return 1 - distance / farthest.clamp_min(1e-12)


def _scaled(values: Tensor, near: Tensor) -> Tensor:
    lowest = torch.where(near, values, math.inf).amin((2, 3), keepdim=True)
    highest = torch.where(near, values, -math.inf).amax((2, 3), keepdim=True)
    span = highest - lowest
    # A single pixel, or several as far away as each other, are all the peak.
    scaled = torch.where(span > 0, (values - lowest) / span, 1.0)
    return torch.where(near, scaled, 0.0)
