"""Why torch cannot use the NVIDIA GPU of a machine, in a line for the user."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import torch

DRIVER = Path("/proc/driver/nvidia/version")
"""File of the kernel module of Linux; other systems, and WSL2, have only nvidia-smi."""

NEEDED_DRIVERS = {11: "450.80", 12: "525.60", 13: "580.65"}
"""The oldest driver of each major version of CUDA: NVIDIA's "CUDA Compatibility", table 2."""


def obstacle() -> str | None:
    """Explain why torch cannot use an NVIDIA GPU; None if the machine has none, or hides it.

    To be called if `torch.cuda.is_available` is false.
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0") in ("", "-1"):
        return None
    driver = _driver_version()
    if driver is None:
        return None
    if torch.version.cuda is None:
        return (
            f"the machine has an NVIDIA GPU (driver {driver}), but torch {torch.__version__} is a "
            "build without CUDA; install torch with CUDA to use it"
        )
    needed = NEEDED_DRIVERS.get(int(torch.version.cuda.split(".")[0]))
    if needed and _numbers(driver) < _numbers(needed):
        return (
            f"the NVIDIA driver {driver} is too old for CUDA {torch.version.cuda} of torch "
            f"{torch.__version__}, which needs {needed} or newer; update the driver"
        )
    return (
        f"torch cannot reach the NVIDIA GPU of the machine (driver {driver}); check that "
        "nvidia-smi lists it, and start a container with --gpus all"
    )


def _driver_version() -> str | None:
    try:
        text = DRIVER.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = _ask_nvidia_smi()
    found = re.search(r"(?<![\d.])\d{3}\.\d+(\.\d+)?(?![\d.])", text)
    return found.group() if found else None


def _ask_nvidia_smi() -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    command = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=10, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
