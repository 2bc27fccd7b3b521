"""Settings of the device."""

from __future__ import annotations

import dataclasses
from typing import Any

from echo_common.cli.settings import FormerFlag, setting

PRECISIONS = ("auto", "bf16", "tf32", "fp32")
"""Number formats that a network can compute in; the first is the default."""


def device_setting() -> Any:
    """Declare the setting `device`, which several commands have."""
    return setting(
        "auto",
        "auto, cpu, cuda or cuda:1, …, or mps; auto: the first GPU, or the CPU if there is none.",
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeviceSettings:
    """Which device, and how it computes."""

    device: str = device_setting()
    compile: bool = setting(True, "Compile the network on CUDA.")
    precision: str = setting(
        PRECISIONS[0],
        "Number format of the network: bfloat16, TF32 or float32; auto: bf16 on GPUs and CPUs "
        "that compute it in hardware, else fp32.",
        choices=PRECISIONS,
        former=FormerFlag("bf16", "auto", "fp32"),
    )
