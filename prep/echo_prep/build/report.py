"""What a build did, as data and in a few lines of text."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from echo_prep.dataset.rejects import Reject, count_reasons, rejects_path


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildReport:
    """What a build did, and what the store contains after it.

    Attributes
    ----------
    store : Path
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
    rejects : tuple of Reject
    notes : dict of str to int
        What was corrected in a valid trace, or is unusual in it, with the number of traces.
    bytes : int
        Size of the store on the disk.
    seconds : float
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
