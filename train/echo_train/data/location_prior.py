"""Where the ventricle usually is: a prior that weighs the loss, or that the network sees.

The paper's section 5 proposes to mark the part of the image where the ventricle
usually lies. The part is either what the training split says, its mean mask,
or a box that the user gives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from echo_common.errors import SettingsError
from echo_train.networks.prior_channel import PriorSettings

if TYPE_CHECKING:
    from echo_train.data.loader import Loader


_FRAMES_AT_ONCE = 256


def make_prior(settings: PriorSettings, loader: Loader) -> Tensor | None:
    """Make the prior that the settings ask for.

    Returns
    -------
    prior : Tensor, (y, x) float32, or None
        In [0, 1], on the loader's device.

    Raises
    ------
    SettingsError
        If the box is outside the image.
    """
    if settings.prior == "none":
        return None
    if settings.prior == "mean-mask":
        return mean_mask(loader)
    assert settings.prior_box is not None
    return box(settings.prior_box, loader.frames.shape).to(loader.device)


def mean_mask(loader: Loader) -> Tensor:
    """Share of the training split's masks that hold each pixel.

    Returns
    -------
    mean : Tensor, (y, x) float32
        In [0, 1].
    """
    order = loader.frames.indices("TRAIN")
    total = torch.zeros(loader.frames.shape, dtype=torch.float64, device=loader.device)
    for batch in loader.batches(order, _FRAMES_AT_ONCE):
        total += batch.masks.sum(0)
    return (total / len(order)).float()


def box(corners: tuple[int, int, int, int], shape: tuple[int, int]) -> Tensor:
    """Draw a box.

    Parameters
    ----------
    corners : tuple of int
        x0, y0, x1, y1 in pixels, the last ones included.
    shape : tuple of int
        (height, width).

    Returns
    -------
    box : Tensor, (y, x) float32
        1 inside and 0 outside.

    Raises
    ------
    SettingsError
        If a corner is outside the image.
    """
    x0, y0, x1, y1 = corners
    height, width = shape
    if x1 >= width or y1 >= height:
        raise SettingsError(
            f"--prior-box {x0},{y0},{x1},{y1} is not within the images, which have "
            f"{width}x{height} pixels, counted from 0"
        )
    drawn = torch.zeros(shape)
    drawn[y0 : y1 + 1, x0 : x1 + 1] = 1
    return drawn
