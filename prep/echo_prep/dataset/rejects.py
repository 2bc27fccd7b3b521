"""The list of videos and traces left out of a store, each with its reason."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from echo_common import atomic
from echo_common.store.manifest import Manifest
from echo_common.store.schema import FRAME, STATUSES, VIDEO
from echo_common.tables import csv_table
from echo_prep.dataset.frame_source import FrameSource


@dataclasses.dataclass(frozen=True)
class Reject:
    """A video or trace that was left out.

    Attributes
    ----------
    video : str
        The video's name without its suffix.
    frame : int or None
        The traced frame; None if the whole video is left out.
    where : str
        The file and row with the fault.
    reason : str
        A keyword for the kind of fault, by which rejects are counted.
    message : str
        Description of the fault.
    """

    video: str
    frame: int | None
    where: str
    reason: str
    message: str


_HEADER = ",".join(field.name for field in dataclasses.fields(Reject))
"""First line of a list."""


def frame_rejects(
    columns: Mapping[str, np.ndarray], manifest: Manifest, source: FrameSource
) -> tuple[Reject, ...]:
    """List the rows whose frames could not be read.

    Parameters
    ----------
    columns : mapping of str to ndarray, (row, …)
        The store's index, by path.
    manifest : Manifest
        Manifest of the status array; its notes hold the reasons.
    """
    return tuple(
        Reject(
            video := str(columns[VIDEO][row]),
            int(columns[FRAME][row]),
            source.where(video),
            STATUSES[status],
            message,
        )
        for row, status, message in manifest.notes.get("failures", ())
    )


def rejects_path(store: Path) -> Path:
    """Path of a store's list of rejects, next to the store."""
    return store.with_name(store.name + ".rejects.csv")


def is_rejects_file(path: Path) -> bool:
    """Whether a file is a list that `write_rejects` wrote, or somebody else's."""
    with path.open("rb") as file:
        return file.read(len(_HEADER) + 1) == _HEADER.encode() + b"\n"


def write_rejects(store: Path, rejects: Iterable[Reject], folder: Path | None = None) -> None:
    """Write the list next to the store; an empty list has only the header.

    For `folder`, see `echo_common.atomic`.
    """
    table = csv_table([_HEADER.split(","), *map(dataclasses.astuple, rejects)])
    atomic.write_text(rejects_path(store), table, folder=folder)


def count_reasons(rejects: Iterable[Reject]) -> str:
    """Summarise the list, most frequent reason first: ``3 row-count, 1 missing``."""
    counts = collections.Counter(reject.reason for reject in rejects)
    return ", ".join(f"{number} {reason}" for reason, number in counts.most_common())
