"""How masks depend on the method, and how well landmarks represent and reproduce them.

    echo-prep build --store cache/echonet.zarr
    python benchmarks/geometry.py cache/echonet.zarr

Prints two tables over all sound rows of a store, of which only the tracings are read.

methods     For each method, the Dice of its mask with the mask of `chords`, the ratio of their
            areas, and the ratio of its area to that of the traced contour; "truncated" uses
            coordinates truncated to whole pixels, as the paper's code does.
landmarks   For each identity and number of landmarks, the ceiling and the jitter. The ceiling is
            the Dice of the `chords` mask with the mask rebuilt from the true landmarks. The jitter
            is the distance that a landmark moves when normally distributed noise is added to every
            coordinate of the tracing.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from helpers import dice
from joblib import Parallel, cpu_count, delayed

from echo_common.cli import progress
from echo_common.cli.command import run_command
from echo_common.cli.values import CommaList
from echo_common.geometry.contours import contour_from_landmarks, shoelace_area
from echo_common.geometry.raster import rasterise, rasterise_all
from echo_common.store.reader import EchoStore
from echo_common.store.schema import CONTOUR, FRAMES, IDENTITIES, LONG_AXIS, METHODS, STATUS
from echo_prep.geometry.landmarks import choose_landmarks
from echo_prep.geometry.polygons import polygons, whole_pixels

REFERENCE = METHODS[0]

VARIANTS = [(method, truncated) for method in METHODS for truncated in (False, True)]


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.option(
    "--landmarks", type=CommaList(click.IntRange(3, 42)), default="3,5,7,11,21", show_default=True
)
@click.option(
    "--jitter", default=0.5, show_default=True, help="Standard deviation of the noise, px."
)
@click.option("--frames", default=0, help="Number of evenly spaced frames; 0 for all.")
@click.option("--seed", default=0, show_default=True)
@click.option("--jobs", default=0, help="Workers; 0 for one per processor core.")
def main(
    store: Path, landmarks: Sequence[int], jitter: float, frames: int, seed: int, jobs: int
) -> None:
    """Measure methods and landmark identities on the tracings of STORE."""
    reader = EchoStore(store)
    sound = np.flatnonzero(reader.read(STATUS) == 0)
    if 0 < frames < len(sound):
        sound = sound[np.linspace(0, len(sound) - 1, frames).round().astype(int)]
    axes, contours = reader.read(LONG_AXIS)[sound], reader.read(CONTOUR)[sound]
    shape = reader.read(FRAMES).shape[1:]
    sets = list(itertools.product(IDENTITIES, landmarks))
    parallel = Parallel(n_jobs=jobs or cpu_count(), return_as="generator", batch_size=16)
    measured = parallel(
        delayed(measure)(axis, contour, shape, sets, jitter, (seed, int(row)))
        for axis, contour, row in zip(axes, contours, sound, strict=True)
    )
    results = list(progress.show(measured, len(sound), "measuring"))
    click.echo(f"{len(sound)} frames of {store}\n")
    click.echo(methods_table(np.array([methods for methods, _ in results])))
    click.echo(f"\njitter of {jitter:g} px, seed {seed}\n")
    click.echo(landmarks_table(sets, np.array([landmarks for _, landmarks in results])))


def measure(
    axis: np.ndarray,
    contour: np.ndarray,
    shape: tuple[int, int],
    sets: Sequence[tuple[str, int]],
    jitter: float,
    seed: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Measure a tracing.

    Returns
    -------
    methods : ndarray, (variant, 3) float64
        Dice and the two ratios of areas for each of `VARIANTS`.
    landmarks : ndarray, (set, 2) float64
        Ceiling, and movement in px, for each of `sets`.
    """
    reference = draw(axis, contour, shape, REFERENCE)
    area = shoelace_area(contour[~np.isnan(contour).any(axis=1)])
    methods = []
    for method, truncated in VARIANTS:
        points = (whole_pixels(axis), whole_pixels(contour)) if truncated else (axis, contour)
        mask = draw(*points, shape, method)
        pixels = int(mask.sum())
        methods.append(
            (dice(mask, reference), pixels / max(int(reference.sum()), 1), pixels / area)
        )
    rng = np.random.default_rng(seed)
    noisy = axis + rng.normal(0, jitter, axis.shape), contour + rng.normal(0, jitter, contour.shape)
    landmarks = []
    for identity, count in sets:
        points = choose_landmarks(axis, contour, REFERENCE, identity, count)
        mask = rasterise(contour_from_landmarks(points, identity), shape, REFERENCE)
        moved = choose_landmarks(*noisy, REFERENCE, identity, count)
        landmarks.append((dice(mask, reference), np.linalg.norm(moved - points, axis=1).mean()))
    return np.array(methods), np.array(landmarks)


def draw(axis: np.ndarray, contour: np.ndarray, shape: tuple[int, int], method: str) -> np.ndarray:
    """Mask of a trace by a method."""
    return rasterise_all(polygons(axis[None], contour[None], method), shape, method)[0]


def methods_table(measured: np.ndarray) -> str:
    lines = [
        f"| method | Dice with {REFERENCE} | minimum | area by {REFERENCE} | area by contour |",
        "| --- | --- | --- | --- | --- |",
    ]
    for (method, truncated), values in zip(VARIANTS, measured.transpose(1, 0, 2), strict=True):
        name = f"{method}, truncated" if truncated else method
        dices, *areas = values.T
        ratios = " | ".join(f"{ratio.mean():.4f}" for ratio in areas)
        lines.append(f"| {name} | {dices.mean():.4f} | {dices.min():.4f} | {ratios} |")
    return "\n".join(lines)


def landmarks_table(sets: Sequence[tuple[str, int]], measured: np.ndarray) -> str:
    lines = [
        "| identity | landmarks | ceiling (Dice) | minimum | jitter (px) |",
        "| --- | --- | --- | --- | --- |",
    ]
    for (identity, count), values in zip(sets, measured.transpose(1, 0, 2), strict=True):
        (ceiling, jitter), minimum = values.mean(axis=0), values[:, 0].min()
        lines.append(f"| {identity} | {count} | {ceiling:.4f} | {minimum:.4f} | {jitter:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    run_command(main)
