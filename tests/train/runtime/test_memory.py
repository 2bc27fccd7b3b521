"""Memory: which errors are those of full memory, and how much training needs."""

from __future__ import annotations

import math
import resource
from pathlib import Path

import pytest
import torch
from torch import nn
from torch._dynamo.exc import BackendCompilerFailed
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

from echo_common.errors import RunError
from echo_train.networks.unet import UNet
from echo_train.runtime import memory
from echo_train.runtime.memory import explain_full_memory, root_message, training_bytes

CPU = torch.device("cpu")


def compiler_failed(cause: Exception) -> Exception:
    """The error of torch.compile for an error of its backend, whose cause is in an attribute."""
    return BackendCompilerFailed("inductor", cause, None)


def chained(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        # AcceleratorError of torch 2.8, and RuntimeError before.
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported ..."),
        RuntimeError("Triton Error [CUDA]: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("MPS backend out of memory (MPS allocated: 17.5 GB, max allowed: 18.1 GB)."),
        RuntimeError("Invalid buffer size: 26.82 GB"),
        RuntimeError("NCCL error: unhandled cuda error. Cuda failure 2 'out of memory'"),
        RuntimeError("NCCL WARN Failed to CUDA calloc async 608 bytes"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."),
        compiler_failed(torch.OutOfMemoryError("Tried to allocate")),
        chained(RunError("best.pt does not match"), torch.OutOfMemoryError("Tried to allocate")),
        chained(ValueError(), chained(KeyError(), MemoryError())),
    ],
    ids=lambda error: f"{type(error).__name__} {error}"[:50],
)
def test_full_memory_is_explained(error: Exception) -> None:
    with (
        pytest.raises(RunError, match=r"^the memory of cpu, 1 threads is full; lower --width"),
        explain_full_memory(CPU, lambda: "lower --width"),
    ):
        raise error


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({"proc/self/cgroup": "0::/\n"}, math.inf),
        ({}, math.inf),
        (
            {
                "proc/self/cgroup": "0::/job/step\n",
                "sys/fs/cgroup/job/step/memory.max": "max\n",
                "sys/fs/cgroup/job/memory.max": "5000\n",
                "sys/fs/cgroup/job/memory.stat": "anon 1200\nfile 3000\n",
            },
            3800,
        ),
        # The root of a container, whose path is that of the machine outside.
        ({"proc/self/cgroup": "0::/../pod\n", "sys/fs/cgroup/memory.max": "700\n"}, 700),
        (
            {
                "proc/self/cgroup": "4:memory:/a/b\n3:cpuset:/\n0::/\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
                "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "900\n",
                "sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": "1000\n",
                "sys/fs/cgroup/memory/a/b/memory.stat": "rss 1\ntotal_rss 1300\n",
            },
            0,
        ),
    ],
    ids=["no limit", "no groups", "version 2", "container", "version 1"],
)
def test_limits_of_control_groups(files: dict[str, str], free: float, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert memory._free_in_groups(tmp_path) == free


def test_a_limit_of_the_address_space_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    before = memory.free_memory(CPU)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + (10 << 20)
    monkeypatch.setattr("resource.getrlimit", lambda kind: (limit, limit))
    assert before > (10 << 20) >= memory.free_memory(CPU)


@pytest.mark.parametrize(
    "error", [RuntimeError("shapes differ"), KeyError("x"), compiler_failed(OSError("gcc"))]
)
def test_other_errors_are_left_as_they_are(error: Exception) -> None:
    def advice() -> str:
        raise AssertionError("nobody asked")

    with pytest.raises(type(error)) as raised, explain_full_memory(CPU, advice):
        raise error
    assert raised.value is error


def test_the_first_cause_of_an_error_is_told_in_a_line() -> None:
    cause = RuntimeError("\nFailed to find C compiler.\nPlease specify it.")
    assert root_message(compiler_failed(cause)) == "Failed to find C compiler."
    assert root_message(KeyError()) == "KeyError"
    assert len(root_message(ValueError("x" * 999))) == 200


def peak_bytes(width: int, batch_size: int, bf16: bool) -> int:
    """Memory of a second step of Adam on the CPU, as torch's own profiler counts it."""
    network = UNet(out_channels=1, width=width).to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(network.parameters())
    images = torch.rand(batch_size, 1, 112, 112)
    images = images.contiguous(memory_format=torch.channels_last)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = network(images)
        loss = functional.binary_cross_entropy_with_logits(logits.float(), images)
        loss.backward()
        optimiser.step()

    step()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        step()
    used = peak = 0
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":
            used += event.nbytes()
            peak = max(peak, used)
    # Before the step there are weights, gradients and two moments.
    return peak + sum(4 * 4 * weights.numel() for weights in network.parameters())


@pytest.mark.parametrize(
    ("width", "batch_size", "precision"), [(4, 8, "fp32"), (8, 2, "fp32"), (8, 2, "bf16")]
)
def test_the_estimate_is_what_torch_counts(width: int, batch_size: int, precision: str) -> None:
    def make() -> nn.Module:
        return UNet(out_channels=1, width=width)

    estimate = training_bytes(make, (batch_size, 1, 112, 112), precision)
    assert estimate == pytest.approx(peak_bytes(width, batch_size, precision == "bf16"), rel=0.1)


def test_the_paper_s_network_fits_the_paper_s_laptop() -> None:
    """Width 64 and batches of 64 in bfloat16, in 8 GB."""

    def make() -> nn.Module:
        return UNet(out_channels=1, width=64)

    estimate = training_bytes(make, (64, 1, 112, 112), "bf16")
    assert 3e9 < estimate < 4e9
    assert training_bytes(make, (64, 1, 112, 112), "fp32") > 1.5 * estimate
