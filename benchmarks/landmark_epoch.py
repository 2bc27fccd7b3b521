"""Cost of evaluating a landmark epoch: all frames together, compared with frame by frame.

    echo-prep synth data/bench --videos 64
    python benchmarks/landmark_epoch.py --data data/bench

Measures the CPU time from decoded landmarks to the pixel counts of their masks, on one core. The
reference corrects, joins and fills the landmarks of each frame separately; both give the same
counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch
from helpers import build_store, describe_machine, open_loader, print_row
from scipy.interpolate import CubicSpline

from echo_common.cli.settings import replace
from echo_common.geometry.contours import SPLINE_POINTS
from echo_common.geometry.raster import rasterise
from echo_train.landmarks.shape_prior import IMPLAUSIBLE, MEASUREMENT, ShapePrior
from echo_train.metrics.overlap import packed_counts, pixel_counts
from echo_train.targets.factory import make_target
from echo_train.targets.landmarks import LandmarkTarget
from echo_train.training.settings import TrainSettings


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--work", type=click.Path(path_type=Path), default=Path("cache/benchmark"))
@click.option("--frames", default=2048, show_default=True, help="Frames of the epoch.")
def main(data: Path, work: Path, frames: int) -> None:
    """Measure the evaluation of landmarks on a data set in EchoNet-Dynamic's format."""
    print(f"{describe_machine()}; torch {torch.__version__}\n")
    store = build_store(data, work / "small.zarr")
    settings = replace(TrainSettings(), store=store, target="landmarks", shape_prior=True)
    choice, loader = open_loader(settings, torch.device("cpu"))
    known = loader.frames
    target = make_target(settings.losses, settings.decoding, choice, loader, weights=None)
    assert isinstance(target, LandmarkTarget) and known.points is not None
    prior = ShapePrior.from_tensors(target.state())
    # Landmarks as a network predicts them: with an error of 1.5 px, and some missing.
    rng = np.random.default_rng(0)
    points = rng.choice(known.points, frames) + rng.normal(
        0, 1.5, (frames, *known.points.shape[1:])
    )
    points = points.astype(np.float32)
    points[rng.random(points.shape[:2]) < 0.02] = np.nan
    true = target.masks(rng.choice(known.points, frames), known.shape)
    packed = np.packbits(true.reshape(len(true), -1), axis=1)

    def together() -> np.ndarray:
        return packed_counts(target.masks(target.correct(points), known.shape), packed)

    def frame_by_frame() -> np.ndarray:
        corrected = [correct_alone(prior, landmarks) for landmarks in points]
        masks = [
            rasterise(spline_alone(landmarks), known.shape, target.method)
            for landmarks in corrected
        ]
        found = torch.from_numpy(np.stack(masks)) > 0
        return pixel_counts(found, torch.from_numpy(true) > 0).numpy()

    def seconds(work: Callable[[], np.ndarray]) -> float:
        started = time.process_time()
        work()
        return time.process_time() - started

    assert np.array_equal(together(), frame_by_frame()), "the counts differ"
    # In turns, so that other load on the machine affects both.
    times = [(seconds(together), seconds(frame_by_frame)) for _ in range(3)]
    fast, slow = (1e3 * min(column) / len(points) for column in zip(*times, strict=True))
    print_row("from landmarks to counts, all frames together", f"{fast:.3f} ms per frame")
    print_row(
        "from landmarks to counts, frame by frame",
        f"{slow:.3f} ms per frame, {slow / fast:.1f} times as long",
    )


def correct_alone(prior: ShapePrior, points: np.ndarray) -> np.ndarray:
    """Correct the landmarks of one frame as `ShapePrior.correct` does."""
    seen = ~np.isnan(points).any(axis=1)
    found = np.where(seen[:, None], points, 0.0)
    variance = MEASUREMENT**2 + prior.residual**2
    weights = seen.astype(np.float64)
    for _ in range(10):
        precision = np.repeat(weights / variance, 2)
        system = np.eye(len(prior.modes)) + (prior.modes * precision) @ prior.modes.T
        offsets = found.reshape(-1) - prior.mean
        scores = np.linalg.solve(system, (prior.modes * precision) @ offsets)
        expected = (prior.mean + scores @ prior.modes).reshape(-1, 2)
        squared = ((found - expected) ** 2).sum(axis=1) / variance
        weights = seen / (1.0 + squared / 4.0)
    corrected = points.copy()
    replaced = ~seen | (np.sqrt(squared) > IMPLAUSIBLE)
    corrected[replaced] = expected[replaced]
    return corrected


def spline_alone(landmarks: np.ndarray) -> np.ndarray:
    """Join the landmarks of one frame as `contour_from_landmarks` does, with SciPy's spline."""
    steps = np.sqrt(np.linalg.norm(np.diff(landmarks.astype(np.float64), axis=0), axis=1))
    along = np.concatenate([[0.0], np.cumsum(steps)])
    dense = np.union1d(along, np.linspace(0.0, along[-1], SPLINE_POINTS))
    return CubicSpline(along, landmarks.astype(np.float64), bc_type="not-a-knot")(dense)


if __name__ == "__main__":
    main()
