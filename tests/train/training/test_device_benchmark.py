"""`benchmarks/device.py` on the CPU, at a small width."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "device.py"


def multiplications(width: int) -> int:
    """Multiply-adds of the U-Net's forward pass of one 112x112 image, layer by layer."""
    pixels = [(112 >> level) ** 2 for level in range(5)]
    total = 0
    for level, size in enumerate(pixels):
        here, before = width << level, 1 if level == 0 else width << (level - 1)
        total += 9 * size * (before * here + here * here)
        if level < 4:
            # The transposed convolution from the level below, and the decoder's two.
            total += 4 * pixels[level + 1] * 2 * here * here
            total += 9 * size * (2 * here * here + here * here)
    return total + pixels[0] * width


def training_flop(width: int) -> int:
    """Two operations each, and twice as many for the gradients, except that of the image."""
    return 2 * (3 * multiplications(width) - 9 * 112 * 112 * width)


def test_the_paper_s_network_takes_55_billion_operations_an_image() -> None:
    assert training_flop(64) / 1e9 == pytest.approx(55.2, abs=0.05)


def test_every_part_is_measured_on_the_cpu(small_store: Path, tmp_path: Path) -> None:
    options = {"store": small_store, "work": tmp_path / "work", "device": "cpu", "width": 8}
    options |= {"batch-size": 4, "epochs": 1}
    words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    result = subprocess.run(
        [sys.executable, str(SCRIPT), *words],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    rows = dict(re.split(r"  +", line, maxsplit=1) for line in result.stdout.splitlines()[2:])
    assert rows["operations per training image, width 8"] == f"{training_flop(8) / 1e9:.1f} GFLOP"
    assert re.fullmatch(r"[\d,.]+ images/s, \d+% of the limit", rows["training, batches of 4"])
    for part in ("compile", "train", "validate", "save", "finish"):
        assert f"{part} " in rows["experiment 1, from these parts"]
    launches = r"\d+ operations, and \d+ operations for its batch"
    assert re.fullmatch(launches, rows["launches of a step"])
    assert 0 <= float(rows["Dice after 1 epochs in float32"]) <= 1
    assert rows["compile"] == "not on this device"
    assert not list((tmp_path / "work").iterdir())
