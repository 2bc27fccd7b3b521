"""How far each method's mask is from the data set's own, and what landmarks keep of it.

    echo-prep build --store cache/echonet.zarr
    python benchmarks/geometry.py cache/echonet.zarr

Prints two tables over all sound rows of a store; only its tracings are read.

methods     Dice of the mask of each method with the one of `chords`, and the ratio of their areas;
            "cut" is from coordinates cut to whole pixels, as the paper's own code has them
landmarks   of each identity and number of landmarks the ceiling, which is the Dice of `chords`
            with the mask that is rebuilt from the true landmarks, and the jitter, which is how far
            a landmark moves when every coordinate of the tracing moves by a normal deviate
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from joblib import Parallel, cpu_count, delayed

from echo_common.cli import progress
from echo_common.cli.command import run_command
from echo_common.cli.settings import CommaList
from echo_common.geometry.contours import contour_from_landmarks
from echo_common.geometry.raster import rasterise, rasterise_all
from echo_common.store.reader import EchoStore
from echo_common.store.schema import CONTOUR, FRAMES, IDENTITIES, LONG_AXIS, METHODS, STATUS
from echo_prep.geometry.landmarks import choose_landmarks
from echo_prep.geometry.polygons import polygons, whole_pixels

REFERENCE = METHODS[0]

VARIANTS = [(method, cut) for method in METHODS for cut in (False, True)]


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.option(
    "--landmarks", type=CommaList(click.IntRange(3, 42)), default="3,5,7,11,21", show_default=True
)
@click.option("--jitter", default=0.5, show_default=True, help="Standard deviation, px.")
@click.option("--frames", default=0, help="So many frames, evenly spread; 0 for all.")
@click.option("--seed", default=0, show_default=True)
@click.option("--jobs", default=0, help="Workers; 0 for one a processor core.")
def main(
    store: Path, landmarks: Sequence[int], jitter: float, frames: int, seed: int, jobs: int
) -> None:
    """Measure methods and landmark identities over the tracings of STORE."""
    opened = EchoStore(store)
    sound = np.flatnonzero(opened.read(STATUS) == 0)
    if 0 < frames < len(sound):
        sound = sound[np.linspace(0, len(sound) - 1, frames).round().astype(int)]
    axes, contours = opened.read(LONG_AXIS)[sound], opened.read(CONTOUR)[sound]
    shape = opened.read(FRAMES).shape[1:]
    sets = list(itertools.product(IDENTITIES, landmarks))
    parallel = Parallel(n_jobs=jobs or cpu_count(), return_as="generator", batch_size=16)
    done = parallel(
        delayed(measure)(axis, contour, shape, sets, jitter, (seed, int(row)))
        for axis, contour, row in zip(axes, contours, sound, strict=True)
    )
    results = list(progress.show(done, len(sound), "measuring"))
    click.echo(f"{len(sound)} frames of {store}\n")
    click.echo(methods_table(np.array([methods for methods, _ in results])))
    click.echo(f"\njitter of {jitter:g} px, seed {seed}\n")
    click.echo(landmarks_table(sets, np.array([found for _, found in results])))


def measure(
    axis: np.ndarray,
    contour: np.ndarray,
    shape: tuple[int, int],
    sets: Sequence[tuple[str, int]],
    jitter: float,
    seed: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Measure one tracing.

    Returns
    -------
    methods : ndarray, (variant, 2) float64
        Dice and ratio of areas for each of `VARIANTS`.
    landmarks : ndarray, (set, 2) float64
        Ceiling and movement in px for each of `sets`.
    """
    reference = draw(axis, contour, shape, REFERENCE)
    methods = []
    for method, cut in VARIANTS:
        points = (whole_pixels(axis), whole_pixels(contour)) if cut else (axis, contour)
        mask = draw(*points, shape, method)
        methods.append((dice(mask, reference), mask.sum() / max(int(reference.sum()), 1)))
    rng = np.random.default_rng(seed)
    moved = axis + rng.normal(0, jitter, axis.shape), contour + rng.normal(0, jitter, contour.shape)
    landmarks = []
    for identity, count in sets:
        points = choose_landmarks(axis, contour, REFERENCE, identity, count)
        mask = rasterise(contour_from_landmarks(points, identity), shape, REFERENCE)
        again = choose_landmarks(*moved, REFERENCE, identity, count)
        landmarks.append((dice(mask, reference), np.linalg.norm(again - points, axis=1).mean()))
    return np.array(methods), np.array(landmarks)


def draw(axis: np.ndarray, contour: np.ndarray, shape: tuple[int, int], method: str) -> np.ndarray:
    """Mask of one trace by a method."""
    return rasterise_all(polygons(axis[None], contour[None], method), shape, method)[0]


def dice(mask: np.ndarray, reference: np.ndarray) -> float:
    both = int(mask.sum()) + int(reference.sum())
    return 2 * int((mask & reference).sum()) / both if both else 1.0


def methods_table(found: np.ndarray) -> str:
    lines = [
        f"| method | Dice with {REFERENCE} | smallest | area ratio |",
        "| --- | --- | --- | --- |",
    ]
    for (method, cut), values in zip(VARIANTS, found.transpose(1, 0, 2), strict=True):
        name = f"{method}, cut" if cut else method
        dices, areas = values.T
        lines.append(f"| {name} | {dices.mean():.4f} | {dices.min():.4f} | {areas.mean():.4f} |")
    return "\n".join(lines)


def landmarks_table(sets: Sequence[tuple[str, int]], found: np.ndarray) -> str:
    lines = [
        "| identity | landmarks | ceiling (Dice) | smallest | jitter (px) |",
        "| --- | --- | --- | --- | --- |",
    ]
    for (identity, count), values in zip(sets, found.transpose(1, 0, 2), strict=True):
        (ceiling, moved), smallest = values.mean(axis=0), values[:, 0].min()
        lines.append(f"| {identity} | {count} | {ceiling:.4f} | {smallest:.4f} | {moved:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    run_command(main)
