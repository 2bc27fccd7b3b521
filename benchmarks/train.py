"""Training speed: the cost of a batch, an epoch fed in two ways, runs at once; prints a table.

    echo-prep synth data/bench --videos 64
    python benchmarks/train.py --data data/bench

batch   Cost of a batch, compared with the training step that uses it.
epoch   Training from the store, compared with training the same network from EchoNet-Dynamic's
        loader, which decodes the whole video and fills the polygon with scikit-image for each
        sample, in worker processes.
grid    Four runs with `--jobs 1`, each on all cores, compared with `--jobs 2`, from the start of
        the command to its table. Needs a machine without other load.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import cv2
import joblib
import numpy as np
import skimage.draw
import torch
from decoding import decode_all
from helpers import (
    build_large_store,
    build_store,
    describe_machine,
    open_loader,
    print_row,
)
from torch.utils.data import DataLoader, Dataset

from echo_common.cli.settings import replace
from echo_common.store.schema import SPLITS
from echo_prep.layouts.echonet_dynamic import VIDEOS, read_dataset
from echo_train.data.loader import Loader
from echo_train.data.settings import HEATMAPS
from echo_train.networks.unet import UNet
from echo_train.runtime import device as devices
from echo_train.runtime.precision import choose_precision, forward
from echo_train.targets.base import Target
from echo_train.targets.factory import make_target
from echo_train.training.optimiser import make_optimiser
from echo_train.training.settings import TrainSettings
from echo_train.transforms.batch import Batch
from echo_train.transforms.settings import AUGMENTS

PARTS = ("batch", "epoch", "grid")


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--work", type=click.Path(path_type=Path), default=Path("cache/benchmark"))
@click.option("--only", type=click.Choice(PARTS), help="By default, all parts.")
@click.option("--frames", default=20_048, show_default=True, help="Frames of the store of `batch`.")
@click.option("--device", "device_name", default="auto", show_default=True)
@click.option("--width", default=64, show_default=True)
@click.option("--batch-size", default=16, show_default=True)
@click.option("--steps", default=5, show_default=True, help="Steps per measurement.")
@click.option("--samples", default=256, show_default=True, help="Samples of `epoch`.")
@click.option("--epochs", default=10, show_default=True, help="Epochs of each run of `grid`.")
@click.option("--workers", default=0, help="Of EchoNet-Dynamic's loader; 0 for one per core.")
@click.option("--threads", type=int, help="Of torch; by default one per core.")
def main(
    data: Path,
    work: Path,
    only: str | None,
    frames: int,
    device_name: str,
    width: int,
    batch_size: int,
    steps: int,
    samples: int,
    epochs: int,
    workers: int,
    threads: int | None,
) -> None:
    """Measure training steps on a data set in EchoNet-Dynamic's format."""
    if threads:
        torch.set_num_threads(threads)
    device = devices.pick_device(device_name)
    print(f"{describe_machine()}; {devices.describe(device)}; torch {torch.__version__}\n")
    settings = replace(TrainSettings(), width=width, batch_size=batch_size, loader="resident")
    if only in (None, "batch"):
        store = build_large_store(data, work, frames)
        measure_batch(replace(settings, store=store), device, steps)
    settings = replace(settings, store=build_store(data, work / "small.zarr"))
    if only in (None, "epoch"):
        measure_epoch(settings, data, device, samples, workers or joblib.cpu_count())
    if only in (None, "grid"):
        measure_grid(settings, device_name, epochs)


# --- Steps --------------------------------------------------------------------------------------


class Step:
    """The training step of `echo-train`, on batches from any source."""

    def __init__(self, settings: TrainSettings, target: Target, device: torch.device) -> None:
        self.settings, self.target, self.device = settings, target, device
        network = UNet(out_channels=self.target.channels, width=settings.architecture.width)
        self.network = network.to(device, memory_format=torch.channels_last)
        self.precision = choose_precision(settings.hardware.precision, device)
        self.compiled = devices.compile_on_cuda(self.network, device, settings.hardware.compile)
        self.optimiser = make_optimiser(self.network, settings.optimiser.learning_rate, 0.0, device)

    def __call__(self, batch: Batch) -> None:
        """Move the weights by one batch."""
        logits = forward(self.compiled, batch.images, self.device, self.precision)
        loss = self.target.loss(logits, batch)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()


def open_step(settings: TrainSettings, device: torch.device) -> tuple[Loader, Step]:
    choice, loader = open_loader(settings, device)
    target = make_target(settings.losses, settings.decoding, choice, loader, weights=None)
    return loader, Step(settings, target, device)


def seconds_each(
    work: Callable[[Batch], None], batches: Iterator[Batch], count: int, device: torch.device
) -> float:
    """Seconds per batch, over `count` batches without synchronisation in between."""
    devices.synchronise(device)
    started = time.perf_counter()
    for _ in range(count):
        work(next(batches))
    devices.synchronise(device)
    return (time.perf_counter() - started) / count


