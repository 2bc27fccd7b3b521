"""Location prior: where the ventricle usually is, as proposed in section 5 of the paper.

The prior is the mean mask of the training split or a box given by the user. The
trainer makes it for the weights of the loss or as an input channel of the network.
"""

from __future__ import annotations

import torch
from torch import Tensor

from echo_common.errors import SettingsError
from echo_train.data.loader import Loader
from echo_train.networks.settings import PriorSettings

_BATCH_SIZE = 256


def make_prior(settings: PriorSettings, loader: Loader) -> Tensor | None:
    """Make the prior that the settings ask for, (y, x) float32 in [0, 1] on the loader's device.

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
    """Fraction of the training masks that contain each pixel, (y, x) float32."""
    order = loader.frames.indices("TRAIN")
    # Counts are exact in float32 up to 16 million frames, and MPS has no float64.
    total = torch.zeros(loader.frames.shape, device=loader.device)
    for batch in loader.batches(order, _BATCH_SIZE):
        total += batch.masks.sum(0)
    return total / len(order)


def box(corners: tuple[int, int, int, int], shape: tuple[int, int]) -> Tensor:
    """Draw a box, (y, x) float32: 1 inside and 0 outside.

    Parameters
    ----------
    corners : tuple of int
        x0, y0, x1, y1 in pixels, inclusive.
    shape : tuple of int
        (height, width).

    Raises
    ------
    SettingsError
        If a corner is outside the image.
    """
    x0, y0, x1, y1 = corners
    height, width = shape
    if x1 >= width or y1 >= height:
        raise SettingsError(
            f"--prior-box {x0},{y0},{x1},{y1} is not within the images of {width}x{height} "
            "pixels, which are counted from 0"
        )
    inside = torch.zeros(shape)
    inside[y0 : y1 + 1, x0 : x1 + 1] = 1
    return inside
