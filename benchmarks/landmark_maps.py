"""Draw the maps of landmark models over the same frames as a PNG, one row per run.

    python benchmarks/landmark_maps.py runs/ladder/paper-0 runs/ladder/curve-0 --out maps.png

Each landmark has its own colour, and its map is scaled to its peak. Dots are the decoded landmarks,
the solid line is the contour rebuilt from them, and the dashed line is the tracing.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from echo_common import atomic
from echo_common.cli.command import run_command
from echo_common.errors import RunError
from echo_train.evaluation.evaluate import Evaluation
from echo_train.evaluation.settings import EvaluateSettings
from echo_train.targets.landmarks import LandmarkTarget

FRAMES = 4


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--store", type=click.Path(path_type=Path), help="By default, the store of each run.")
def main(runs: Sequence[Path], out: Path, store: Path | None) -> None:
    """Draw the maps of landmark RUNS over a few frames of the test split."""
    figure = Figure(figsize=(2.3 * FRAMES + 0.6, 2.35 * len(runs)), layout="constrained")
    grid = figure.subplots(len(runs), FRAMES, squeeze=False)
    for folder, panels in zip(runs, grid, strict=True):
        evaluation = Evaluation(folder, EvaluateSettings(store=store), torch.device("cpu"))
        if not isinstance(evaluation.model.target, LandmarkTarget):
            raise RunError(f"{folder} predicts masks and has no landmark maps")
        test = evaluation.orders("test")["test"]
        rows = test[np.linspace(0, len(test) - 1, FRAMES).round().astype(int)]
        (batch,) = evaluation.loader.batches(rows, FRAMES, normalised=False)
        logits = evaluation.model.logits(batch.images)
        maps = evaluation.model.target.maps(logits)
        peaks = maps.amax((2, 3), keepdim=True).clamp_min(torch.finfo(maps.dtype).tiny)
        points = evaluation.model.target.predict(logits).points
        assert points is not None
        for number, axes in enumerate(panels):
            _draw(
                axes,
                batch.images[number, 0].numpy(),
                (maps / peaks)[number].numpy(),
                batch.masks[number].numpy(),
            )
            contour = evaluation.model.target.contours(points[number][None])[0]
            contour = contour[~np.isnan(contour).any(axis=1)]
            axes.plot(*np.concatenate([contour, contour[:1]]).T, color="white", linewidth=0.9)
            axes.plot(*points[number].T, ".", color="white", markersize=5)
        panels[0].text(
            -0.06,
            0.5,
            folder.name,
            rotation=90,
            va="center",
            ha="right",
            transform=panels[0].transAxes,
        )
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=60)
    atomic.write_bytes(out, content.getvalue())


def _draw(axes: Axes, image: np.ndarray, maps: np.ndarray, mask: np.ndarray) -> None:
    colours = colormaps["turbo"](np.linspace(0.08, 0.95, len(maps)))[:, :3]
    strength = maps.max(axis=0)[..., None]
    colour = colours[maps.argmax(axis=0)]
    axes.imshow(np.repeat(image[..., None], 3, axis=2) * (1 - strength) + colour * strength)
    axes.contour(mask, levels=[0.5], colors=["#35d07f"], linewidths=0.9, linestyles="dashed")
    axes.set_axis_off()


if __name__ == "__main__":
    run_command(main)
