"""How fast a store is loaded and streamed for training; prints a table.

    echo-prep synth data/bench --videos 64
    python benchmarks/loading.py --data data/bench

load    Time to load a store of 20,048 frames with 7 heatmaps into memory.
stream  Frames per second of `--loader stream`, with a buffer smaller than the store.
"""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import click
import torch
from helpers import build_large_store, describe_machine, open_loader, print_row

from echo_common.cli.settings import replace
from echo_train.runtime import device as devices
from echo_train.training.settings import TrainSettings


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--work", type=click.Path(path_type=Path), default=Path("cache/benchmark"))
@click.option("--frames", default=20_048, show_default=True, help="Frames of the store.")
@click.option("--device", "device_name", default="auto", show_default=True)
@click.option("--batch-size", default=16, show_default=True)
def main(data: Path, work: Path, frames: int, device_name: str, batch_size: int) -> None:
    """Measure loading and streaming, on a data set in EchoNet-Dynamic's format."""
    device = devices.pick_device(device_name)
    print(f"{describe_machine()}; {devices.describe(device)}; torch {torch.__version__}\n")
    settings = replace(
        TrainSettings(),
        store=build_large_store(data, work, frames),
        batch_size=batch_size,
        loader="resident",
    )
    measure_load(settings, device)
    measure_stream(settings, device)


def measure_load(settings: TrainSettings, device: torch.device) -> None:
    for heatmaps in ("cached", "rendered"):
        changed = replace(settings, target="landmarks", heatmaps=heatmaps)
        seconds = []
        for _ in range(3):
            started = time.perf_counter()
            _, loader = open_loader(changed, device)
            devices.synchronise(device)
            seconds.append(time.perf_counter() - started)
            count = len(loader.frames)
            del loader
        print_row(
            f"load: {count} frames, masks, 7 landmarks, heatmaps {heatmaps}",
            f"{min(seconds):.2f} s (best of 3; first {seconds[0]:.2f} s)",
        )


def measure_stream(settings: TrainSettings, device: torch.device) -> None:
    for target in ("mask", "landmarks"):
        changed = replace(settings, target=target, loader="stream", buffer_mb=200)
        _, loader = open_loader(changed, device)
        train = loader.frames.indices("TRAIN")
        rates = []
        for epoch in (1, 2, 3):
            started, cpu_started = time.perf_counter(), time.process_time()
            for _ in loader.batches(loader.order(train, epoch), settings.training.batch_size):
                pass
            devices.synchronise(device)
            rates.append(
                (
                    len(train) / (time.perf_counter() - started),
                    len(train) / (time.process_time() - cpu_started),
                )
            )
        rate, cpu_rate = (statistics.median(column) for column in zip(*rates, strict=True))
        # Frames per second of CPU time do not depend on other load on the machine.
        arrays = "frames and masks" if target == "mask" else "frames, masks, 7 landmarks"
        print_row(
            f"stream: {arrays}, buffer of 200 MB, batches of {settings.training.batch_size}",
            f"{rate:,.0f} frames/s, {cpu_rate:,.0f} per second of CPU time (median of 3 epochs)",
        )


if __name__ == "__main__":
    main()
