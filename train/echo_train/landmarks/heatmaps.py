"""Heatmaps rendered on the device from points and masks, equal to those of the store.

A store's heatmaps are seven times the size of its frames, and warping them with
an augmented image blurs their border band. Rendered for each batch they need
no memory and follow the moved points exactly.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from echo_common.store.schema import GAUSSIANS, gaussian_reach


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeatmapShape:
    """The parameters with which `echo-prep build` computed a store's heatmaps.

    Attributes
    ----------
    falloff : str
        One of `echo_common.store.schema.FALLOFFS`.
    radius : float
        Pixel expansion: radius of a heatmap in pixels.
    sigma : float
        Standard deviation of the Gaussian in pixels; unused by the other falloff.
    gaussian : str
        One of `echo_common.store.schema.GAUSSIANS`; unused by the other falloff.
    band_kernel : int
        Side of the square kernel that dilates and erodes the mask, in pixels.
    band_iterations : int
        Number of dilations and of erosions; 0 for no band.
    """

    falloff: str
    radius: float
    sigma: float = math.nan
    gaussian: str = GAUSSIANS[0]
    band_kernel: int
    band_iterations: int

    @property
    def uncut(self) -> bool:
        """Whether it is a Gaussian that is not cut at the pixel expansion."""
        return self.falloff == "gaussian" and self.gaussian == "whole"

    @property
    def reach(self) -> float:
        """Distance from the landmark, in pixels, up to which its heatmap is not 0."""
        return gaussian_reach(self.sigma) if self.uncut else self.radius

    @classmethod
    def of(cls, parameters: dict[str, Any]) -> HeatmapShape:
        """Read the shape from the parameters in the manifest of a heatmap array."""
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in parameters.items() if name in names})


def border_band(masks: Tensor, kernel: int, iterations: int) -> Tensor:
    """Mark the pixels near the border of each mask: the dilated mask minus the eroded one.

    Parameters
    ----------
    masks : Tensor, (frame, y, x) float
        1 inside, 0 outside.
    kernel, iterations : int
        Side of the square of ones, and how often it is applied; with 0
        iterations the band is the full image.

    Returns
    -------
    band : Tensor, (frame, y, x) float
        1 in the band, 0 elsewhere.
    """
    if iterations == 0:
        return torch.ones_like(masks)
    # Repeated squares equal one larger square. The anchor of a square of even side is right of
    # its middle, as in `cv2.dilate`.
    before, after = iterations * (kernel // 2), iterations * ((kernel - 1) // 2)
    inside_outside = torch.stack([masks, 1 - masks], dim=1)
    inside_outside = functional.pad(inside_outside, (before, after, before, after))
    window = before + after + 1
    dilated = _sliding_maximum(_sliding_maximum(inside_outside, window, dim=2), window, dim=3)
    # Eroding the mask is dilating the background.
    return dilated[:, 0] * dilated[:, 1]


def _sliding_maximum(values: Tensor, window: int, dim: int) -> Tensor:
    # Maxima of shifted slices, each covering twice as many pixels as the previous one: several
    # times as fast on a CPU as max_pool2d, which reads every pixel of each window.
    reach = 1
    while reach < window:
        step = min(reach, window - reach)
        length = values.shape[dim] - step
        values = torch.maximum(values.narrow(dim, 0, length), values.narrow(dim, step, length))
        reach += step
    return values


def render_heatmaps(points: Tensor, masks: Tensor, shape: HeatmapShape) -> Tensor:
    """Render one heatmap per landmark as `echo-prep build` does: expansion x band x falloff.

    Within its reach a heatmap falls off from the landmark, is scaled from 0
    (smallest value) to 1 (largest value), and is cut to the band. The reach of a
    whole Gaussian is a square, that of any other falloff a disc.
    Values are not rounded to the store's 255 steps.

    Parameters
    ----------
    points : Tensor, (frame, landmark, 2) float
        (x, y) in pixels; they may be outside the image.
    masks : Tensor, (frame, y, x) float
        1 inside, 0 outside.

    Returns
    -------
    heatmaps : Tensor, (frame, landmark, y, x) float
        In [0, 1]; all 0 if the landmark's expansion is outside the image.
    """
    count, landmarks = points.shape[:2]
    height, width = masks.shape[1:]
    band = border_band(masks, shape.band_kernel, shape.band_iterations)
    # Only the square around a landmark is computed: 441 of 12,544 pixels. The position of a
    # square entirely outside the image does not matter; the clamp keeps its integers small.
    steps = torch.arange(math.floor(2 * shape.reach) + 1, device=points.device)
    first = (points - shape.reach).ceil()
    x, y = (
        first[..., axis, None].clamp(-len(steps), side + len(steps)).long() + steps
        for axis, side in ((0, width), (1, height))
    )
    across, down = (x - points[..., :1]).square(), (y - points[..., 1:]).square()
    squared = down[..., None] + across[..., None, :]
    extent = torch.maximum(down[..., None], across[..., None, :]) if shape.uncut else squared
    inside = ((y >= 0) & (y < height))[..., None] & ((x >= 0) & (x < width))[..., None, :]
    near = inside & (extent <= shape.reach**2)
    values = _scaled(_falloff(squared, near, shape), near)
    pixel = y.clamp(0, height - 1)[..., None] * width + x.clamp(0, width - 1)[..., None, :]
    pixel = pixel.flatten(1)
    values = values.flatten(1) * band.flatten(1).gather(1, pixel)
    # Values outside the image are zero here, so adding them to its edge changes nothing.
    planes = torch.arange(landmarks, device=points.device).repeat_interleave(len(steps) ** 2)
    heatmaps = torch.zeros(count, landmarks * height * width, device=masks.device)
    heatmaps.scatter_add_(1, planes * (height * width) + pixel, values)
    return heatmaps.reshape(count, landmarks, height, width)


def _falloff(squared: Tensor, near: Tensor, shape: HeatmapShape) -> Tensor:
    if shape.falloff == "gaussian":
        # Relative to the nearest pixel: the scaling removes the factor, and without it a
        # Gaussian far outside the image underflows in float32.
        nearest = torch.where(near, squared, math.inf).amin((2, 3), keepdim=True)
        return torch.exp(-0.5 / shape.sigma**2 * (squared - nearest))
    distance = squared.sqrt()
    farthest = torch.where(near, distance, 0.0).amax((2, 3), keepdim=True)
    return 1 - distance / farthest.clamp_min(1e-12)


def _scaled(values: Tensor, near: Tensor) -> Tensor:
    lowest = torch.where(near, values, math.inf).amin((2, 3), keepdim=True)
    highest = torch.where(near, values, -math.inf).amax((2, 3), keepdim=True)
    span = highest - lowest
    # A single pixel, or several at the same distance, are all the peak.
    scaled = torch.where(span > 0, (values - lowest) / span, 1.0)
    return torch.where(near, scaled, 0.0)
