"""What was left out of a store, and why: one line each, in words a person understands."""

from __future__ import annotations

import collections
import csv
import dataclasses
import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from echo_common import atomic
from echo_common.store.manifest import Manifest
from echo_common.store.schema import STATUSES


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reject:
    """A video or a trace that was left out.

    Attributes
    ----------
    video : str
        The video's name without its suffix.
    frame : int or None
        The traced frame; None where the whole video is meant.
    where : str
        The file, and the row in it, that shows the fault.
    reason : str
        One word, the same for the same fault: what a count is made over.
    message : str
        What is wrong.
    """

    video: str
    frame: int | None = None
    where: str
    reason: str
    message: str


def frame_rejects(video: np.ndarray, frame: np.ndarray, manifest: Manifest) -> tuple[Reject, ...]:
    """Rows whose frames could not be read.

    Parameters
    ----------
    video, frame : ndarray, (row,)
        The store's index.
    manifest : Manifest
        Of the status array, whose notes say why.
    """
    return tuple(
        Reject(
            video=str(video[row]),
            frame=int(frame[row]),
            where=f"Videos/{video[row]}.avi",
            reason=STATUSES[status],
            message=message,
        )
        for row, status, message in manifest.notes.get("failures", ())
    )


def rejects_path(store: Path) -> Path:
    """Where the list of what a store left out stands: beside the store."""
    return store.with_name(store.name + ".rejects.csv")


def write_rejects(store: Path, rejects: Iterable[Reject]) -> None:
    """Write the list beside the store, in one step; an empty list has the header alone."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = [field.name for field in dataclasses.fields(Reject)]
    writer.writerow(columns)
    for reject in rejects:
        writer.writerow([_cell(getattr(reject, column)) for column in columns])
    atomic.write_text(rejects_path(store), text.getvalue())


def count_reasons(rejects: Iterable[Reject]) -> str:
    """Sum the list up: ``3 row-count, 1 missing``, the most frequent first."""
    counts = collections.Counter(reject.reason for reject in rejects)
    return ", ".join(f"{number} {reason}" for reason, number in counts.most_common())


def _cell(value: object) -> object:
    # A name comes from somebody else's file. What cannot be written as UTF-8 is spelt out, and
    # what a spreadsheet would run as a formula is kept text.
    if not isinstance(value, str):
        return value
    text = value.encode("utf-8", "backslashreplace").decode()
    return "'" + text if text[:1] in ("=", "+", "-", "@") else text
