"""Files of finished runs that a report reads, without training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from echo_train.reporting.paired_difference import (
    Difference,
    Scores,
    paired_differences,
)
from echo_train.reporting.run_rows import (
    Row,
    make_rows,
)
from echo_train.runs.run_folder import METRICS, EpochRow, metrics_csv


def metric(mean: float | None, **more: Any) -> dict[str, Any]:
    ends = [None, None] if mean is None else [mean - 0.01, mean + 0.01]
    return {"mean": mean, "ci95": ends, "ed": mean, "es": None, **more}


def split_metrics(dice: float) -> dict[str, Any]:
    return {
        "loss": 0.3,
        "frames": 40,
        "missed_frames": 2,
        "dice": metric(dice, pooled=dice + 0.002, pooled_ci95=[dice, dice + 0.004]),
        "pixel_accuracy": metric(0.98765),
        "hd95": metric(4.321),
        "shape": {"implausible": metric(0.025), "hole": metric(0.0)},
    }


def write_run(
    folder: Path, dice: float, scores: dict[tuple[str, int], float], **settings: Any
) -> Path:
    """The files of a finished run that a report reads."""
    folder.mkdir(parents=True)
    summary = {
        "target": settings.get("target", "mask"),
        "choice": "masks chords <b>",
        "seconds": 61.7,
        "settings": {"width": 8, "seed": 0, **settings},
        "test": split_metrics(dice),
        "val": split_metrics(dice - 0.1),
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    lines = [f"{video},{frame},TEST,{score}" for (video, frame), score in scores.items()]
    (folder / "frames.csv").write_text("\n".join(["video,frame,split,dice", *lines]) + "\n")
    (folder / "overlay.png").write_bytes(b"\x89PNG of " + folder.name.encode())
    history = [
        EpochRow(
            epoch=epoch,
            train_loss=1.0,
            train_dice=0.5,
            val_loss=1.0,
            val_dice=0.5,
            train_pixel_accuracy=0.9,
            val_pixel_accuracy=0.9,
            seconds=1.0,
            images_per_second=10.0,
        )
        for epoch in (1, 2)
    ]
    (folder / METRICS).write_text(metrics_csv(history))
    return folder


def scores_of(seed: int, videos: int = 40) -> dict[tuple[str, int], float]:
    rng = np.random.default_rng(seed)
    return {
        (f"V{video:02}", frame): rng.uniform(0.7, 0.95)
        for video in range(videos)
        for frame in (3, 9)
    }


def rows_of(*folders: Path) -> list[Row]:
    return make_rows(folders, [json.loads((path / "summary.json").read_text()) for path in folders])


def grid(tmp_path: Path) -> list[Row]:
    """Two losses and two widths with three seeds each, whose Dice is known."""
    scores = scores_of(0, videos=4)
    return rows_of(
        *(
            write_run(
                tmp_path / f"loss={loss},width={width},seed={seed}",
                0.8 + offset + width / 1000 + seed / 100,
                {frame: score + offset + seed / 100 for frame, score in scores.items()},
                loss=loss,
                width=width,
                seed=seed,
            )
            for loss, offset in (("bce", 0), ("lovasz", 0.05))
            for width in (8, 16)
            for seed in range(3)
        )
    )


def paired_difference(scores: Scores, baseline: Scores) -> Difference | None:
    (found,) = paired_differences([scores], baseline)
    return found
