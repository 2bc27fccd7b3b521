"""Training speed of a device, relative to its rate of arithmetic; prints a table.

    python benchmarks/device.py --store cache/echonet.zarr --work cache/benchmark

Measures the parts of a run of the paper's experiment 1 on whatever device there is: images/s of
training and of evaluation, the loader's share of a step, what a step launches, the time
to save a checkpoint, and Dice in bfloat16 and in float32 after a few epochs. Rates are also given
as a fraction of the rate that the device's own matrix products would allow. On CUDA, also measures
training steps on fixed batches, adding TF32, channels_last, bfloat16, a fused optimiser, cuDNN's
choice by measurement, compilation and CUDA graphs one by one.
"""

from __future__ import annotations

import copy
import dataclasses
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from helpers import describe_machine, open_loader, print_row
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from echo_common.cli.settings import replace
from echo_common.paper import PRESETS
from echo_train.networks.unet import UNet
from echo_train.runs.checkpoint import checkpoint_bytes, host_copy
from echo_train.runs.run_folder import read_metrics
from echo_train.runtime import device as devices
from echo_train.runtime.precision import NAMES, choose_precision, forward, supports
from echo_train.training.forecast import duration, measure_pace
from echo_train.training.optimiser import make_optimiser
from echo_train.training.settings import TrainSettings
from echo_train.training.train import train
from echo_train.training.trainer import Trainer
from echo_train.transforms.batch import Batch

