"""Segment frames and clips of any size with a trained model, in the pixels of the video."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from echo_train.evaluation.trained_model import TrainedModel
from echo_train.prediction.clip import CHUNK_FRAMES, Clip
from echo_train.targets.base import Prediction


class PackedMasks:
    """Masks of a clip of any length, compressed: a few hundred bytes a frame.

    Parameters
    ----------
    shape : tuple of int
        (height, width) of a mask.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        self._packed: list[bytes] = []

    def append(self, mask: np.ndarray) -> None:
        """Add a mask, (y, x) uint8 of 0 and 1."""
        self._packed.append(zlib.compress(np.packbits(mask).tobytes(), 1))

    def __len__(self) -> int:
        return len(self._packed)

    def __getitem__(self, frame: int) -> np.ndarray:
        """Return the mask of a frame, (y, x) uint8."""
        bits = np.frombuffer(zlib.decompress(self._packed[frame]), np.uint8)
        return np.unpackbits(bits, count=self.shape[0] * self.shape[1]).reshape(self.shape)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[frame] for frame in range(len(self)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Segmentation:
    """The ventricle in every frame of a clip.

    Attributes
    ----------
    numbers : ndarray, (frame,) int64
    seconds : ndarray, (frame,) float64
        As in `echo_train.prediction.clip.Chunk`.
    masks : PackedMasks
    areas : ndarray, (frame,) int64
        Pixels of the masks.
    points : ndarray, (frame, landmark, 2) float32, or None
        (x, y) in pixels; NaN for a missed landmark, None if the model predicts masks.
    reasons : ndarray, (frame,) of str
        Why no ventricle was found; empty where one was.
    """

    numbers: np.ndarray
    seconds: np.ndarray
    masks: PackedMasks
    areas: np.ndarray
    points: np.ndarray | None
    reasons: np.ndarray


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
        _segment(model, images[start : start + CHUNK_FRAMES])
        for start in range(0, len(images), CHUNK_FRAMES)
    ]
    joined: dict[str, Any] = {}
    for field in dataclasses.fields(Prediction):
        values = [getattr(part, field.name) for part in parts]
        joined[field.name] = None if values[0] is None else np.concatenate(values)
    return Prediction(**joined)


def segment_clip(model: TrainedModel, clip: Clip) -> Segmentation:
    """Predict all frames of a clip, chunk by chunk.

    Raises
    ------
    DataError
        As `Clip.chunks`.
    """
    masks = PackedMasks(clip.shape)
    parts = []
    for chunk in clip.chunks():
        prediction = _segment(model, chunk.images)
        for mask in prediction.masks:
            masks.append(mask)
        points = prediction.points
        parts.append(
            (
                chunk.numbers,
                chunk.seconds,
                prediction.masks.sum(axis=(1, 2), dtype=np.int64),
                np.empty((len(chunk.numbers), 0, 2), np.float32) if points is None else points,
                prediction.reasons(),
            )
        )
    numbers, seconds, areas, points, reasons = map(np.concatenate, zip(*parts, strict=True))
    return Segmentation(
        numbers=numbers,
        seconds=seconds,
        masks=masks,
        areas=areas,
        points=points if points.shape[1] else None,
        reasons=reasons,
    )


def _segment(model: TrainedModel, images: np.ndarray) -> Prediction:
    scaled = model.scale_frames(images)
    prediction = model.read(model.logits(scaled), scaled, (images.shape[1], images.shape[2]))
    # In a frame without any landmark, the shape prior draws the mean shape.
    missed = prediction.reasons() != ""
    prediction.masks[missed] = 0
    for coordinates in (prediction.contours, prediction.points, prediction.axes):
        if coordinates is not None:
            coordinates[missed] = np.nan
    return prediction
