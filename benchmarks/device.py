"""Training speed on a GPU, relative to its rate of arithmetic; prints a table.

    python benchmarks/device.py

On CUDA, measures training steps on fixed batches of masks, adding TF32, channels_last, bfloat16, a
fused optimiser, cuDNN's choice by measurement, compilation and CUDA graphs one by one. Rates are in
images/s, and as a fraction of the rate that the device's own matrix products would allow. On other
devices, prints only the number of operations per training image.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import click
import torch
from helpers import describe_machine, print_row
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from echo_train.networks.unet import UNet
from echo_train.runtime import device as devices
from echo_train.runtime.precision import forward


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
@click.option("--device", "device_name", default="auto", show_default=True)
@click.option("--width", default=64, show_default=True)
@click.option("--steps", default=20, help="Steps per measurement.", show_default=True)
def main(device_name: str, width: int, steps: int) -> None:
    """Measure variants of a training step, relative to the device's rate of arithmetic."""
    device = devices.pick_device(device_name)
    print(f"machine: {describe_machine()}; {devices.describe(device)}; torch {torch.__version__}\n")
    flop = training_flop(width)
    print_row(f"operations per training image, width {width}", f"{flop / 1e9:.1f} GFLOP")
    if device.type != "cuda":
        print_row("variants of a step", "skipped: they need CUDA")
        return
    peak = matrix_rate(device)
    limit = peak / flop
    print_row("bfloat16 matrix products, 8192 x 8192", f"{peak / 1e12:.0f} TFLOP/s")
    print_row("limit from these", f"{limit:,.0f} images/s")
    for batch_size in (8, 16, 64, 128):
        for variant in VARIANTS:
            rate = variant_rate(variant, width, batch_size, device, steps)
            print_row(
                f"{variant.name}, batches of {batch_size}",
                f"{rate:,.0f} images/s, {rate / limit:.0%} of the limit",
            )


def training_flop(width: int) -> int:
    """Floating-point operations of a forward and a backward pass of one 112x112 image."""
    network = UNet(out_channels=1, width=width)
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 1, 112, 112)).sum().backward()
    return counter.get_total_flops()


def matrix_rate(device: torch.device, side: int = 8192) -> float:
    """Floating-point operations per second of the device's own matrix product."""
    left = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    for _ in range(5):
        left @ left
    torch.cuda.synchronize(device)
    started = time.perf_counter()
    for _ in range(30):
        left @ left
    torch.cuda.synchronize(device)
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
