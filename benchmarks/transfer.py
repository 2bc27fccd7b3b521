"""How well models transfer to images of a kind that they were not trained on; prints a table.

    python benchmarks/transfer.py [--videos 600] [--epochs 20] [--pairs LOOK:AUGMENT,…]

Makes a data set of each look of `echo-prep synth` and test sets of the two families `harmonic` and
`fundamental`, which share no appearance. Trains the demo's mask model on each pair of a look and an
`--augment`, and measures it on all frames of both test sets: the mean Dice, and by how much the
predicted area is too large at end-systole. What exists in the folder is not made again.
"""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import click
import numpy as np
from helpers import describe_machine

FAMILIES = ("harmonic", "fundamental")

FAST = (
    "--network", "fast-unet", "--width", "16", "--schedule", "one-cycle",
    "--learning-rate", "4e-3", "--ema", "0.98", "--batch-size", "8", "--phase-channel",
    "--epochs", "12",
)  # fmt: skip
"""As in the Makefile."""

PAIRS = (
    "harmonic:light,harmonic:transfer,fundamental:light,fundamental:transfer,echonet:light,"
    "varied:transfer"
)

FRAMES = 16
"""Frames per video; models are trained and measured on two of them."""


@click.command()
@click.option("--videos", default=600, show_default=True, help="Of each training set.")
@click.option("--test-videos", default=150, show_default=True)
@click.option("--epochs", default=20, show_default=True)
@click.option("--seeds", default=1, show_default=True, help="Trainings of each pair.")
@click.option("--pairs", default=PAIRS, help="Looks and augmentations.", show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), default=Path("transfer-benchmark"))
def main(videos: int, test_videos: int, epochs: int, seeds: int, pairs: str, folder: Path) -> None:
    """Print one row for each pair of a look and an augmentation."""
    print(f"{describe_machine()}; {videos} videos, {epochs} epochs, {seeds} seeds\n")
    tests = {look: make_store(folder, look, test_videos, seed=7) for look in FAMILIES}
    columns = [f"{look}: {what}" for look in FAMILIES for what in ("Dice", "ES area")]
    print_cells("trained on", "augment", *columns)
    for look, augment in (pair.split(":") for pair in pairs.split(",")):
        store = make_store(folder, look, videos, seed=0)
        cells = []
        for test in tests.values():
            runs = [train(folder, store, augment, seed, epochs) for seed in range(seeds)]
            results = np.array([measure(run, test) for run in runs])
            (dice, bias), spread = results.mean(axis=0), np.ptp(results, axis=0)
            cells += [f"{dice:.3f} ({spread[0]:.3f})", f"{bias:+.1f} % ({spread[1]:.1f})"]
        print_cells(look, augment, *cells)
    print("\nIn brackets: the range over seeds.")


def print_cells(*cells: str) -> None:
    """Print one row of the table, immediately."""
    print("".join(f"{cell:<22}" for cell in cells).rstrip(), flush=True)


def make_store(folder: Path, look: str, videos: int, seed: int, *options: object) -> Path:
    """Make a data set and its store, built with the options, unless they exist."""
    data = folder / f"{look}-{videos}-{seed}"
    store = data.with_suffix(".zarr")
    if not store.exists():
        call(
            "echo-prep", "synth", data, "--videos", videos, "--frames", FRAMES, "--seed", seed,
            "--look", look,
        )  # fmt: skip
        call("echo-prep", "build", "--data", data, "--store", store, *options)
    return store


def train(folder: Path, store: Path, augment: str, seed: int, epochs: int) -> Path:
    """Train a mask model, unless it exists, and return its run."""
    run = folder / f"{store.stem}-{augment}-{seed}-{epochs}"
    if not (run / "summary.json").exists():
        call(
            "echo-train", "--store", store, "--target", "mask", *FAST, "--augment", augment,
            "--seed", seed, "--epochs", epochs, "--run", run,
        )  # fmt: skip
    return run


def measure(run: Path, store: Path) -> tuple[float, float]:
    """Mean Dice of all frames of a store, and per cent by which ES areas are too large."""
    out = run.with_name(f"{run.name}-on-{store.stem}")
    if not (out / "frames.csv").exists():
        call("echo-eval", run, "--store", store, "--split", "all", "--out", out)
    return results(out)


def results(out: Path) -> tuple[float, float]:
    """Mean Dice and excess of ES areas in per cent, of the frames that `echo-eval` measured."""
    with (out / "frames.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    systole = [row for row in rows if row["phase"] == "ES"]
    predicted, true = (sum_of(systole, name) for name in ("predicted_pixels", "true_pixels"))
    return sum_of(rows, "dice") / len(rows), 100 * (predicted / true - 1)


def sum_of(rows: Iterable[dict[str, str]], column: str) -> float:
    """Sum a column of a CSV file."""
    return sum(float(row[column]) for row in rows)


def call(name: str, *arguments: object) -> None:
    """Run a command of this project, and end with its message if it fails."""
    done = subprocess.run(
        [Path(sys.executable).with_name(name), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(done.stderr)


if __name__ == "__main__":
    main()
