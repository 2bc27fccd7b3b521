"""Training on an NVIDIA GPU: it starts, gives the results of the CPU, and explains its limits."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from echo_common.errors import RunError
from echo_train.evaluation.trained_model import load_model
from echo_train.prediction.segment import segment
from echo_train.training.train import train
from support.training import checkpoint, stopped_before, tiny

pytestmark = pytest.mark.gpu


def losses_of(folder: Path) -> list[float]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [float(row["train_loss"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize("target", ["mask", "landmarks"])
@pytest.mark.parametrize(
    ("precision", "tolerance"), [("fp32", 1e-3), ("tf32", 0.01), ("bf16", 0.03)]
)
def test_a_gpu_gives_the_losses_of_the_cpu(
    small_store: Path, tmp_path: Path, target: str, precision: str, tolerance: float
) -> None:
    changes: dict[str, Any] = {"target": target, "width": 8, "learning_rate": 1e-3}
    expected = train(tiny(small_store, tmp_path / "cpu", **changes))
    said: list[str] = []
    settings = tiny(
        small_store, tmp_path / "gpu", **{**changes, "device": "cuda", "precision": precision}
    )
    folder = train(settings, say=said.append)
    assert not [line for line in said if line.startswith("note: ")]
    assert said[0].endswith(", compiled")
    assert losses_of(folder) == pytest.approx(losses_of(expected), rel=tolerance)


@pytest.mark.parametrize("loader", ["resident", "stream"])
def test_a_run_moves_between_the_cpu_and_a_gpu(
    small_store: Path, tmp_path: Path, loader: str
) -> None:
    changes: dict[str, Any] = {"epochs": 3, "loader": loader, "ema": 0.5, "prior": "mean-mask"}
    folder = tmp_path / "run"
    with stopped_before(2), pytest.raises(KeyboardInterrupt):
        train(tiny(small_store, folder, **changes))
    with stopped_before(3), pytest.raises(KeyboardInterrupt):
        train(tiny(small_store, folder, resume=True, **{**changes, "device": "cuda"}))
    train(tiny(small_store, folder, resume=True, **changes))
    assert len(checkpoint(folder / "last.pt")["history"]) == 3


def test_a_shape_prior_predicts_on_a_gpu(small_store: Path, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"target": "landmarks", "shape_prior": True, "device": "cuda"}
    folder = train(tiny(small_store, tmp_path / "run", **changes))
    frames = torch.zeros(1, 112, 112, dtype=torch.uint8).numpy()
    on_gpu, on_cpu = (segment(load_model(folder, device=name), frames) for name in ("cuda", "cpu"))
    assert on_gpu.points == pytest.approx(on_cpu.points, abs=0.1)


def test_a_network_too_large_for_a_gpu_is_explained(small_store: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"memory of NVIDIA .* is full; lower --width to \d+"):
        train(tiny(small_store, tmp_path / "run", width=8192, device="cuda"))
    assert not (tmp_path / "run").exists()


def test_several_gpus_train_one_network(small_store: Path, tmp_path: Path) -> None:
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    single = train(tiny(small_store, tmp_path / "single", device="cuda", learning_rate=1e-6))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "-m", "--", "echo_train"]
    command += ["--config", str(single / "config.toml"), "--run", str(tmp_path / "double")]
    subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True)
    assert losses_of(tmp_path / "double") == pytest.approx(losses_of(single), rel=1e-3)
