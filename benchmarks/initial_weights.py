"""What `echo-train --init` gives with 10, 50 and all training videos; prints a table.

    python benchmarks/initial_weights.py [--init synthetic-mask] [--look fundamental] [--steps 80]

Makes a data set of 200 videos of a look that the initial weights were not trained on. Trains models
of the same kind on some of its training videos, from random and from initial weights, with the same
number of steps, and prints the mean test Dice. What exists in the folder is not made again.
"""

from __future__ import annotations

import json
from pathlib import Path

import click
import numpy as np
from helpers import describe_machine
from transfer import FAST, call, make_store, print_cells

from echo_common.outputs import output_name
from echo_train.evaluation.trained_model import load_model
from echo_train.networks.architecture import network_settings

SIZES = (10, 50, 0)
"""Training videos; 0 for all."""


@click.command()
@click.option("--init", default="synthetic-mask", show_default=True, help="As of echo-train.")
@click.option("--look", default="fundamental", show_default=True)
@click.option("--videos", default=200, show_default=True, help="In all splits together.")
@click.option("--steps", default=80, show_default=True)
@click.option("--seeds", default=3, show_default=True, help="Trainings of each row and column.")
@click.option("--folder", type=click.Path(path_type=Path), default=Path("transfer-benchmark"))
def main(init: str, look: str, videos: int, steps: int, seeds: int, folder: Path) -> None:
    """Print one row for each number of training videos."""
    print(f"{describe_machine()}; {look}, {steps} steps, {seeds} seeds\n")
    store = make_store(folder, look, videos, 0, "--landmarks", 11)
    # The same target and network from random weights.
    initial = load_model(init)
    width = network_settings(initial.network)["width"]
    selection = initial.settings.selection
    kind = ("--target", selection.target, "--landmarks", selection.landmarks, "--width", width)
    print_cells("training videos", "from random weights", f"from {init}", "difference")
    options = (*FAST, *kind, "--steps", steps)
    for size in SIZES:
        dice = np.array(
            [
                [train(folder, store, size, start, seed, *options) for seed in range(seeds)]
                for start in (None, init)
            ]
        )
        cells = [f"{values.mean():.3f} ({np.ptp(values):.3f})" for values in dice]
        print_cells(str(size or "all"), *cells, f"{np.diff(dice.mean(axis=1))[0]:+.3f}")
    print("\nIn brackets: the range over seeds.")


def train(
    folder: Path, store: Path, size: int, init: str | None, seed: int, *options: object
) -> float:
    """Train a model, unless it exists, and return its mean test Dice."""
    facts = (store.stem, size or "all", init or "random", *options[len(FAST) :], seed)
    name = "-".join(map(str, facts))
    run = folder / output_name(name)
    if not (run / "summary.json").exists():
        call(
            "echo-train", "--store", store, "--seed", seed, "--run", run, *options,
            *(("--init", init) if init else ()),
            *(("--train-patients", size) if size else ()),
        )  # fmt: skip
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    return float(summary["test"]["dice"]["mean"])


if __name__ == "__main__":
    main()
