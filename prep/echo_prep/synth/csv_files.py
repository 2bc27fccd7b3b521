"""FileList.csv and VolumeTracings.csv of a synthetic data set, in EchoNet-Dynamic's format."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from echo_common import atomic
from echo_prep.dataset.file_names import SUFFIX
from echo_prep.layouts.echonet_dynamic import FILE_LIST, TRACINGS
from echo_prep.synth.videos import Record

LIST_COLUMNS = (
    "FileName", "EF", "ESV", "EDV", "FrameHeight", "FrameWidth", "FPS", "NumberOfFrames", "Split",
)  # fmt: skip
TRACING_COLUMNS = ("FileName", "X1", "Y1", "X2", "Y2", "Frame")


def write_csv_files(root: Path, records: Sequence[Record]) -> None:
    """Write VolumeTracings.csv, then FileList.csv, whose presence marks a complete data set."""
    lines: list[list[object]] = [list(TRACING_COLUMNS)]
    for record in records:
        for frame, rows in record.traces:
            for row in rows:
                numbers = ("" if np.isnan(value) else f"{value:.8f}" for value in row)
                lines.append([record.name + SUFFIX, *numbers, frame])
    atomic.write_text(root / TRACINGS, as_csv(lines))
    lines = [list(LIST_COLUMNS)]
    for record in records:
        if record.listed:
            volumes = (f"{value:.6f}" for value in (record.ef, record.esv, record.edv))
            fps = int(record.fps) if float(record.fps).is_integer() else record.fps
            lines.append([record.name, *volumes, *record.shape, fps, record.frames, record.split])
    atomic.write_text(root / FILE_LIST, as_csv(lines))


def as_csv(lines: Iterable[Sequence[object]]) -> str:
    """Format rows as the text of a CSV file."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()
