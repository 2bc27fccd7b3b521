"""The ladder from the paper's landmark model to one that works, one change at a time.

    echo-prep synth data/ladder --videos 700 --seed 7 --frames 32
    python benchmarks/landmarks.py build --data data/ladder --store cache/ladder.zarr
    python benchmarks/landmarks.py run --store cache/ladder.zarr --out runs/ladder
    python benchmarks/landmarks.py table --out runs/ladder

`build` makes the store's masks and all landmark sets that the ladder needs; `run` trains each rung
with each seed, at the budget of the paper's experiment 3 (800 training images, 5 epochs, batches
of 8), and goes on where it was stopped; `table` prints mean and spread over the seeds, on the
test split, which shares no video with training. `--rungs` takes a part of the ladder.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from echo_common.command import run_command
from echo_common.settings import CommaList
from echo_prep.build import build
from echo_prep.config import BuildSettings
from echo_train.config import TrainSettings
from echo_train.loop import train
from echo_train.run import SUMMARY, read_summary

BUDGET: dict[str, Any] = {
    "train_images": 800,
    "epochs": 5,
    "batch_size": 8,
    "method": "chords",
    "device": "auto",
}

PAPER: dict[str, Any] = {
    "target": "landmarks",
    "landmarks": 7,
    "identity": "angle",
    "loss": "channel-ce",
    "decoder": "argmax",
    "curve": "polygon",
    "min_confidence": 0.0,
    "learning_rate": 1e-4,
    "schedule": "constant",
}

CHANGES: dict[str, dict[str, Any]] = {
    "paper": {},
    "learning-rate": {"learning_rate": 1e-3, "schedule": "cosine"},
    "identity": {"identity": "anatomical"},
    "background": {"loss": "channel-ce-background"},
    "loss": {"loss": "spatial-ce"},
    "decoder": {"decoder": "dark"},
    "curve": {"curve": "open-spline"},
}
"""What each rung changes on top of all those before it."""

BRANCHES: dict[str, dict[str, Any]] = {
    "mse": {"loss": "mse"},
    "adaptive-wing": {"loss": "adaptive-wing"},
    "dsnt": {"loss": "dsnt", "decoder": "soft-argmax"},
    "centroid": {"decoder": "centroid"},
    "3 landmarks": {"landmarks": 3},
    "5 landmarks": {"landmarks": 5},
    "11 landmarks": {"landmarks": 11},
    "21 landmarks": {"landmarks": 21},
    "uniform": {"identity": "uniform"},
    "light augmentation": {"augment": "light"},
    "frame normalisation": {"normalise": "frame"},
    "distance head": {"distance_weight": 1.0},
    "shape prior": {"shape_prior": True},
}
"""What each of these changes on the top rung alone."""

MASK: dict[str, Any] = {"target": "mask", "learning_rate": 1e-3, "schedule": "cosine"}
"""The mask model at the same budget."""

COUNTS = (3, 5, 7, 11, 21)

FIGURES = ("dice", "ceiling", "mean_radial_error", "hd95")


def rungs() -> dict[str, dict[str, Any]]:
    """Settings of each rung by its name, from the bottom up; the mask model first."""
    found = {"mask": MASK}
    so_far = dict(PAPER)
    for name, change in CHANGES.items():
        so_far |= change
        found[name] = dict(so_far)
    return found | {name: so_far | change for name, change in BRANCHES.items()}


@click.group()
def cli() -> None:
    """Measure the ladder of landmark models."""


@cli.command("build")
@click.option("--data", type=click.Path(path_type=Path), required=True)
@click.option("--store", type=click.Path(path_type=Path), required=True)
def build_command(data: Path, store: Path) -> None:
    """Make the store that the ladder trains from."""
    for identities, counts in ((("anatomical",), COUNTS), (("angle", "uniform"), (7,))):
        build(BuildSettings(data=data, store=store, identity=identities, landmarks=counts))


@cli.command("run")
@click.option("--store", type=click.Path(path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--width", default=8, show_default=True, help="Channels at full resolution.")
@click.option("--seeds", default=3, show_default=True)
@click.option("--rungs", "names", type=CommaList(click.STRING), help="Only these; all by default.")
def run_command_(
    store: Path, out: Path, width: int, seeds: int, names: Sequence[str] | None
) -> None:
    """Train each rung with each seed; what is finished is not trained again."""
    ladder = rungs()
    unknown = set(names or ()) - set(ladder)
    if unknown:
        raise click.UsageError(f"no rung {', '.join(sorted(unknown))}; {', '.join(ladder)}")
    for seed in range(seeds):
        for name in names or ladder:
            folder = out / f"{name.replace(' ', '-')}-{seed}"
            if (folder / SUMMARY).exists():
                continue
            settings = TrainSettings(
                store=store,
                run=folder,
                width=width,
                seed=seed,
                resume=(folder / "last.pt").exists(),
                **(BUDGET | ladder[name]),
            )
            train(settings)
            score = read_summary(folder)["test"]["dice"]["mean"]
            print(f"{name}, seed {seed}: Dice {score:.4f}", file=sys.stderr, flush=True)


@cli.command("table")
@click.option("--out", type=click.Path(path_type=Path, exists=True), required=True)
def table_command(out: Path) -> None:
    """Print the table of what has been trained, and write it as table.json."""
    rows = {name: _figures(out, name) for name in rungs()}
    rows = {name: row for name, row in rows.items() if row}
    print("| rung | Dice | ceiling | radial error, px | HD95, px | implausible | s | seeds |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, row in rows.items():
        cells = [
            _cell(row[figure], 4 if figure in ("dice", "ceiling") else 2) for figure in FIGURES
        ]
        cells += [_cell(row["implausible"], 3), f"{np.mean(row['seconds']):.0f}"]
        print(f"| {name} | {' | '.join(cells)} | {len(row['seconds'])} |")
    (out / "table.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def _figures(out: Path, name: str) -> dict[str, list[float]]:
    """Each figure of each seed of a rung."""
    found: dict[str, list[float]] = {}
    for path in sorted(out.glob(f"{name.replace(' ', '-')}-[0-9]*/{SUMMARY}")):
        summary = read_summary(path.parent)
        test = summary["test"]
        values = {figure: (test.get(figure) or {}).get("mean") for figure in FIGURES}
        values["implausible"] = test["shape"]["implausible"]["mean"]
        values["seconds"] = summary["seconds"]
        for figure, value in values.items():
            found.setdefault(figure, [])
            if value is not None:
                found[figure].append(float(value))
    return found


def _cell(values: Sequence[float], digits: int) -> str:
    if not values:
        return "-"
    spread = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{spread}"


if __name__ == "__main__":
    run_command(cli)
