"""Time until a mask model is good, compared with plain PyTorch and with MONAI; prints a table.

    echo-prep synth data/demo --videos 200 --frames 64
    python benchmarks/time_to_dice.py --data data/demo

First, augmented frames per CPU second: this project's loader at several batch sizes, and a Dataset
that applies the same changes (an affine map with grid_sample, and gamma) to one sample at a time.
Then training as `make demo` does, and with this Dataset and a plain U-Net in float32, and with
MONAI's residual U-Net if MONAI is installed. For each, the seconds until the Dice of the validation
frames reaches a value, and the Dice of the test frames at that moment, whose measurement is not
counted. CPU seconds (user and system, all threads) depend less on other load of the machine.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import numpy as np
import torch
from helpers import build_store, describe_machine, open_loader, print_row
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from echo_common.cli.settings import replace
from echo_common.store import schema
from echo_common.store.reader import EchoStore
from echo_train.networks.unet import UNet
from echo_train.training.progress_bar import ProgressBar
from echo_train.training.settings import TrainSettings
from echo_train.training.trainer import Trainer

CPU = torch.device("cpu")

GOALS = (0.90, 0.92)

DEMO = replace(
    TrainSettings(),
    width=16,
    epochs=12,
    network="fast-unet",
    schedule="one-cycle",
    learning_rate=4e-3,
    ema=0.98,
    device="cpu",
)
"""As in the Makefile."""

SHIFT, SCALE, ROTATION, GAMMA = 0.05, 0.1, 10, 0.2
"""Strengths of the compared augmentation, as in `--augment light`."""


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--work", type=click.Path(path_type=Path), default=Path("cache/benchmark"))
@click.option("--seeds", default=1, show_default=True)
@click.option("--epochs", default=12, show_default=True)
@click.option("--width", default=16, show_default=True)
@click.option("--threads", default=1, show_default=True)
def main(data: Path, work: Path, seeds: int, epochs: int, width: int, threads: int) -> None:
    """Measure augmentation and training on a data set in EchoNet-Dynamic's format."""
    torch.set_num_threads(threads)
    print(f"{describe_machine()}; torch {torch.__version__}, {threads} threads\n")
    settings = replace(DEMO, store=build_store(data, work / "demo.zarr"))
    settings = replace(settings, epochs=epochs, width=width)
    compare_augmentation(settings)
    peers: dict[str, Callable[[], nn.Module]] = {
        "plain PyTorch, U-Net in float32": lambda: UNet(out_channels=1, width=width)
    }
    try:
        from monai.networks.nets import UNet as ResidualUNet
    except ImportError:
        print("MONAI is not installed, and is left out")
    else:
        channels = [width << level for level in range(5)]
        peers["plain PyTorch, MONAI's residual U-Net"] = lambda: ResidualUNet(
            2, 1, 1, channels, strides=(2, 2, 2, 2), num_res_units=2
        )
    for seed in range(seeds):
        show("this project", seed, train_own(replace(settings, seed=seed)))
        for name, make in peers.items():
            torch.manual_seed(seed)
            show(name, seed, train_peer(make(), settings))


# --- Augmentation -------------------------------------------------------------------------------


class Samples(Dataset[tuple[Tensor, Tensor]]):
    """Frames and masks of a split, each augmented alone."""

    def __init__(self, store: EchoStore, split: str, augment: bool) -> None:
        rows = store.read("index/split") == schema.SPLITS.index(split)
        self.frames = torch.from_numpy(store.read(schema.FRAMES)[rows])
        self.masks = torch.from_numpy(store.read(schema.mask_path("chords"))[rows])
        self.augment = augment

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        image, mask = self.frames[number][None] / 255, self.masks[number].float()
        if not self.augment:
            return image, mask
        angle, size, x, y, gamma = (2 * torch.rand(5) - 1).tolist()
        angle, size = math.radians(ROTATION) * angle, (1 + SCALE) ** size
        cos, sin = math.cos(angle) / size, math.sin(angle) / size
        shift = 2 * SHIFT
        theta = torch.tensor([[cos, sin, shift * x], [-sin, cos, shift * y]])
        grid = functional.affine_grid(theta[None], [1, 2, *mask.shape], align_corners=False)
        both = torch.stack([image[0], mask])[None]
        both = functional.grid_sample(both, grid, align_corners=False)[0]
        return both[:1] ** ((1 + GAMMA) ** gamma), (both[1] > 0.5).float()