def measure_batch(settings: TrainSettings, device: torch.device, steps: int) -> None:
    for target in ("mask", "landmarks"):
        changed = replace(settings, target=target)
        loader, step = open_step(changed, device)
        batches = endless(loader, settings.training.batch_size)
        fixed = next(batches)
        step(fixed)
        # In turns, so that other load on the machine affects both.
        times = [
            (
                seconds_each(step, itertools.repeat(fixed), steps, device),
                seconds_each(step, batches, steps, device),
            )
            for _ in range(3)
        ]
        fixed_seconds, loaded_seconds = (min(column) for column in zip(*times, strict=True))
        print_row(
            f"batch: {target}, step on a fixed batch, width {settings.architecture.width}, "
            f"{settings.training.batch_size} images",
            f"{1e3 * fixed_seconds:.1f} ms; "
            f"with the loader {loaded_seconds / fixed_seconds - 1:+.2%}",
        )
        for augment in AUGMENTS:
            for heatmaps in HEATMAPS[: 1 if target == "mask" else None]:
                changed = replace(changed, augment=augment, heatmaps=heatmaps)
                _, loader = open_loader(changed, device)
                batches = endless(loader, settings.training.batch_size)
                next(batches)
                seconds = min(
                    seconds_each(lambda batch: None, batches, 20, device) for _ in range(5)
                )
                name = target if target == "mask" else f"{target}, heatmaps {heatmaps}"
                print_row(
                    f"batch: {name}, augment {augment}, without a step",
                    f"{1e3 * seconds:.2f} ms, {seconds / fixed_seconds:.2%} of the step",
                )


def endless(loader: Loader, batch_size: int) -> Iterator[Batch]:
    """Full batches of successive epochs."""
    train = loader.frames.indices("TRAIN")
    epoch = 0
    while True:
        epoch += 1
        order = loader.order(train, epoch)
        count = len(order) // batch_size * batch_size
        yield from loader.batches(order[:count], batch_size, epoch)


# --- Compared with EchoNet-Dynamic's loader -----------------------------------------------------


class DecodedSamples(Dataset[tuple[np.ndarray, np.ndarray]]):
    """Samples as EchoNet-Dynamic's loader makes them, decoding every frame of the video."""

    def __init__(self, data: Path, count: int) -> None:
        dataset = read_dataset(data)
        self.samples = [
            (data / VIDEOS / f"{video.name}.avi", trace.frame, trace.contour)
            for video in dataset.videos
            if video.split == SPLITS.index("TRAIN")
            for trace in dataset.traces[video.name]
        ]
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        path, traced, contour = self.samples[number % len(self.samples)]
        image = cv2.cvtColor(decode_all(path)[traced], cv2.COLOR_RGB2GRAY)
        contour = np.rint(contour[~np.isnan(contour).any(axis=1)]).astype(int)
        mask = np.zeros(image.shape, dtype=np.float32)
        rows, columns = skimage.draw.polygon(contour[:, 1], contour[:, 0], mask.shape)
        mask[rows, columns] = 1
        return image[None].astype(np.float32) / 255, mask


def measure_epoch(
    settings: TrainSettings, data: Path, device: torch.device, samples: int, workers: int
) -> None:
    loader, step = open_step(settings, device)
    batches = endless(loader, settings.training.batch_size)
    step(next(batches))
    count = samples // settings.training.batch_size
    store_rate = settings.training.batch_size / seconds_each(step, batches, count, device)
    reference = DataLoader(
        DecodedSamples(data, count * settings.training.batch_size),
        settings.training.batch_size,
        num_workers=workers,
        pin_memory=device.type == "cuda",
    )

    def decoded() -> Iterator[Batch]:
        for images, masks in reference:
            yield Batch(
                index=torch.zeros(len(images), dtype=torch.int64, device=device),
                images=images.to(device),
                masks=masks.to(device),
                heatmaps=None,
                points=None,
            )

    video_rate = settings.training.batch_size / seconds_each(step, decoded(), count, device)
    name = (
        f"width {settings.architecture.width}, batches of {settings.training.batch_size}, "
        f"{samples} samples"
    )
    print_row(f"epoch: from the store, {name}", f"{store_rate:.1f} images/s")
    print_row(
        f"epoch: decoding a video per sample, {workers} workers",
        f"{video_rate:.1f} images/s; the store is {store_rate / video_rate:.1f} times as fast",
    )


# --- Runs at once -------------------------------------------------------------------------------


def measure_grid(settings: TrainSettings, device: str, epochs: int) -> None:
    width, batch_size = settings.architecture.width, settings.training.batch_size
    options = ["--store", settings.selection.store, "--device", device, "--grid", "seed=0..3"]
    options += ["--width", width, "--batch-size", batch_size, "--epochs", epochs]
    wall, cpu = {}, {}
    for jobs in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            command = ["-m", "echo_train", *options, "--jobs", jobs, "--run", folder]
            before, started = os.times(), time.perf_counter()
            subprocess.run(
                [sys.executable, *map(str, command)], check=True, capture_output=True, text=True
            )
            wall[jobs], after = time.perf_counter() - started, os.times()
            user, system = after.children_user, after.children_system
            cpu[jobs] = user - before.children_user + system - before.children_system
        print_row(
            f"grid: 4 runs of {epochs} epochs, width {width}, --jobs {jobs}",
            f"{wall[jobs]:.1f} s, {cpu[jobs]:.1f} CPU s; load {os.getloadavg()[0]:.1f}",
        )
    print_row(
        "grid: --jobs 2 compared with --jobs 1",
        f"{wall[1] / wall[2]:.2f} times as fast, {cpu[2] / cpu[1]:.2f} times the CPU time",
    )


if __name__ == "__main__":
    main()
