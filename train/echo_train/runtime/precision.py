"""The precision that a network computes in: bfloat16 or float32."""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor, nn


def uses_bf16(device: torch.device, enabled: bool) -> bool:
    """Whether to compute in bfloat16: if enabled, on GPUs with hardware support."""
    return enabled and device.type == "cuda" and torch.cuda.is_bf16_supported()


def autocast(device: torch.device, bf16: bool) -> contextlib.AbstractContextManager[object]:
    """Compute in bfloat16 or float32; see `uses_bf16`."""
    if uses_bf16(device, bf16):
        return torch.autocast("cuda", torch.bfloat16)
    return contextlib.nullcontext()


def forward(network: nn.Module, images: Tensor, device: torch.device, bf16: bool) -> Tensor:
    """Run a network in the precision that `autocast` chooses.

    Parameters
    ----------
    network : nn.Module
    images : Tensor, (frame, channel, y, x) float
    device : torch.device
    bf16 : bool

    Returns
    -------
    logits : Tensor, (frame, channel, y, x) float32
    """
    with autocast(device, bf16):
        logits: Tensor = network(images.contiguous(memory_format=torch.channels_last))
    return logits.float()
