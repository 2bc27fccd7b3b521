"""What a benchmark ran on, and how it tells what it measured."""

from __future__ import annotations

import platform
from pathlib import Path

import joblib


def describe_machine() -> str:
    """Processor, cores that may be used, and Python."""
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":")[1].strip()
    return f"{model}, {joblib.cpu_count()} cores; Python {platform.python_version()}"


def report(what: str, value: str) -> None:
    """Print one line of a table, at once."""
    print(f"{what:<64} {value}", flush=True)
