"""Time until a mask model is good, compared with peers of `benchmarks/peers.py`; prints a table.

    echo-prep synth data/demo --videos 200 --frames 64
    python benchmarks/time_to_dice.py --data data/demo

First, augmented frames per CPU second: this project's loader at several batch sizes, and a Dataset
that applies the same changes (an affine map with grid_sample, and gamma) to one sample at a time.
Then training as `make demo` does; with a Dataset of this project's store, a plain U-Net and
float32; and with MONAI's CacheDataset and residual U-Net. For each, the CPU seconds until the Dice
of the validation frames reaches a value, and the Dice of the test frames at that moment, whose
measurement is not counted. CPU seconds (user and system) depend less on other load of the machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import torch
from contenders.plain import GAMMA, ROTATION, SCALE, SHIFT, augment_sample
from helpers import describe_machine, open_loader, print_row
from peers import PEERS, run_phase, write_files
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from echo_common.cli.settings import replace
from echo_common.store import schema
from echo_common.store.reader import EchoStore
from echo_train.training.settings import TrainSettings

CPU = torch.device("cpu")

COMPARED = ("ours", "zarr", "monai-cache")
"""Contenders of `benchmarks/peers.py`."""

GOALS = (0.90, 0.92)

DEMO = replace(
    TrainSettings(),
    width=16,
    epochs=12,
    network="fast-unet",
    schedule="one-cycle",
    learning_rate=4e-3,
    ema=0.98,
    batch_size=8,
    phase_channel=True,
    device="cpu",
)
"""As in the Makefile."""


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--work", type=click.Path(path_type=Path), default=Path("cache/benchmark-dice"))
@click.option(
    "--environments",
    type=click.Path(path_type=Path),
    default=Path("cache/benchmark-peers/environments"),
    show_default=True,
    help="Environments of the peers; they are installed if they are missing.",
)
@click.option("--seeds", default=1, show_default=True)
@click.option("--epochs", default=12, show_default=True)
def main(data: Path, work: Path, environments: Path, seeds: int, epochs: int) -> None:
    """Measure augmentation and training on a data set in EchoNet-Dynamic's format."""
    torch.set_num_threads(1)
    print(f"{describe_machine()}; torch {torch.__version__}, one thread\n")
    work.mkdir(parents=True, exist_ok=True)
    if not (work / "data").exists():
        (work / "data").symlink_to(data.resolve())
    write_files(work)
    run_phase(PEERS["ours"], "prepare", work, environments)
    compare_augmentation(replace(DEMO, store=work / "ours.zarr"))
    for seed in range(seeds):
        for name in COMPARED:
            options = ["--epochs", str(epochs), "--seed", str(seed)]
            result = run_phase(PEERS[name], "train", work, environments, *options)
            show(PEERS[name].title, seed, result["epochs"])


class Samples(Dataset[tuple[Tensor, Tensor]]):
    """Training frames and masks in memory, each augmented alone."""

    def __init__(self, store: EchoStore) -> None:
        rows = store.read("index/split") == schema.SPLITS.index("TRAIN")
        self.frames = torch.from_numpy(store.read(schema.FRAMES)[rows])
        self.masks = torch.from_numpy(store.read(schema.mask_path("chords"))[rows])

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        return augment_sample(self.frames[number][None] / 255, self.masks[number].float())


def compare_augmentation(settings: TrainSettings) -> None:
    """Print augmented frames per CPU second; the best of several rounds, in turns."""
    same = replace(settings, augment="none", augment_shift=SHIFT, augment_scale=SCALE)
    same = replace(same, augment_rotation=ROTATION, augment_gamma=GAMMA, normalise="none")
    _, loader = open_loader(same, CPU)
    _, light = open_loader(replace(settings, augment="light"), CPU)
    samples = Samples(EchoStore(settings.selection.store))
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


def show(name: str, seed: int, epochs: list[dict[str, float]]) -> None:
    """Print when each goal is reached, and the end."""
    reached = [
        (
            f"validation Dice {goal:.2f}",
            [n for n, epoch in enumerate(epochs) if epoch["val"] >= goal],
        )
        for goal in GOALS
    ]
    for label, numbers in [*reached, ("the end", [len(epochs) - 1])]:
        value = "not reached"
        if numbers:
            epoch = epochs[numbers[0]]
            value = (
                f"{epoch['cpu']:.1f} CPU s, epoch {numbers[0] + 1}; "
                f"validation {epoch['val']:.4f}, test {epoch['test']:.4f}"
            )
        print_row(f"{name}, seed {seed}: {label}", value)


if __name__ == "__main__":
    main()
