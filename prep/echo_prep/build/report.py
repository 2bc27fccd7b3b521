"""What a build did, or would do, as data and in a few lines of text."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from echo_common.store import schema
from echo_common.store.manifest import Manifest
from echo_prep.build.plan import Plan
from echo_prep.dataset.frame_source import FrameSource
from echo_prep.dataset.rejects import Reject, count_reasons, frame_rejects, rejects_path


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildReport:
    """What a build did, and what the store contains after it.

    Attributes
    ----------
    made, kept : tuple of str
        Names of the stages that were made, and of those that were up to date.
    dropped : tuple of str
        Arrays that `prune` removed.
    rows : int
        Number of rows whose frame could be read.
    videos : int
        Number of videos of these rows.
    traced : int
        Number of traces in the data set, valid or not.
    notes : dict of str to int
        What was corrected in a valid trace, or is unusual in it, with the number of traces.
    bytes : int
        Size of the store on the disk.
    """

    store: Path
    made: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    rows: int
    videos: int
    traced: int
    rejects: tuple[Reject, ...]
    notes: dict[str, int]
    bytes: int = 0
    seconds: float = 0.0


CLOSE_BASE = (
    "mitral corners implausibly close, so that the first and the last landmark nearly coincide "
    "(look at a preview)"
)

_CLOSE = 0.25
"""Width of the last chord, as a share of the widest, below which the corners are too close."""


def report_of(plan: Plan, status: Manifest, videos: FrameSource, **outcome: Any) -> BuildReport:
    """Report on a finished store with the rows of a plan.

    Parameters
    ----------
    status : Manifest
        Manifest of the status array; its notes hold the rows that could not be read.
    **outcome
        The other attributes of the report.
    """
    failed = {row for row, *_ in status.notes.get("failures", ())}
    usable = [row for row in range(len(plan)) if row not in failed]
    return BuildReport(
        rows=len(usable),
        videos=len(set(plan.columns[schema.VIDEO][usable])),
        traced=plan.traced,
        rejects=plan.rejects + frame_rejects(plan.columns, status, videos),
        notes=plan.notes | shape_notes(plan.columns),
        **outcome,
    )


def shape_notes(columns: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Count traces whose chords do not end at the mitral corners, from the columns of a plan.

    Chords perpendicular to the long axis, cut from a ventricle with an oblique
    mitral plane, end on this plane.
    """
    contours = columns[schema.CONTOUR]
    half = contours.shape[1] // 2
    widths = np.hypot(*(contours[:, :half] - contours[:, : half - 1 : -1]).transpose(2, 0, 1))
    close = widths[:, -1] < _CLOSE * np.nanmax(widths, axis=1)
    if schema.VIEW in columns:
        close &= [not schema.is_short_axis(str(view)) for view in columns[schema.VIEW]]
    return {CLOSE_BASE: int(close.sum())} if close.any() else {}


def describe_report(report: BuildReport) -> list[str]:
    """Describe a report in lines of text."""
    if report.made or report.dropped:
        lists = {"made": report.made, "dropped": report.dropped, "already there:": report.kept}
        lines = [f"{label} {', '.join(names)}" for label, names in lists.items() if names]
    else:
        lines = [f"nothing to do: {report.store} already holds {', '.join(report.kept)}"]
    if report.rejects:
        lines.append(
            f"left out: {count_reasons(report.rejects)}; each with its reason in "
            f"{rejects_path(report.store)}"
        )
    if any(reject.reason == "wrong-size" for reject in report.rejects):
        lines.append("the videos are of several sizes: --size N scales all of them to N x N pixels")
    lines += [f"{count} traces: {note}" for note, count in report.notes.items()]
    lines.append(
        f"{report.store}: {report.rows} of {report.traced} traced frames kept, from "
        f"{report.videos} videos; {report.bytes / 1e6:.1f} MB, {report.seconds:.1f} s, "
        f"{report.videos / report.seconds:.0f} videos/s"
    )
    return lines


@dataclasses.dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a build would do.

    Attributes
    ----------
    make, keep, drop : tuple of str
        Stages that would be made completely or in part, stages that are up to
        date, and arrays that ``--prune`` would remove.
    rows : int
        Rows of the store.
    rows_to_make : int
        Rows of the chunks that are missing or damaged.
    bytes, seconds : float
        Estimates from a short probe with one worker.
    """

    store: Path
    make: tuple[str, ...]
    keep: tuple[str, ...]
    drop: tuple[str, ...]
    rows: int
    rows_to_make: int
    bytes: float
    seconds: float
    workers: int


def describe_forecast(expected: Forecast) -> list[str]:
    """Describe a forecast in lines of text."""
    if not expected.make and not expected.drop:
        return [f"nothing to do: {expected.store} already holds {', '.join(expected.keep)}"]
    lines = [f"would make {', '.join(expected.make)}"] if expected.make else []
    if expected.keep:
        lines.append(f"already there: {', '.join(expected.keep)}")
    if expected.drop:
        lines.append(f"would drop {', '.join(expected.drop)}")
    lines.append(
        f"{expected.store}: {expected.rows_to_make} of {expected.rows} rows to make, about "
        f"{expected.bytes / 1e6:.0f} MB and {expected.seconds:.0f} s with {expected.workers} "
        "workers; nothing was written"
    )
    return lines
