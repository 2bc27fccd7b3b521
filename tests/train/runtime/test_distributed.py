"""Two processes over gloo take the steps of one, on the same samples, to the same figures."""

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
import torch.multiprocessing as processes
from hypothesis import given, settings
from hypothesis import strategies as st

from echo_common.errors import SettingsError
from echo_train.runtime import distributed
from echo_train.runtime.distributed import ALONE, Ranks, from_environment
from echo_train.training.train import train
from echo_train.transforms.batch import epoch_order
from support.ranks import (
    free_port,
    images_and_gradient,
    make_normalisation,
    normalise_a_share,
)
from support.training import checkpoint, tiny


def all_ranks(count: int) -> list[Ranks]:
    return [Ranks(rank=rank, count=count, local=rank) for rank in range(count)]


@settings(deadline=None)
@given(
    count=st.integers(1, 5),
    extra=st.integers(0, 9),
    samples=st.integers(5, 60),
    seed=st.integers(0),
)
def test_a_step_has_the_samples_of_one_process(
    count: int, extra: int, samples: int, seed: int
) -> None:
    """Shares cut into steps: together each step's batch, and weighted its mean."""
    batch_size = count + extra
    order = epoch_order(np.arange(samples) * 3, seed % 2**32, epoch=1)
    values = np.random.default_rng(0).normal(size=3 * samples)
    ranks = all_ranks(count)
    own = [one.share(order, batch_size) for one in ranks]
    sizes = [one.batch_size(batch_size) for one in ranks]
    for step, start in enumerate(range(0, samples, batch_size)):
        whole = order[start : start + batch_size]
        shares = [
            share[step * size : (step + 1) * size] for share, size in zip(own, sizes, strict=True)
        ]
        assert all(len(share) for share in shares)
        assert {*np.concatenate(shares)} == {*whole}
        reported = [
            share for one, share in zip(ranks, shares, strict=True) if one.counts(len(whole))
        ]
        assert sorted(np.concatenate(reported)) == sorted(whole)
        means = [
            one.weight(len(whole)) * values[share].mean()
            for one, share in zip(ranks, shares, strict=True)
        ]
        assert np.mean(means) == pytest.approx(values[whole].mean())


def test_one_process_takes_everything_in_order() -> None:
    order = np.array([4, 2, 9])
    np.testing.assert_array_equal(ALONE.share(order, 2), order)
    assert (ALONE.batch_size(2), ALONE.weight(1), ALONE.first) == (2, 1.0, True)


def test_torchruns_variables_say_who_one_is() -> None:
    assert from_environment({}) == ALONE
    table = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}
    assert from_environment(table) == Ranks(rank=5, count=8, local=1)


def test_more_processes_than_samples_are_refused() -> None:
    with pytest.raises(SettingsError, match="4 processes cannot share --batch-size 3"):
        distributed.check(Ranks(count=4), 3, {})
    with pytest.raises(SettingsError, match="4 processes cannot share VAL 2"):
        distributed.check(Ranks(count=4), 4, {"TRAIN": 9, "VAL": 2})


def test_batch_normalisation_is_over_the_batches_of_all(tmp_path: Path) -> None:
    """Three and two images in two processes, against torch's layer on all five."""
    network = make_normalisation()
    images, gradient = images_and_gradient()
    images.requires_grad_()
    out = network(images)
    out.backward(gradient)
    assert images.grad is not None
    processes.spawn(normalise_a_share, args=(free_port(), tmp_path), nprocs=2)
    for rank in range(2):
        state = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        torch.testing.assert_close(state["out"], out[rank::2].detach())
        torch.testing.assert_close(state["grad"], images.grad[rank::2])
        for name, values in network.state_dict().items():
            torch.testing.assert_close(state["state"][name], values)


@pytest.mark.parametrize(
    ("target", "batch_size"),
    # 12 frames: 11 and 1, which both processes take; four times 3, shared as 2 and 1.
    [("mask", 11), ("landmarks", 3)],
)
def test_torchrun_trains_as_one_process_does(
    small_store: Path, tmp_path: Path, target: str, batch_size: int
) -> None:
    changes = {"target": target, "batch_size": batch_size, "epochs": 2, "learning_rate": 1e-6}
    one = train(tiny(small_store, tmp_path / "one", ema=0.5, clip_norm=1.0, **changes))
    two = tmp_path / "two"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "-m", "--", "echo_train"]
    command += ["--config", str(one / "config.toml"), "--run", str(two)]
    told = subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.count("training frames") == 1
    assert {path.name for path in two.iterdir()} == {path.name for path in one.iterdir()}
    assert [path.name for path in tmp_path.iterdir() if path not in (one, two)] == []
    figures = ["train_loss", "train_dice", "val_loss", "val_dice"]
    for left, right in zip(rows(one), rows(two), strict=True):
        for name in figures:
            assert float(left[name]) == pytest.approx(float(right[name]), rel=1e-5, abs=1e-5)
    # Adam divides by the gradient's size, so that where it is nearly zero, rounding decides a
    # step's direction; its running mean of the gradients is what they were.
    for part in (gradients, statistics):
        left, right = (part(checkpoint(folder / "last.pt")) for folder in (one, two))
        assert (left - right).norm() < 0.02 * left.norm()
    left, right = (json.loads((folder / "summary.json").read_text()) for folder in (one, two))
    assert left["test"]["loss"] == pytest.approx(right["test"]["loss"], rel=1e-4)


def gradients(state: dict[str, Any]) -> torch.Tensor:
    moments = state["optimiser"]["state"].values()
    return torch.cat([one["exp_avg"].flatten() for one in moments])


def statistics(state: dict[str, Any]) -> torch.Tensor:
    network = state["network"]
    return torch.cat([network[name].flatten() for name in network if "running" in name])


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))
