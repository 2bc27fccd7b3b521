"""From the paper's landmark model to an accurate one, in single changes: a ladder of runs.

    echo-prep synth data/ladder --videos 700 --seed 7 --frames 32
    python benchmarks/landmarks.py build --data data/ladder --store cache/ladder.zarr
    python benchmarks/landmarks.py run --store cache/ladder.zarr --out runs/ladder
    python benchmarks/landmarks.py table --out runs/ladder
    python benchmarks/landmarks.py limit

`build` builds a store with the masks and all landmark sets of the ladder. `run` trains every rung
with every seed at the budget of the paper's experiment 3 (800 training images, 5 epochs, batches of
8), and resumes after an interruption. `table` prints mean and standard deviation over the seeds on
the validation split, and on the test split for the rungs that are best on the validation split,
alone. No video is in two splits. `limit` prints the results of a model that knows the true border
against the tracings of the test split. `--rungs` selects rungs; the names of those that build on
the last rung end in `+`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from helpers import dice

from echo_common.cli.command import run_command
from echo_common.cli.settings import replace
from echo_common.cli.values import CommaList
from echo_common.geometry.contours import contour_from_landmarks
from echo_common.geometry.raster import rasterise
from echo_prep.build.build import build
from echo_prep.dataset.tracings import split_rows
from echo_prep.geometry.landmarks import choose_landmarks
from echo_prep.settings import BuildSettings
from echo_prep.synth.videos import split_of, traced_borders
from echo_train.experiments.settings import WorkerSettings
from echo_train.experiments.sweep import train_each
from echo_train.runs.run_folder import SUMMARY
from echo_train.runs.summary import FLOORS, read_summary
from echo_train.training.settings import TrainSettings

BUDGET: dict[str, Any] = {
    "train_images": 800,
    "epochs": 5,
    "batch_size": 8,
    "method": "chords",
    "augment": "none",
    "shape_prior": False,
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
    "centroid": {"decoder": "centroid"},
    "faster": {"learning_rate": 2e-3},
    "augmentation": {"augment": "light"},
    # The prior also restores missed landmarks, so confidence may be required.
    "prior": {"shape_prior": True, "min_confidence": 0.2},
}
"""Change of each rung, on top of all earlier ones; the last rung has the default settings."""

BRANCHES_FROM = "curve"

BRANCHES: dict[str, dict[str, Any]] = {
    "mse": {"loss": "mse"},
    "adaptive-wing": {"loss": "adaptive-wing"},
    "dsnt": {"loss": "dsnt", "decoder": "soft-argmax"},
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
"""Single changes of the rung `BRANCHES_FROM`."""

BEYOND: dict[str, dict[str, Any]] = {
    "strong augmentation+": {"augment": "strong"},
    "20 epochs+": {"epochs": 20},
    "40 epochs+": {"epochs": 40},
    "11 landmarks+": {"landmarks": 11},
    "11 landmarks no prior+": {"landmarks": 11, "shape_prior": False, "min_confidence": 0.0},
    "11 landmarks distance head+": {"landmarks": 11, "distance_weight": 1.0},
    "21 landmarks+": {"landmarks": 21},
    "42 landmarks+": {"landmarks": 42},
}
"""Changes of the last rung."""

_MASK: dict[str, Any] = {
    "target": "mask", "learning_rate": 1e-3, "schedule": "cosine", "postprocess": "none",
}  # fmt: skip
_LAST_MASK = _MASK | {"learning_rate": 2e-3, "augment": "light"}

MASKS: dict[str, dict[str, Any]] = {
    "mask": _MASK,
    "mask+": _LAST_MASK,
    "mask strong augmentation+": _LAST_MASK | {"augment": "strong"},
    "mask 20 epochs+": _LAST_MASK | {"epochs": 20},
    "mask 40 epochs+": _LAST_MASK | {"epochs": 40},
}
"""Mask models at the same budget, with settings of the first and of the last rungs."""

COUNTS = (3, 5, 7, 11, 21, 42)

METRICS = ("dice", "ceiling", "mean_radial_error", "hd95")


def rungs() -> dict[str, dict[str, Any]]:
    """Settings of each rung by its name, from the bottom up, after those of the mask models."""
    settings = dict(MASKS)
    last = dict(PAPER)
    for name, change in CHANGES.items():
        last |= change
        settings[name] = dict(last)
    settings |= {name: settings[BRANCHES_FROM] | change for name, change in BRANCHES.items()}
    return settings | {name: last | change for name, change in BEYOND.items()}


@click.group()
def cli() -> None:
    """Measure the ladder of landmark models."""


@cli.command("build")
@click.option("--data", type=click.Path(path_type=Path), required=True)
@click.option("--store", type=click.Path(path_type=Path), required=True)
def build_command(data: Path, store: Path) -> None:
    """Build the store for training the ladder."""
    for identities, counts in ((("anatomical",), COUNTS), (("angle", "uniform"), (7,))):
        build(BuildSettings(data=data, store=store, identity=identities, landmarks=counts))


@cli.command("run")
@click.option("--store", type=click.Path(path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--width", default=8, show_default=True, help="Channels at full resolution.")
@click.option("--seeds", default=3, show_default=True)
@click.option("--train-images", default=BUDGET["train_images"], show_default=True)
@click.option("--jobs", default=1, show_default=True, help="Runs that are trained at once.")
@click.option(
    "--rungs", "names", type=CommaList(click.STRING), help="Names of rungs; all by default."
)
def run_command_(
    store: Path,
    out: Path,
    width: int,
    seeds: int,
    train_images: int,
    jobs: int,
    names: Sequence[str] | None,
) -> None:
    """Train every rung with every seed; finished runs are skipped."""
    ladder = rungs()
    unknown = set(names or ()) - set(ladder)
    if unknown:
        raise click.UsageError(
            f"no rung {', '.join(sorted(unknown))}; the rungs are {', '.join(ladder)}"
        )
    runs = {
        f"{folder_name(name)}-{seed}": replace(
            TrainSettings(),
            store=store,
            width=width,
            seed=seed,
            **(BUDGET | {"train_images": train_images} | ladder[name]),
        )
        for seed in range(seeds)
        for name in names or ladder
    }
    train_each(out, runs, click.echo, quiet=True, workers=WorkerSettings(jobs=jobs))


@cli.command("limit")
@click.option("--videos", default=700, show_default=True)
@click.option("--seed", default=7, show_default=True)
@click.option("--frames", default=32, show_default=True)
def limit_command(videos: int, seed: int, frames: int) -> None:
    """Measure a model that knows the true border against the inaccurate tracings.

    Give the options that `echo-prep synth` made the data set with.
    """
    rows = [
        _agreement(true, drawn)
        for number in range(videos)
        if split_of(seed, number) == "TEST"
        for true, drawn in traced_borders(seed, number, frames)
    ]
    print("| from the true border | Dice | radial error, px |")
    print("| --- | --- | --- |")
    mask, *landmarks = np.mean(rows, axis=0)
    print(f"| mask | {mask:.4f} | - |")
    for count, score, error in zip((7, 11), landmarks[::2], landmarks[1::2], strict=True):
        print(f"| {count} landmarks | {score:.4f} | {error:.2f} |")


def _agreement(true: np.ndarray, drawn: np.ndarray) -> list[float]:
    """Dice of the true with the drawn mask; Dice and radial error of 7 and of 11 true landmarks."""
    shape = (112, 112)
    traces = [split_rows(true), split_rows(drawn)]
    true_mask, drawn_mask = (rasterise(contour, shape, "chords") for _, contour in traces)
    values = [dice(true_mask, drawn_mask)]
    for count in (7, 11):
        true_points, drawn_points = (
            choose_landmarks(axis, contour, "chords", "anatomical", count)
            for axis, contour in traces
        )
        contour = contour_from_landmarks(true_points, "anatomical")
        values.append(dice(rasterise(contour, shape, "chords"), drawn_mask))
        values.append(float(np.linalg.norm(true_points - drawn_points, axis=1).mean()))
    return values


@cli.command("table")
@click.option("--out", type=click.Path(path_type=Path, exists=True), required=True)
def table_command(out: Path) -> None:
    """Print validation metrics of the finished runs, and test metrics of the best on validation.

    The validation metrics are also written to table.json.
    """
    validated = {name: _results(out, name, "val") for name in rungs()}
    validated = {name: row for name, row in validated.items() if row}
    _print_table("validation", validated, _floors(out, "val"))
    chosen = _choose(validated)
    tested = {f"{kind}: {name}": _results(out, name, "test") for kind, name in chosen.items()}
    _print_table("test, chosen on validation", tested, _floors(out, "test"))
    (out / "table.json").write_text(json.dumps(validated, indent=1) + "\n", encoding="utf-8")


def _choose(validated: Mapping[str, Mapping[str, list[float]]]) -> dict[str, str]:
    """The rung with the highest mean validation Dice of each kind of model."""
    settings = rungs()
    kinds = {
        "mask": [name for name in validated if settings[name]["target"] == "mask"],
        "7 landmarks": [name for name in validated if settings[name].get("landmarks") == 7],
        "landmarks": [name for name in validated if settings[name]["target"] == "landmarks"],
    }
    return {
        kind: max(names, key=lambda name: float(np.mean(validated[name]["dice"])))
        for kind, names in kinds.items()
        if names
    }


def _print_table(
    split: str,
    rows: Mapping[str, Mapping[str, list[float]]],
    floors: Mapping[str, Mapping[str, list[float]]],
) -> None:
    print(f"\n| {split} | Dice | ceiling | radial error, px | HD95, px | implausible | s | seeds |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, row in {**rows, **floors}.items():
        cells = [
            _cell(row.get(metric, ()), 4 if metric in ("dice", "ceiling") else 2)
            for metric in METRICS
        ]
        seconds = row.get("seconds", ())
        mean = [float(np.mean(seconds))] if seconds else []
        cells += [_cell(row.get("implausible", ()), 3), _cell(mean, 0)]
        print(f"| {name} | {' | '.join(cells)} | {len(seconds) or '-'} |")


def _floors(out: Path, split: str) -> dict[str, dict[str, list[float]]]:
    """Metrics of predictions that do not look at the image, the same for all of 7 landmarks."""
    for path in sorted(out.glob(f"*/{SUMMARY}")):
        summary = read_summary(path.parent)
        floor = summary[split].get("floor", {})
        if (summary["target"], summary["settings"]["landmarks"]) == ("landmarks", 7) and floor:
            return {
                FLOORS[kind]: {
                    metric: [metrics[metric]["mean"]] for metric in METRICS if metric in metrics
                }
                for kind, metrics in floor.items()
            }
    return {}


def folder_name(rung: str) -> str:
    """Name of a rung in its run folders."""
    return rung.replace(" ", "-")


CORRUPTIONS = (
    ("clean", 0.0), ("noise", 0.2), ("noise", 0.4), ("speckle", 1.0), ("blur", 4.0),
    ("gain", -18.0), ("gain", 12.0), ("resolution", 7.0), ("sector", 30.0), ("sector", 60.0),
)  # fmt: skip
"""Corruptions and severities in the table of `harder`."""


@cli.command("harder")
@click.argument("noise", type=click.Path(path_type=Path, exists=True))
def harder_command(noise: Path) -> None:
    """Print means over the seeds of the noise.csv of `echo-eval RUNG-SEED… --noise`."""
    with noise.open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = list(dict.fromkeys(row["run"].rsplit("-", 1)[0] for row in rows))
    print(f"| corruption | {' | '.join(names)} |")
    print(f"| --- |{' --- |' * len(names)}")
    for corruption, severity in CORRUPTIONS:
        cells = []
        for name in names:
            chosen = [
                [float(row[metric]) for metric in ("dice", "hd95", "implausible")]
                for row in rows
                if row["run"].rsplit("-", 1)[0] == name
                and (row["corruption"], float(row["severity"])) == (corruption, severity)
            ]
            score, distance, implausible = np.mean(chosen, axis=0)
            cells.append(f"{score:.3f}, {distance:.1f} px, {100 * implausible:.0f} %")
        label = corruption if corruption == "clean" else f"{corruption} {severity:g}"
        print(f"| {label} | {' | '.join(cells)} |")


def _results(out: Path, name: str, split: str) -> dict[str, list[float]]:
    """Each metric of a rung on a split, with one value per seed."""
    results: dict[str, list[float]] = {}
    for path in sorted(out.glob(f"{folder_name(name)}-[0-9]/{SUMMARY}")):
        summary = read_summary(path.parent)
        found = summary[split]
        values = {metric: (found.get(metric) or {}).get("mean") for metric in METRICS}
        values["implausible"] = found["shape"]["implausible"]["mean"]
        values["seconds"] = summary["seconds"]
        for metric, value in values.items():
            results.setdefault(metric, [])
            if value is not None:
                results[metric].append(float(value))
    return results


def _cell(values: Sequence[float], digits: int) -> str:
    if not values:
        return "-"
    spread = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{spread}"


if __name__ == "__main__":
    run_command(cli)
