"""The files of a measured model: summary.json, frames.csv, videos.csv, pictures and masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from echo_common.output_folder import OutputFolder
from echo_common.outputs import output_name
from echo_common.store import schema
from echo_common.tables import csv_table
from echo_train.data.frame_set import FrameSet
from echo_train.data.loader import Loader
from echo_train.evaluation.floor import TrainingSplit, measure_floor
from echo_train.evaluation.trained_model import TrainedModel
from echo_train.metrics.results import SplitResults
from echo_train.reporting.agreement_plot import agreement_png
from echo_train.reporting.plots import Panel, attention_png, overlay_png
from echo_train.runs import run_folder
from echo_train.runs.run_names import distinct_names
from echo_train.runs.summary import summary_json
from echo_train.runtime import device as devices
from echo_train.targets.base import Prediction
from echo_train.transforms.batch import Batch

SHOWN = 12
"""Frames in the overlay."""

ATTENTION_FRAMES = 6
"""Frames of them with attention maps."""

MEASURED = (
    run_folder.SUMMARY,
    run_folder.FRAMES,
    run_folder.VIDEOS,
    run_folder.OVERLAY,
    run_folder.ATTENTION,
    run_folder.AGREEMENT,
)
"""Files that `write_measured` writes."""

Measured = Mapping[str, tuple[SplitResults, float | None]]
"""Results and mean loss by split, as summary.json names it."""


def write_measured(
    output: OutputFolder,
    model: TrainedModel,
    loader: Loader,
    measured: Measured,
    training: TrainingSplit | None,
    facts: Mapping[str, Any],
) -> None:
    """Write summary.json, frames.csv, videos.csv and the pictures of a measured model.

    frames.csv has the frames of all splits, each once, and videos.csv their videos; the pictures
    show the last split.

    Parameters
    ----------
    measured : Measured
        At least one split.
    training : TrainingSplit or None
        Of the same store, for the floor.
    facts : mapping
        Further entries of summary.json.
    """
    videos = {name: results.videos() for name, (results, _) in measured.items()}
    tables = {
        run_folder.FRAMES: [results.rows() for results, _ in measured.values()],
        run_folder.VIDEOS: [table.rows() for table in videos.values()],
    }
    for name, parts in tables.items():
        rows: dict[Any, list[Any]] = {}
        for part in parts:
            for row in part:
                # By its first cell: in a batch with other frames, the last digits may differ.
                rows.setdefault(row[0], row)
        output.write_text(name, csv_table(rows.values()))
    split, (results, _) = list(measured.items())[-1]
    _draw_frames(output, model, loader, split, results)
    shown = videos[split]
    if len(shown.video):
        title = f"{model.choice}, {split}" + (", corrected" if shown.correction else "")
        output.write_bytes(run_folder.AGREEMENT, agreement_png(*shown.ef(), title))
    splits = {
        name: {
            "loss": loss,
            **results.summary(),
            "floor": measure_floor(loader, results.index, training),
        }
        for name, (results, loss) in measured.items()
    }
    summary = {
        "target": model.settings.selection.target,
        "choice": str(model.choice),
        **facts,
        "parameters": model.parameters(),
        "device": devices.describe(model.device),
        "settings": dict(model.config),
        **splits,
    }
    output.write_text(run_folder.SUMMARY, summary_json(summary))


class MaskFiles:
    """Files of predicted masks, ``VIDEO.mask-00012.png`` of frame 12, each written once.

    Parameters
    ----------
    order : ndarray, (frame,) int64
        Frames whose masks are to be written.

    Raises
    ------
    OutputError
        If one may not be written.
    """

    def __init__(self, output: OutputFolder, frames: FrameSet, order: np.ndarray) -> None:
        self._output = output
        videos = dict.fromkeys(frames.video.tolist())
        stems = distinct_names(output_name(str(video)) for video in videos)
        names = dict(zip(videos, stems, strict=True))
        self._remaining = {
            index: f"{names[frames.video[index]]}.mask-{frames.number[index]:05}.png"
            for index in order.tolist()
        }
        output.claim(*self._remaining.values())

    def write(self, prediction: Prediction, batch: Batch) -> None:
        """Write the masks of a batch."""
        for index, mask in zip(batch.index.tolist(), prediction.masks, strict=True):
            if index in self._remaining:
                self._output.write_bytes(self._remaining.pop(index), mask_png(mask))


def mask_png(mask: np.ndarray) -> bytes:
    """Encode a mask, (y, x) uint8 of 0 and 1, as a PNG file of black and white."""
    return cv2.imencode(".png", 255 * mask)[1].tobytes()


def _draw_frames(
    output: OutputFolder, model: TrainedModel, loader: Loader, split: str, results: SplitResults
) -> None:
    scores = results.dice()
    # From the worst to the best at equal steps of rank, so that no frame is picked by hand.
    ranks = np.unique(np.linspace(0, len(scores) - 1, SHOWN).round().astype(int))
    picked = np.argsort(scores, kind="stable")[ranks]
    index = results.index[picked]
    (batch,) = loader.batches(index, len(index), normalised=False)
    pixels = loader.pixels(index)
    images, true = pixels.images.numpy(), pixels.masks.numpy()
    prediction = model.predict(batch.images, batch.phases)
    phases = [schema.PHASES[code] for code in loader.frames.phase[index]]
    panels = [
        Panel(
            image=images[number],
            true=true[number],
            predicted=prediction.masks[number],
            points=None if prediction.points is None else prediction.points[number],
            title=f"{phases[number]}  Dice {scores[position]:.3f}",
        )
        for number, position in enumerate(picked)
    ]
    title = f"{model.choice}: {len(picked)} of {len(scores)} {split} frames, worst to best"
    output.write_bytes(run_folder.OVERLAY, overlay_png(panels, title))
    step = max(1, len(picked) // ATTENTION_FRAMES)
    some = np.arange(0, len(picked), step)[:ATTENTION_FRAMES]
    maps = model.attention(batch.images[some])
    if maps:
        title = (
            f"{model.choice}: attention in {len(some)} of {len(scores)} {split} frames, worst to "
            "best"
        )
        picture = attention_png(images[some], true[some], maps, title)
        output.write_bytes(run_folder.ATTENTION, picture)
