"""Changes of gray values with one strength per frame: tone, gamma, gain, speckle and blur.

Augmentation and the graded corruptions apply them to batches on the device.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from echo_train.runtime.counter_rng import BYTE_SUM_DEVIATION, BYTE_SUM_MEAN, byte_sums


def change_tone(images: Tensor, steps: Tensor) -> Tensor:
    """Map gray values by an increasing curve of straight pieces from black to white.

    Parameters
    ----------
    images : Tensor, (frame, 1, y, x) float
        In [0, 1].
    steps : Tensor, (frame, piece) float
        How much the curve increases in each piece; positive, with a sum of 1.
    """
    pieces = steps.shape[1]
    changed = torch.zeros_like(images)
    for piece, step in enumerate(steps.unbind(1)):
        part = (images * pieces - piece).clamp(0, 1)
        changed = torch.addcmul(changed, part, per_frame(step))
    return changed


def change_gamma(images: Tensor, exponent: Tensor) -> Tensor:
    """Raise gray values to a power.

    Parameters
    ----------
    images : Tensor, (frame, 1, y, x) float
        In [0, 1].
    exponent : Tensor, (frame,) float
        Above 1 darkens midtones, below 1 lightens them.
    """
    # A third of the time of torch.pow on a CPU, whose logarithm is slow at 0. Interpolated gray
    # values are 0 or above 1e-17.
    return images.clamp_min(1e-20).log_().mul_(per_frame(exponent - 1)).exp_().mul_(images)


def change_gain(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply gray values by a factor and clip them at white.

    Parameters
    ----------
    images : Tensor, (frame, 1, y, x) float
        In [0, 1].
    factor : Tensor, (frame,) float
    """
    return (images * per_frame(factor)).clamp_(0, 1)


def add_speckle(images: Tensor, strength: Tensor, keys: Tensor) -> Tensor:
    """Multiply gray values by noise with a grain of about two pixels.

    Parameters
    ----------
    images : Tensor, (frame, 1, y, x) float
        In [0, 1].
    strength : Tensor, (frame,) float
        Standard deviation of the noise, whose mean is 1.
    keys : Tensor, (frame,) int32
        From `echo_train.runtime.counter_rng.frame_keys`.
    """
    count, _, height, width = images.shape
    noise = byte_sums(keys, (height + 2) * (width + 2)).reshape(count, 1, height + 2, width + 2)
    # Weights of 1, 2 and 1 along each axis, as sums of neighbours, which are exact in integers. A
    # convolution with one channel takes longer.
    for _ in range(2):
        noise = noise[..., :-1] + noise[..., 1:]
    for _ in range(2):
        noise = noise[..., :-1, :] + noise[..., 1:, :]
    # Their sum, 16, multiplies the mean; the root of the sum of their squares, 6, the deviation.
    scale = per_frame(strength / (6 * BYTE_SUM_DEVIATION))
    factor = (noise - 16 * BYTE_SUM_MEAN).mul_(scale).add_(1)
    return factor.mul_(images).clamp_(0, 1)


def blur(images: Tensor, sigma: Tensor, reach: int) -> Tensor:
    """Smooth each frame with its own Gaussian; outside the image is black.

    Parameters
    ----------
    images : Tensor, (frame, 1, y, x) float
    sigma : Tensor, (frame,) float
        Standard deviation in pixels; 0 leaves the frame unchanged.
    reach : int
        Half the width of the kernel, in pixels.
    """
    offsets = torch.arange(reach + 1, device=images.device, dtype=images.dtype)
    # At the smallest standard deviation the kernel is exactly 1 0 … 0.
    kernel = torch.exp(-0.5 * (offsets / sigma[:, None].clamp_min(1e-3)) ** 2)
    kernel = kernel / (2 * kernel.sum(1, keepdim=True) - kernel[:, :1])
    weights = [per_frame(column) for column in kernel.unbind(1)]
    # Sums of slices: a convolution with a kernel for each frame takes three times as long.
    for axis, padding in ((3, (reach, reach)), (2, (0, 0, reach, reach))):
        padded, size = functional.pad(images, padding), images.shape[axis]
        images = weights[0] * images
        for offset in range(1, reach + 1):
            before = padded.narrow(axis, reach - offset, size)
            after = padded.narrow(axis, reach + offset, size)
            images.addcmul_(before + after, weights[offset])
    return images


def per_frame(values: Tensor) -> Tensor:
    """Shape a number for each frame, (frame,), so that it broadcasts over images."""
    return values[:, None, None, None]