TRAIN_IMAGES, TEST_IMAGES = 16_038, 4_010
"""Images of the paper's experiment 1."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Variant:
    """A way to compute a training step."""

    name: str
    channels_last: bool = True
    precision: str = "bf16"
    fused: bool = True
    mode: str | None = None
    benchmark: bool = False


VARIANTS = (
    Variant(name="float32, channels first", channels_last=False, precision="fp32", fused=False),
    Variant(name="TF32, channels first", channels_last=False, precision="tf32", fused=False),
    Variant(name="TF32 + channels_last", precision="tf32", fused=False),
    Variant(name="bfloat16 + channels_last", fused=False),
    Variant(name="+ fused optimiser"),
    Variant(name="+ cuDNN's benchmark", benchmark=True),
    Variant(name="+ compile", mode="default"),
    Variant(name="+ compile and cuDNN's benchmark", mode="default", benchmark=True),
    Variant(name="+ CUDA graphs", mode="reduce-overhead"),
)


@click.command()
@click.option("--store", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--work", type=click.Path(path_type=Path), default=Path("cache/benchmark"))
@click.option("--device", "device_name", default="auto", show_default=True)
@click.option("--width", default=64, show_default=True)
@click.option("--batch-size", default=64, show_default=True)
@click.option("--epochs", default=2, show_default=True, help="Epochs in each precision.")
@click.option("--steps", default=20, help="Steps per measurement of variants.", show_default=True)
def main(
    store: Path,
    work: Path,
    device_name: str,
    width: int,
    batch_size: int,
    epochs: int,
    steps: int,
) -> None:
    """Measure training on a device, relative to its rate of arithmetic."""
    device = devices.pick_device(device_name)
    print(f"machine: {describe_machine()}; {devices.describe(device)}; torch {torch.__version__}\n")
    work.mkdir(parents=True, exist_ok=True)
    flop = training_flop(width)
    print_row(f"operations per training image, width {width}", f"{flop / 1e9:.1f} GFLOP")
    settings = replace(
        TrainSettings(), store=store, width=width, batch_size=batch_size, device=device_name
    )
    precision = choose_precision(settings.hardware.precision, device)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    side = 8192 if device.type == "cuda" else 1024
    limit = matrix_rate(device, side, dtype) / flop
    print_row(f"matrix products, {side} x {side}, {dtype}", f"{limit * flop / 1e12:.2f} TFLOP/s")
    print_row("limit from these", f"{limit:,.1f} images/s")
    measure_parts(settings, device, limit, work)
    measure_precisions(replace(settings, epochs=epochs), device, work)
    if device.type == "cuda":
        for size in (8, 16, 64, 128):
            for variant in VARIANTS:
                rate = variant_rate(variant, width, size, device, steps)
                print_row(
                    f"{variant.name}, batches of {size}",
                    f"{rate:,.0f} images/s, {rate / limit:.0%} of the limit",
                )


def measure_parts(settings: TrainSettings, device: torch.device, limit: float, work: Path) -> None:
    """Measure the parts of a run, and add them up for experiment 1."""
    started = time.perf_counter()
    choice, loader = open_loader(settings, device)
    print_row("open the store, read the frames", f"{time.perf_counter() - started:.2f} s")
    trainer = Trainer(settings, choice, loader, device)
    started = time.perf_counter()
    trainer.try_compiled()
    compiling = time.perf_counter() - started if trainer.compiled else 0.0
    print_row("compile", f"{compiling:.1f} s" if trainer.compiled else "not on this device")
    pace = measure_pace(trainer)
    print_row(
        f"training, batches of {settings.training.batch_size}",
        f"{1 / pace.training:,.1f} images/s, {1 / pace.training / limit:.0%} of the limit",
    )
    print_row("evaluation", f"{1 / pace.evaluation:,.1f} images/s")
    loading = loader_seconds(trainer)
    print_row("the loader's share of a step", f"{loading / pace.training:.1%}")
    preparation, step = count_operations(trainer)
    print_row("launches of a step", f"{step}, and {preparation} for its batch")
    saving, writing = save_seconds(trainer, work)
    print_row(
        "save a checkpoint",
        f"training waits for {saving:.3f} s, {saving / pace.training:,.1f} images; a thread writes "
        f"it in {writing:.2f} s",
    )
    epochs = PRESETS["experiment-1"]["epochs"]
    parts = {
        "compile": compiling,
        "train": epochs * TRAIN_IMAGES * pace.training,
        "validate": epochs * TEST_IMAGES * pace.evaluation,
        # The last state is written before the run ends.
        "save": epochs * saving + writing,
        "finish": 2 * TEST_IMAGES * pace.evaluation,
    }
    print_row(
        "experiment 1, from these parts",
        f"{duration(sum(parts.values()))}: "
        + ", ".join(f"{name} {duration(seconds)}" for name, seconds in parts.items()),
    )


def loader_seconds(trainer: Trainer) -> float:
    """Seconds per training image of the loader alone."""
    size = trainer.settings.training.batch_size
    order = trainer.loader.order(trainer.frames.indices("TRAIN"), 1)[: 20 * size]
    times = []
    for _ in range(3):
        devices.synchronise(trainer.device)
        started = time.perf_counter()
        for _ in trainer.loader.batches(order, size, 1):
            pass
        devices.synchronise(trainer.device)
        times.append((time.perf_counter() - started) / len(order))
    return min(times)


class CountOperations(TorchDispatchMode):
    """Counts the operations on tensors that compute; views of tensors launch nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += not func.is_view
        return func(*args, **(kwargs or {}))


