"""The number format that a network computes in: bfloat16, TF32 or float32."""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor, nn

from echo_common.errors import SettingsError

NAMES = {"bf16": "bfloat16", "tf32": "TF32", "fp32": "float32"}
"""What a person calls each precision."""

_AMPERE = (8, 0)
"""The first compute capability of NVIDIA GPUs with bfloat16 and TF32."""


def choose_precision(name: str, device: torch.device) -> str:
    """Choose the precision of a device, a key of `NAMES`.

    Parameters
    ----------
    name : str
        One of `echo_train.runtime.settings.PRECISIONS`.

    Raises
    ------
    SettingsError
        If the device does not compute in this precision.
    """
    if name == "auto":
        return "bf16" if supports("bf16", device) else "fp32"
    if not supports(name, device):
        raise SettingsError(
            f"{device} does not compute in {NAMES[name]}, so --precision {name} does not apply; "
            "choose --precision auto"
        )
    return name


def supports(precision: str, device: torch.device) -> bool:
    """Whether a device computes in a precision in hardware, and does not emulate it."""
    if precision == "fp32":
        return True
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= _AMPERE
    # CPUs with AMX have AVX512-BF16 too.
    return precision == "bf16" and device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()


def forward(network: nn.Module, images: Tensor, device: torch.device, precision: str) -> Tensor:
    """Run a network in a precision.

    Parameters
    ----------
    images : Tensor, (frame, channel, y, x) float
    precision : str
        From `choose_precision`.

    Returns
    -------
    logits : Tensor, (frame, channel, y, x) float32
    """
    if device.type == "cuda":
        # These hold for the backward pass too. torch's own default is TF32 in convolutions only.
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    context: contextlib.AbstractContextManager[object] = contextlib.nullcontext()
    if precision == "bf16":
        context = torch.autocast(device.type, torch.bfloat16)
    with context:
        logits: Tensor = network(images.contiguous(memory_format=torch.channels_last))
    return logits.float()
