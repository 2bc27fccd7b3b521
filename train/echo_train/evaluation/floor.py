"""The floor of a table of results: what predictions that do not look at the image score.

`echo_train.evaluation.evaluate` writes it into summary.json, next to the metrics of each split.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from echo_common.store import schema
from echo_common.store.reader import EchoStore
from echo_train.data.frame_set import Choice, FrameSet
from echo_train.data.loader import Loader
from echo_train.metrics.landmark_errors import radial_errors
from echo_train.metrics.overlap import missed, packed_counts, pooled_dice
from echo_train.metrics.results import Results
from echo_train.metrics.surface_distance import surface_distances
from echo_train.transforms.batch import EVALUATION_BATCH


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingSplit:
    """What the training split tells about the predictions of any model.

    Attributes
    ----------
    area_range : tuple of float
        Smallest and largest true mask, as shares of the image.
    mean_mask : ndarray, (y, x) uint8
        1 for the pixels that at least half of the true masks contain.
    mean_points : ndarray, (landmark, 2) float, or None
        Mean position of each landmark, (x, y) in pixels; None if the target is the mask.
    """

    area_range: tuple[float, float]
    mean_mask: np.ndarray
    mean_points: np.ndarray | None


def read_training_split(store: EchoStore, choice: Choice, frames: FrameSet) -> TrainingSplit | None:
    """Read the masks of the training split, a few chunks at a time; None if there is no such split.

    Raises
    ------
    StoreDamagedError
        If a chunk is missing or altered.
    """
    train = frames.indices("TRAIN")
    if not len(train):
        return None
    path, step = schema.mask_path(choice.method), 8 * store.chunk_rows
    total, shares = np.zeros(frames.shape, np.int64), []
    for start in range(0, store.rows, step):
        masks = store.read_rows(path, start, min(start + step, store.rows))
        rows = frames.rows[train] - start
        masks = masks[rows[(rows >= 0) & (rows < len(masks))]]
        total += masks.sum(axis=0, dtype=np.int64)
        shares.append(masks.mean(axis=(1, 2)))
    areas = np.concatenate(shares)
    return TrainingSplit(
        area_range=(float(areas.min()), float(areas.max())),
        mean_mask=(2 * total >= len(train)).astype(np.uint8),
        mean_points=None if frames.points is None else frames.points[train].mean(axis=0),
    )


def measure_floor(
    loader: Loader, order: np.ndarray, training: TrainingSplit | None
) -> dict[str, Any]:
    """Measure the predictions that do not look at the image on some frames.

    Parameters
    ----------
    loader, order
        As `echo_train.evaluation.measure.measure` takes them.
    training : TrainingSplit or None

    Returns
    -------
    floor : dict
        `black`, an empty mask, and `mean_mask`, that of the training split if there is one; in
        each, some of the metrics of a split, without intervals.
    """
    frames = loader.frames
    masks = {"black": np.zeros(frames.shape, np.uint8)}
    if training is not None:
        masks = {"mean_mask": training.mean_mask, **masks}
    counts: dict[str, list[np.ndarray]] = {name: [] for name in masks}
    distances: dict[str, list[np.ndarray]] = {name: [] for name in masks}
    for start in range(0, len(order), EVALUATION_BATCH):
        true = loader.pixels(order[start : start + EVALUATION_BATCH]).masks.numpy()
        packed = np.packbits(true.reshape(len(true), -1), axis=1)
        for name, mask in masks.items():
            predicted = np.broadcast_to(mask, true.shape)
            counts[name].append(packed_counts(predicted, packed))
            distances[name].append(surface_distances(predicted, true))
    floor = {}
    for name in masks:
        results = Results(frames=frames, index=order, counts=np.concatenate(counts[name]))
        floor[name] = _summary(results, np.concatenate(distances[name])[:, 0])
    if training is not None and training.mean_points is not None and frames.points is not None:
        true = frames.points[order]
        errors = radial_errors(np.broadcast_to(training.mean_points, true.shape), true)
        floor["mean_mask"]["mean_radial_error"] = _metric(errors.mean(axis=1), results)
    return floor


def _summary(results: Results, hd95: np.ndarray) -> dict[str, Any]:
    pooled = {"pooled": pooled_dice(results.counts), "pooled_ci95": [None, None]}
    return {
        "missed_frames": int(missed(results.counts).sum()),
        "dice": _metric(results.dice(), results) | pooled,
        "hd95": _metric(hd95, results),
        "pixel_accuracy": _metric(results.pixel_accuracy(), results),
    }


def _metric(values: np.ndarray, results: Results) -> dict[str, Any]:
    """A metric of summary.json: its mean, and its means at ED and ES, without interval."""
    phase = results.frames.phase[results.index]
    ed, es = (values[phase == schema.PHASES.index(name)] for name in ("ED", "ES"))
    mean, at_ed, at_es = (float(some.mean()) if len(some) else None for some in (values, ed, es))
    return {"mean": mean, "ci95": [None, None], "ed": at_ed, "es": at_es}
