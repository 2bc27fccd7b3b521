"""Distributed training: two gloo processes take the same steps as one, with the same metrics."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.multiprocessing
from hypothesis import given, settings
from hypothesis import strategies as st

from echo_common.errors import SettingsError
from echo_train.runtime import distributed
from echo_train.runtime.distributed import ONLY_PROCESS, Process
from echo_train.training.train import train
from echo_train.transforms.batch import epoch_order
from support.ranks import (
    free_port,
    images_and_gradient,
    make_normalisation,
    normalise_a_share,
)
from support.training import checkpoint, tiny


def all_processes(count: int) -> list[Process]:
    return [Process(rank=rank, world_size=count, local_rank=rank) for rank in range(count)]


@settings(deadline=None)
@given(
    count=st.integers(1, 5),
    extra=st.integers(0, 9),
    samples=st.integers(5, 60),
    seed=st.integers(0),
)
def test_the_shares_of_a_step_make_up_its_batch(
    count: int, extra: int, samples: int, seed: int
) -> None:
    """Together the shares are the batch, and their weighted means are its mean."""
    batch_size = count + extra
    order = epoch_order(np.arange(samples) * 3, seed % 2**32, epoch=1)
    values = np.random.default_rng(0).normal(size=3 * samples)
    processes = all_processes(count)
    own = [process.share(order, batch_size) for process in processes]
    sizes = [process.batch_size(batch_size) for process in processes]
    for step, start in enumerate(range(0, samples, batch_size)):
        batch = order[start : start + batch_size]
        shares = [
            share[step * size : (step + 1) * size] for share, size in zip(own, sizes, strict=True)
        ]
        assert all(len(share) for share in shares)
        assert {*np.concatenate(shares)} == {*batch}
        reported = [
            share
            for process, share in zip(processes, shares, strict=True)
            if process.reports(len(batch))
        ]
        assert sorted(np.concatenate(reported)) == sorted(batch)
        means = [
            process.loss_weight(len(batch)) * values[share].mean()
            for process, share in zip(processes, shares, strict=True)
        ]
        assert np.mean(means) == pytest.approx(values[batch].mean())


def test_one_process_takes_everything_in_order() -> None:
    order = np.array([4, 2, 9])
    np.testing.assert_array_equal(ONLY_PROCESS.share(order, 2), order)
    assert ONLY_PROCESS.batch_size(2) == 2
    assert ONLY_PROCESS.loss_weight(1) == 1.0
    assert ONLY_PROCESS.is_first


def test_a_process_is_read_from_the_variables_of_torchrun() -> None:
    assert Process.from_environment({}) == ONLY_PROCESS
    variables = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}
    expected = Process(rank=5, world_size=8, local_rank=1)
    assert Process.from_environment(variables) == expected


def test_more_processes_than_samples_are_refused() -> None:
    with pytest.raises(SettingsError, match="4 processes cannot share --batch-size 3"):
        distributed.check_batches(Process(world_size=4), 3, {})
    with pytest.raises(SettingsError, match="4 processes cannot share VAL 2"):
        distributed.check_batches(Process(world_size=4), 4, {"TRAIN": 9, "VAL": 2})


def test_batch_normalisation_covers_the_batches_of_all_processes(tmp_path: Path) -> None:
    """Three and two images in two processes, against torch's layer on all five."""
    network = make_normalisation()
    images, gradient = images_and_gradient()
    images.requires_grad_()
    out = network(images)
    out.backward(gradient)
    assert images.grad is not None
    torch.multiprocessing.spawn(normalise_a_share, args=(free_port(), tmp_path), nprocs=2)
    for rank in range(2):
        state = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        torch.testing.assert_close(state["out"], out[rank::2].detach())
        torch.testing.assert_close(state["grad"], images.grad[rank::2])
        for name, values in network.state_dict().items():
            torch.testing.assert_close(state["state"][name], values)


@pytest.mark.parametrize(
    ("target", "batch_size"),
    # 12 frames: batches of 11 and 1, whose sample both take, or four batches of 3 (2 and 1).
    [("mask", 11), ("landmarks", 3)],
)
def test_torchrun_trains_like_a_single_process(
    small_store: Path, tmp_path: Path, target: str, batch_size: int
) -> None:
    changes = {"target": target, "batch_size": batch_size, "epochs": 2, "learning_rate": 1e-6}
    single = train(tiny(small_store, tmp_path / "single", ema=0.5, clip_norm=1.0, **changes))
    double = tmp_path / "double"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "-m", "--", "echo_train"]
    command += ["--config", str(single / "config.toml"), "--run", str(double)]
    result = subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("training frames") == 1
    assert {path.name for path in double.iterdir()} == {path.name for path in single.iterdir()}
    assert [path.name for path in tmp_path.iterdir() if path not in (single, double)] == []
    metrics = ["train_loss", "train_dice", "val_loss", "val_dice"]
    for left, right in zip(rows(single), rows(double), strict=True):
        for name in metrics:
            assert float(left[name]) == pytest.approx(float(right[name]), rel=1e-5, abs=1e-5)
    # Adam divides by the magnitude of the gradient, so rounding decides the direction of a step
    # if a gradient is nearly zero. Its running mean of the gradients is compared instead.
    for part in (gradients, statistics):
        left, right = (part(checkpoint(folder / "last.pt")) for folder in (single, double))
        assert (left - right).norm() < 0.02 * left.norm()
    left, right = (json.loads((folder / "summary.json").read_text()) for folder in (single, double))
    assert left["test"]["loss"] == pytest.approx(right["test"]["loss"], rel=1e-4)


def gradients(state: dict[str, Any]) -> torch.Tensor:
    moments = state["optimiser"]["state"].values()
    return torch.cat([moment["exp_avg"].flatten() for moment in moments])


def statistics(state: dict[str, Any]) -> torch.Tensor:
    network = state["network"]
    return torch.cat([network[name].flatten() for name in network if "running" in name])


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))
