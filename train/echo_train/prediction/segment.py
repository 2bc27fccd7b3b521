"""Segment frames and clips of any size with a trained model, in the pixels of the video."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from echo_train.evaluation.trained_model import TrainedModel
from echo_train.prediction.clip import CHUNK_FRAMES, Clip
from echo_train.prediction.sector import Sector
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
    areas : ndarray, (frame,) int64
        Pixels of the masks.
    contours : ndarray, (frame, point, 2) float32
    axes : ndarray, (frame, 3, 2) float64, or None
    points : ndarray, (frame, landmark, 2) float32, or None
        As in `echo_train.targets.base.Prediction`.
    confidence : ndarray, (frame,) float
        As in `echo_train.targets.base.Prediction`.
    reasons : ndarray, (frame,) of str
        Why no ventricle was found; empty where one was.
    """

    numbers: np.ndarray
    seconds: np.ndarray
    masks: PackedMasks
    areas: np.ndarray
    contours: np.ndarray
    axes: np.ndarray | None
    points: np.ndarray | None
    confidence: np.ndarray
    reasons: np.ndarray


def segment(model: TrainedModel, images: np.ndarray) -> Prediction:
    """Predict frames of any size; a frame in which nothing was found stays empty.

    Frames that differ in size from the model's input are scaled to fit into it, centred on black.
    Landmarks, or the logits of masks, are scaled back before they become masks, so the border of a
    mask is as fine as the frame, and the prediction is in its pixels.

    Parameters
    ----------
    images : ndarray, (frame, y, x) uint8
    """
    parts = [
        _segment_chunk(model, images[start : start + CHUNK_FRAMES])
        for start in range(0, len(images), CHUNK_FRAMES)
    ]
    joined: dict[str, Any] = {}
    for field in dataclasses.fields(Prediction):
        values = [getattr(part, field.name) for part in parts]
        joined[field.name] = None if values[0] is None else np.concatenate(values)
    return Prediction(**joined)


def segment_clip(
    model: TrainedModel,
    clip: Clip,
    sector: Sector | None = None,
    confidence: float = 0.0,
    phases: np.ndarray | None = None,
) -> Segmentation:
    """Predict all frames of a clip, chunk by chunk.

    Parameters
    ----------
    model : TrainedModel
        Of several, their mean; see `echo_train.evaluation.ensemble.average_models`.
    sector : Sector, optional
        What the model sees of each frame; by default, all.
    confidence : float
        A frame with less confidence counts as one without a ventricle.
    phases : ndarray, (frame,) float, optional
        Of the frames that can be read, from -1 at end-diastole to 1 at end-systole; by default,
        unknown.

    Raises
    ------
    DataError
        As `Clip.chunks`.
    """
    masks = PackedMasks(clip.shape)
    columns: dict[str, list[Any]] = {}
    shift = np.array([sector.x, sector.y]) if sector else np.zeros(2)
    for chunk in clip.chunks():
        told = None if phases is None else phases[len(masks) :][: len(chunk.images)]
        images = sector.cut(chunk.images) if sector else chunk.images
        prediction = _segment_chunk(model, images, told)
        reasons = prediction.reasons()
        unsure = (reasons == "") & (prediction.confidence < confidence)
        reasons = np.where(unsure, f"confidence below {confidence:g}", reasons)
        _empty(prediction, unsure)
        for mask in prediction.masks:
            masks.append(sector.paste(mask, clip.shape) if sector else mask)
        parts = {
            "numbers": chunk.numbers,
            "seconds": chunk.seconds,
            "areas": prediction.masks.sum(axis=(1, 2), dtype=np.int64),
            "contours": (prediction.contours + shift).astype(np.float32),
            "axes": None if prediction.axes is None else prediction.axes + shift,
            "points": None
            if prediction.points is None
            else (prediction.points + shift).astype(np.float32),
            "confidence": prediction.confidence,
            "reasons": reasons,
        }
        for name, part in parts.items():
            columns.setdefault(name, []).append(part)
    joined: dict[str, Any] = {
        name: None if parts[0] is None else np.concatenate(parts) for name, parts in columns.items()
    }
    return Segmentation(masks=masks, **joined)


def _segment_chunk(
    model: TrainedModel, images: np.ndarray, phases: np.ndarray | None = None
) -> Prediction:
    scaled = model.scale_frames(images)
    logits = model.logits(scaled, None if phases is None else torch.from_numpy(phases))
    prediction = model.read(logits, scaled, (images.shape[1], images.shape[2]))
    # In a frame without any landmark, the shape prior draws the mean shape.
    _empty(prediction, prediction.reasons() != "")
    return prediction


def _empty(prediction: Prediction, missed: np.ndarray) -> None:
    """Remove what was drawn in frames, (frame,) bool, without a ventricle."""
    prediction.masks[missed] = 0
    for coordinates in (prediction.contours, prediction.points, prediction.axes):
        if coordinates is not None:
            coordinates[missed] = np.nan
