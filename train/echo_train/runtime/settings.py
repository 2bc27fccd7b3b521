"""Settings of the device."""

from __future__ import annotations

import dataclasses

from echo_common.cli.settings import setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeviceSettings:
    """Which device, and how it computes."""

    device: str = setting(
        "auto", "auto, cpu, cuda, cuda:1, …; auto: the first GPU, or the CPU if there is none."
    )
    compile: bool = setting(True, "Compile the network on CUDA; the CPU runs it as it is.")
    bf16: bool = setting(True, "Compute in bfloat16 on CUDA; the CPU computes in float32.")