def count_operations(trainer: Trainer) -> tuple[str, str]:
    """Count what a step launches: its batch, and the rest.

    On CUDA, the kernels of the step as it trains, as the profiler sees them; elsewhere the
    operations, none of which is compiled.
    """
    size = trainer.settings.training.batch_size
    order = trainer.loader.order(trainer.frames.indices("TRAIN"), 1)[:size]
    network = copy.deepcopy(trainer.network).train()
    compiled = devices.compile_on_cuda(network, trainer.device, trainer.compiled)
    optimiser = make_optimiser(network, 0.0, 0.0, trainer.device)
    batches = trainer.loader.batches(np.tile(order, 4), size, 1)

    def step(batch: Batch) -> None:
        logits = forward(compiled, batch.images, trainer.device, trainer.precision)
        trainer.target.loss(logits, batch).backward()
        optimiser.step()

    # The first batch draws the changes of the epoch, and compiles.
    step(next(batches))
    if trainer.device.type != "cuda":
        with CountOperations() as preparation:
            batch = next(batches)
        with CountOperations() as rest:
            step(batch)
        return f"{preparation.count} operations", f"{rest.count} operations"
    counts = []
    prepared: list[Batch] = []
    for work in (lambda: prepared.append(next(batches)), lambda: step(prepared[0])):
        with torch.profiler.profile() as profiler:
            work()
            devices.synchronise(trainer.device)
        counts.append(sum("LaunchKernel" in event.name for event in profiler.events()))
    return f"{counts[0]} kernels", f"{counts[1]} kernels"


def save_seconds(trainer: Trainer, work: Path) -> tuple[float, float]:
    """Seconds that training waits for the copy of its state, and that a thread writes it."""
    moments = [[values.clone(), values.clone()] for values in trainer.network.parameters()]
    state = {"network": trainer.network.state_dict(), "optimiser": moments}
    devices.synchronise(trainer.device)
    started = time.perf_counter()
    copied = host_copy(state)
    middle = time.perf_counter()
    with tempfile.TemporaryFile(dir=work) as file:
        file.write(checkpoint_bytes(copied))
        file.flush()
        os.fsync(file.fileno())
    return middle - started, time.perf_counter() - middle


def measure_precisions(settings: TrainSettings, device: torch.device, work: Path) -> None:
    """Train in bfloat16 and in float32, and compare the validation Dice."""
    for precision in ("bf16", "fp32"):
        label = f"Dice after {settings.training.epochs} epochs in {NAMES[precision]}"
        if not supports(precision, device):
            print_row(label, "skipped: the device only emulates it")
            continue
        with tempfile.TemporaryDirectory(dir=work) as folder:
            run = train(replace(settings, precision=precision, run=Path(folder) / "run"))
            print_row(label, f"{read_metrics(run)[-1].val_dice:.4f}")


def training_flop(width: int) -> int:
    """Floating-point operations of a forward and a backward pass of one 112x112 image."""
    network = UNet(out_channels=1, width=width)
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 1, 112, 112)).sum().backward()
    return counter.get_total_flops()


def matrix_rate(device: torch.device, side: int, dtype: torch.dtype) -> float:
    """Floating-point operations per second of the device's own matrix product."""
    left = torch.randn(side, side, device=device, dtype=dtype)
    for _ in range(5):
        left @ left
    devices.synchronise(device)
    started = time.perf_counter()
    for _ in range(30):
        left @ left
    devices.synchronise(device)
    return 30 * 2 * side**3 / (time.perf_counter() - started)


def variant_rate(
    variant: Variant, width: int, batch_size: int, device: torch.device, steps: int
) -> float:
    torch.manual_seed(0)
    torch._dynamo.reset()
    torch.backends.cudnn.benchmark = variant.benchmark
    layout = torch.channels_last if variant.channels_last else torch.contiguous_format
    network: nn.Module = UNet(out_channels=1, width=width).to(device, memory_format=layout)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3, fused=variant.fused)
    learner: Callable[..., torch.Tensor] = network
    if variant.mode is not None:
        learner = torch.compile(network, dynamic=False, mode=variant.mode)
    images = torch.rand(batch_size, 1, 112, 112, device=device).contiguous(memory_format=layout)
    masks = (images[:, 0] > 0.5).float()

    def step() -> None:
        logits = forward(learner, images, device, variant.precision)
        loss = nn.functional.binary_cross_entropy_with_logits(logits[:, 0], masks)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    for _ in range(8):
        step()
    torch.cuda.synchronize(device)
    started = time.perf_counter()
    for _ in range(steps):
        step()
    torch.cuda.synchronize(device)
    return batch_size * steps / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
