"""Segment videos of any size with a trained model, in the pixels of the video.

`echo-predict` calls it.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from echo_common.output_folder import OutputFolder
from echo_common.tables import csv_table, fixed
from echo_train.evaluation.trained_model import TrainedModel
from echo_train.prediction.video import Clip
from echo_train.targets.base import Prediction

BATCH = 64
"""Frames in a batch."""


def segment(model: TrainedModel, images: np.ndarray) -> Prediction:
    """Predict frames of any size.

    Frames that differ in size from the model's input are scaled to fit into it, centred on black.
    Landmarks, or the logits of masks, are scaled back before they become masks, so the border of a
    mask is as fine as the frame.

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
    joined: dict[str, Any] = {}
    for field in dataclasses.fields(Prediction):
        values = [getattr(part, field.name) for part in parts]
        joined[field.name] = None if values[0] is None else np.concatenate(values)
    return Prediction(**joined)


def save_prediction(output: OutputFolder, name: str, clip: Clip, prediction: Prediction) -> None:
    """Write NAME.npz with frame numbers, masks and points, and NAME.csv with one row a frame.

    Parameters
    ----------
    output : OutputFolder
    name : str
    clip : Clip
    prediction : Prediction
        Of its frames.
    """
    arrays = {"frames": clip.numbers, "masks": prediction.masks}
    if prediction.points is not None:
        arrays["points"] = prediction.points
    with output.writer(f"{name}.npz") as path:
        np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    output.write_text(f"{name}.csv", area_table(clip, prediction))


def area_table(clip: Clip, prediction: Prediction) -> str:
    """Write the area of the ventricle and the landmarks as CSV, one row a frame.

    Missed landmarks and unknown times are empty. In a row whose `missed` is 1, no ventricle was
    found: a mask or landmarks in it are the shape prior's guess.
    """
    count, points = len(clip.numbers), prediction.points
    landmarks = 0 if points is None else points.shape[1]
    columns = [f"{axis}{number}" for number in range(landmarks) for axis in "xy"]
    coordinates = np.empty((count, 0)) if points is None else points.reshape(count, -1)
    areas = prediction.masks.sum(axis=(1, 2), dtype=np.int64)
    rows = [
        [number, fixed(seconds, 4), area, *(fixed(value, 3) for value in position), int(missed)]
        for number, seconds, area, position, missed in zip(
            clip.numbers.tolist(),
            clip.seconds,
            areas.tolist(),
            coordinates,
            prediction.missed(),
            strict=True,
        )
    ]
    return csv_table([["frame", "seconds", "area_px", *columns, "missed"], *rows])


def _segment(model: TrainedModel, images: np.ndarray) -> Prediction:
    scaled = model.scale_frames(images)
    return model.read(model.logits(scaled), scaled, (images.shape[1], images.shape[2]))
