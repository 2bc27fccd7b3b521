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
from torch import nn

from echo_common.errors import SettingsError
from echo_train.runtime import device as devices
from echo_train.runtime import distributed
from echo_train.runtime.distributed import ONLY_PROCESS, Process
from echo_train.training.train import train
from echo_train.training.trainer import Trainer
from echo_train.transforms.batch import epoch_order
from support.ranks import (
    free_port,
    images_and_gradient,
    make_normalisation,
    normalise_a_share,
)
from support.training import checkpoint, open_loader, tiny

LAUNCH = (
    "import sys; from echo_train.runtime.launch import launch; "
    "sys.exit(launch(2, 'failing_rank', sys.argv[1:]))"
)


DISCONNECT = """
import sys
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from echo_train.runtime.distributed import disconnect

def exchange():
    values = [torch.zeros(1000) for _ in range(8)]
    works = [dist.all_gather([torch.zeros(1000)], value, async_op=True) for value in values]
    for work in works:
        work.wait()

for number in range(300):
    file = f"file://{sys.argv[1]}/{number}"
    dist.init_process_group("gloo", init_method=file, rank=0, world_size=1)
    network = DistributedDataParallel(torch.nn.Linear(2, 2))
    exchange()
    disconnect()
    del network
"""


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


@pytest.mark.parametrize(
    ("failure", "code", "message"),
    [
        ("error", 1, "error: it cannot go on"),
        ("defect", 70, "internal error: ValueError: it is a defect"),
        ("interrupt", 130, "interrupted: resume with: "),
    ],
)
def test_a_process_that_fails_ends_all_with_one_message(
    small_store: Path, tmp_path: Path, failure: str, code: int, message: str
) -> None:
    """The first process waits for the second, which fails; the launcher hands Ctrl-C on to both."""
    options = ["--width", "2", "--epochs", "3", "--batch-size", "4", "--device", "cpu"]
    result = subprocess.run(
        [sys.executable, "-c", LAUNCH, "--store", small_store, "--run", tmp_path / "run", *options],
        env={
            **os.environ,
            "FAILURE": failure,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(Path(__file__).parents[2] / "support"),
            "TMPDIR": str(tmp_path),
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == code, result.stderr
    lines = result.stderr.splitlines()
    assert len([line for line in lines if line.startswith(message)]) == 1, lines
    assert "Traceback" not in result.stderr
    assert [row["epoch"] for row in checkpoint(tmp_path / "run" / "last.pt")["history"]] == [1]


def test_a_connection_ends_although_a_network_still_refers_to_it(tmp_path: Path) -> None:
    """Gloo's threads and the end of the network waited for each other in one of 500 endings."""
    command = [sys.executable, "-c", DISCONNECT, tmp_path]
    subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True, timeout=120)


@pytest.mark.parametrize(
    ("message", "lost"),
    [
        ("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:2", True),
        ("ncclRemoteError: remote process exited or there was a network error", True),
        ("shapes do not match", False),
    ],
)
def test_a_process_that_lost_another_leaves_the_message_to_it(
    message: str, lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("time.sleep", waits.append)
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda backend, **settings: None)
    process = Process(rank=0, world_size=2, local_rank=0)
    with (
        pytest.raises(RuntimeError, match="its message says why" if lost else message),
        distributed.connected(process, torch.device("cpu")),
    ):
        raise RuntimeError(message)
    assert len(waits) == lost


def test_gpus_are_bound_to_their_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """NCCL is told the GPU of each process, for barriers and exchanged objects."""
    begun: list[Any] = []
    ended: list[str] = []
    monkeypatch.setattr(
        torch.distributed,
        "init_process_group",
        lambda backend, **settings: begun.append((backend, settings["device_id"])),
    )
    monkeypatch.setattr(distributed, "disconnect", lambda: ended.append("success"))
    process = Process(rank=5, world_size=8, local_rank=1)
    for name in ("cuda:1", "cpu"):
        with distributed.connected(process, torch.device(name)):
            pass
    assert begun == [("nccl", torch.device("cuda:1")), ("gloo", None)]
    assert ended == ["success"] * 2
    # After an error nobody waits for the others.
    with pytest.raises(KeyError), distributed.connected(process, torch.device("cpu")):
        raise KeyError
    assert ended == ["success"] * 2


@pytest.mark.parametrize("name", ["cuda:0", "mps"])
def test_processes_do_not_share_a_gpu(name: str) -> None:
    process = Process(rank=1, world_size=2, local_rank=1)
    with (
        pytest.raises(SettingsError, match=f"2 processes cannot share {name}; omit --device"),
        distributed.connected(process, torch.device(name)),
    ):
        pass


@pytest.mark.parametrize("world_size", [1, 2])
def test_only_a_single_process_compiles(
    small_store: Path, monkeypatch: pytest.MonkeyPatch, world_size: int
) -> None:
    asked = []

    def record(network: nn.Module, device: torch.device, enabled: bool) -> nn.Module:
        asked.append(enabled)
        return network

    monkeypatch.setattr(devices, "compile_on_cuda", record)
    monkeypatch.setattr(distributed, "data_parallel", lambda network, process, device: network)
    settings = tiny(small_store)
    process = Process(world_size=world_size)
    Trainer(settings, *open_loader(settings), torch.device("cpu"), process)
    assert asked == [world_size == 1]


def test_shared_normalisation_of_bfloat16_sums_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """As torch's own layer does: 3,000 pixels are too many for 8 bits of bfloat16."""
    monkeypatch.setattr(distributed, "all_reduce", lambda values: values)
    images = torch.randn(3, 2, 40, 25, generator=torch.Generator().manual_seed(0)) + 4
    expected, shared = nn.Sequential(nn.BatchNorm2d(2)), nn.Sequential(nn.BatchNorm2d(2))
    distributed.synchronise_batch_norm(shared, Process(world_size=2), torch.device("cpu"))
    results = [layer(images.bfloat16()) for layer in (expected, shared)]
    assert results[1].dtype is torch.bfloat16
    torch.testing.assert_close(results[1], results[0])
    for name, values in expected.state_dict().items():
        torch.testing.assert_close(shared.state_dict()[name], values)


def gradients(state: dict[str, Any]) -> torch.Tensor:
    moments = state["optimiser"]["state"].values()
    return torch.cat([moment["exp_avg"].flatten() for moment in moments])


def statistics(state: dict[str, Any]) -> torch.Tensor:
    network = state["network"]
    return torch.cat([network[name].flatten() for name in network if "running" in name])


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))
