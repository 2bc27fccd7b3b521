"""Segmenting videos with a trained model; `echo-predict` calls it.

Videos are the user's own, of any size that the model can be scaled to. What
comes out is in the video's own pixels.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path

import numpy as np
import torch

from echo_common import atomic
from echo_common.cli.settings import setting
from echo_train.evaluation.trained_model import CHECKPOINTS, TrainedModel
from echo_train.prediction.letterbox import Fit
from echo_train.prediction.video import Film
from echo_train.targets.base import Prediction
from echo_train.targets.landmarks import LandmarkTarget

BATCH = 64
"""Frames that the network sees at a time."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PredictSettings:
    """Settings of `echo-predict`.

    Attributes
    ----------
    out : Path or None
        None for a folder in the run's.
    frames : tuple of int, or None
        Which frames, from 0; None for all.
    checkpoint : str
        A name of `echo_train.evaluation.trained_model.CHECKPOINTS`.
    overlay : bool
        Write a video of the contours over the frames.
    device : str
    """

    out: Path | None = setting(None, "Folder for the results; by default predict in the run's.")
    frames: tuple[int, ...] | None = setting(
        None, "Frames such as 0,12,40, from 0; by default all.", minimum=0
    )
    checkpoint: str = setting(
        next(iter(CHECKPOINTS)), "Which of the run's states.", choices=tuple(CHECKPOINTS)
    )
    overlay: bool = setting(True, "Write an AVI of the contours over the frames.")
    device: str = setting("auto", "auto, cpu, cuda, cuda:1, …")


def segment(model: TrainedModel, images: np.ndarray) -> Prediction:
    """Predict frames of any size.

    Frames of another size than the model was trained on are scaled to fit
    into that size, centred on black. Landmarks, or the mask's logits, are
    scaled back before a mask is made of them, so its border is as fine as the
    frame.

    Parameters
    ----------
    model : TrainedModel
    images : ndarray, (frame, y, x) uint8

    Returns
    -------
    prediction : Prediction
        In the pixels of the frames.
    """
    parts = [
        _segment(model, images[start : start + BATCH]) for start in range(0, len(images), BATCH)
    ]
    points = [part.points for part in parts if part.points is not None]
    return Prediction(
        masks=np.concatenate([part.masks for part in parts]),
        points=np.concatenate(points) if points else None,
    )


def save_prediction(folder: Path, name: str, film: Film, prediction: Prediction) -> None:
    """Write NAME.npz, which holds frames, masks and points, and NAME.csv, a row a frame.

    Parameters
    ----------
    folder : Path
    name : str
    film : Film
    prediction : Prediction
        Of its frames.
    """
    content = io.BytesIO()
    arrays = {"frames": film.numbers, "masks": prediction.masks}
    if prediction.points is not None:
        arrays["points"] = prediction.points
    np.savez_compressed(content, **arrays)  # type: ignore[arg-type]
    atomic.write_bytes(folder / f"{name}.npz", content.getvalue())
    atomic.write_text(folder / f"{name}.csv", area_table(film, prediction))


def area_table(film: Film, prediction: Prediction) -> str:
    """The area of each frame's ventricle, and its landmarks, as CSV; what was missed is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    landmarks = 0 if prediction.points is None else prediction.points.shape[1]
    columns = [f"{axis}{number}" for number in range(landmarks) for axis in "xy"]
    writer.writerow(["frame", "seconds", "area_px", *columns])
    areas = prediction.masks.sum(axis=(1, 2), dtype=np.int64)
    for place, number in enumerate(film.numbers):
        places = [] if prediction.points is None else prediction.points[place].ravel()
        writer.writerow(
            [
                int(number),
                "" if np.isnan(film.seconds[place]) else f"{film.seconds[place]:.4f}",
                int(areas[place]),
                *("" if np.isnan(value) else f"{value:.3f}" for value in places),
            ]
        )
    return text.getvalue()


def _segment(model: TrainedModel, images: np.ndarray) -> Prediction:
    fit = Fit.of((images.shape[1], images.shape[2]), model.shape)
    fitted = torch.from_numpy(np.array([fit.shrink(image) for image in images]))
    logits = model.logits(fitted.to(model.device)[:, None].float() / 255)
    if isinstance(model.target, LandmarkTarget):
        found = model.target.predict(logits).points
        assert found is not None
        points = fit.enlarge_points(found)
        return Prediction(masks=model.target.masks(points, fit.size), points=points)
    return model.target.predict(fit.enlarge(logits))