def compare_augmentation(settings: TrainSettings) -> None:
    """Print augmented frames per CPU second; the best of several rounds, in turns."""
    same = replace(settings, augment="none", augment_shift=SHIFT, augment_scale=SCALE)
    same = replace(same, augment_rotation=ROTATION, augment_gamma=GAMMA, normalise="none")
    _, loader = open_loader(same, CPU)
    _, light = open_loader(replace(settings, augment="light"), CPU)
    samples = Samples(EchoStore(settings.selection.store), "TRAIN", augment=True)
    train = loader.frames.indices("TRAIN")
    for size in (8, 16, 32, 64, 128):
        works: dict[str, Callable[[], Iterator[object]]] = {
            "this project, the same changes": lambda size=size: loader.batches(train, size, 1),
            "this project, --augment light": lambda size=size: light.batches(train, size, 1),
            "Dataset of single samples": lambda size=size: iter(DataLoader(samples, size)),
        }
        rates = dict.fromkeys(works, 0.0)
        for _ in range(5):
            for name, work in works.items():
                started = time.process_time()
                for _ in work():
                    pass
                rates[name] = max(rates[name], len(train) / (time.process_time() - started))
        for name, rate in rates.items():
            print_row(f"augmented, batches of {size}: {name}", f"{rate:,.0f} frames per CPU second")


# --- Training -----------------------------------------------------------------------------------

Epoch = tuple[float, float, float, float]
"""Seconds and CPU seconds until the end of an epoch, validation Dice and test Dice."""


class Clock:
    """Seconds and CPU seconds, without those of measurements of the test frames."""

    def __init__(self) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def __call__(self) -> tuple[float, float]:
        """Seconds and CPU seconds so far."""
        return time.perf_counter() - self.wall, time.process_time() - self.cpu

    def without(self, measure: Callable[[], float]) -> float:
        """Call a function whose time does not count."""
        before = self()
        result = measure()
        after = self()
        self.wall, self.cpu = self.wall + after[0] - before[0], self.cpu + after[1] - before[1]
        return result


def train_own(settings: TrainSettings) -> Iterator[Epoch]:
    """Train as `echo-train` does, without writing."""
    trainer = Trainer(settings, *open_loader(settings, CPU), CPU)
    test = trainer.frames.indices("TEST")
    clock = Clock()
    with ProgressBar(0, 0, settings.training.epochs, quiet=True) as progress:
        for epoch in range(1, settings.training.epochs + 1):
            row = trainer.train_epoch(epoch, progress)
            dice = clock.without(lambda: float(trainer.validate(test)[0].dice().mean()))
            yield *clock(), row.val_dice, dice


def train_peer(network: nn.Module, settings: TrainSettings) -> Iterator[Epoch]:
    """Train with a DataLoader, the loss of `--target mask` and the same learning rates."""
    store = EchoStore(settings.selection.store)
    samples = Samples(store, "TRAIN", augment=True)
    batches = DataLoader(samples, settings.training.batch_size, shuffle=True)
    val, test = (Samples(store, split, augment=False) for split in ("VAL", "TEST"))
    optimiser = torch.optim.Adam(network.parameters())
    steps = settings.training.epochs * len(batches)
    rate = settings.optimiser.learning_rate
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    clock = Clock()
    for _ in range(settings.training.epochs):
        network.train()
        for images, masks in batches:
            loss = functional.binary_cross_entropy_with_logits(network(images)[:, 0], masks)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        val_dice = mean_dice(network, val)
        dice = clock.without(lambda: mean_dice(network, test))
        yield *clock(), val_dice, dice


@torch.inference_mode()
def mean_dice(network: nn.Module, samples: Samples) -> float:
    """Mean foreground Dice over frames."""
    network.eval()
    scores = []
    for images, masks in DataLoader(samples, 64):
        found = network(images)[:, 0] > 0
        true = masks > 0
        total = found.sum((1, 2)) + true.sum((1, 2))
        scores.append(2 * (found & true).sum((1, 2)) / total)
    return float(np.mean(torch.cat(scores).numpy()))


def show(name: str, seed: int, epochs: Iterator[Epoch]) -> None:
    """Print when each goal is reached, and the end."""
    remaining = list(GOALS)
    number = 0
    for number, (wall, cpu, val, test) in enumerate(epochs, start=1):
        last = (
            f"{wall:.0f} s, {cpu:.1f} CPU s, epoch {number}; validation {val:.4f}, test {test:.4f}"
        )
        while remaining and val >= remaining[0]:
            print_row(f"{name}, seed {seed}: validation Dice {remaining.pop(0):.2f}", last)
    for goal in remaining:
        print_row(f"{name}, seed {seed}: validation Dice {goal:.2f}", "not reached")
    print_row(f"{name}, seed {seed}: the end", last)


if __name__ == "__main__":
    main()
