"""Settings of the device."""

from __future__ import annotations

import dataclasses
from typing import Any

from echo_common.cli.settings import setting


def device_setting() -> Any:
    """Declare the setting `device`, which several commands have."""
    return setting(
        "auto", "auto, cpu, cuda or cuda:1, …; auto: the first GPU, or the CPU if there is none."
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeviceSettings:
    """Which device, and how it computes."""

    device: str = device_setting()
    compile: bool = setting(True, "Compile the network on CUDA.")
    bf16: bool = setting(True, "Compute in bfloat16 on CUDA, if the GPU supports it.")
