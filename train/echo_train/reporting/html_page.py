"""report.html: several runs on one page that embeds its pictures."""

from __future__ import annotations

import base64
import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from echo_common.outputs import SOFTWARE
from echo_train.reporting.paired_difference import compare_runs
from echo_train.reporting.plots import run_curves_png
from echo_train.reporting.run_table import HEADER, find_pictures, table_rows
from echo_train.runs.run_folder import METRICS, read_metrics
from echo_train.runs.run_names import short_names
from echo_train.runs.summary import SPLITS

MARK = f'<meta name="generator" content="{SOFTWARE}">'.encode()
"""In every page, so that only an older page is replaced by a new one."""

TEMPLATE = "report.html.j2"
"""In this package."""

LABELS = {
    "dice": ("Dice", 4),
    "iou": ("IoU", 4),
    "pixel_accuracy": ("pixel accuracy", 4),
    "hd95": ("HD95, px", 2),
    "surface_distance": ("mean surface distance, px", 2),
    "area_error": ("area error, px", 0),
    "area_bias": ("area, predicted minus true, px", 0),
    "ceiling": ("ceiling: Dice from true landmarks", 4),
    "mean_radial_error": ("mean radial error, px", 2),
    "success_1px": ("landmarks within 1 px", 3),
    "success_2px": ("landmarks within 2 px", 3),
    "success_3px": ("landmarks within 3 px", 3),
    "success_4px": ("landmarks within 4 px", 3),
    "shape.second_piece": ("masks with a second piece", 3),
    "shape.hole": ("masks with a hole", 3),
    "shape.self_crossing": ("contours that cross themselves", 3),
    "shape.area_outside": ("area outside the training range", 3),
    "shape.implausible": ("implausible: any of these", 3),
}
"""Label and number of digits of each metric, which is a path into a split of summary.json."""

COUNTS = {"missed_frames": "missed frames", "missed_landmarks": "missed landmarks"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """A value in a table of metrics, as text.

    Attributes
    ----------
    value : str
        ``-`` if the run does not have it.
    interval, phases : str
        95 % interval, and means at ED and ES; empty if unknown.
    """

    value: str
    interval: str = ""
    phases: str = ""


def report_page(folders: Sequence[Path], summaries: Sequence[dict[str, Any]]) -> bytes:
    """Make report.html: table, comparisons, curves, metrics, settings and pictures of runs.

    Parameters
    ----------
    folders : sequence of Path
    summaries : sequence of dict
        The summary.json of each.

    Raises
    ------
    RunError
        If a file of a run cannot be read.
    """
    names = short_names(folders)
    histories = {
        name: read_metrics(folder)
        for name, folder in zip(names, folders, strict=True)
        if os.path.lexists(folder / METRICS)
    }
    rows = table_rows(list(zip(folders, summaries, strict=True)), every_split=True)
    name_of = dict(zip(map(str, folders), names, strict=True))
    different, shared = compare_settings(summaries)
    page = _template().render(
        generator=SOFTWARE,
        names=names,
        header=HEADER,
        rows=[(name_of[folder], *cells) for folder, *cells in rows],
        differences=compare_runs(folders, summaries),
        curves=_embed(run_curves_png(histories)) if histories else None,
        splits=[
            {"title": title, "rows": _metric_rows([summary.get(split) for summary in summaries])}
            for split, title in SPLITS.items()
            if any(split in summary for summary in summaries)
        ],
        different=[[key, *values] for key, values in different.items()],
        shared=list(shared.items()),
        pictures=[
            (name, [(picture.stem, _embed(picture.read_bytes())) for picture in pictures])
            for name, pictures in zip(names, map(find_pictures, folders), strict=True)
            if pictures
        ],
    )
    # A path that is no UTF-8 is escaped.
    return page.encode("utf-8", "backslashreplace")


def compare_settings(
    summaries: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Separate the settings that differ between runs from those that all runs share.

    Parameters
    ----------
    summaries : sequence of mapping

    Returns
    -------
    different : dict of str to list of str
        The value of each run as text; ``-`` if a run does not set it.
    shared : dict of str to str
    """
    tables = [summary["settings"] for summary in summaries]
    different, shared = {}, {}
    for key in sorted({key for table in tables for key in table}):
        values = ["-" if table.get(key) is None else str(table[key]) for table in tables]
        if len(set(values)) > 1:
            different[key] = values
        else:
            shared[key] = values[0]
    return different, shared


def _template() -> jinja2.Template:
    # The suffix of the template is not one that Jinja escapes by default.
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("echo_train.reporting", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(TEMPLATE)


def _metric_rows(splits: Sequence[Mapping[str, Any] | None]) -> list[tuple[str, list[Cell]]]:
    """Rows of label and cells, one cell for each run; a run without the split is None."""
    rows = []
    for metric, (label, digits) in LABELS.items():
        values = [_look_up(split, metric) for split in splits]
        if any(values):
            rows.append((label, [_cell(value, digits) for value in values]))
        if metric == "dice":
            rows.append(("pooled Dice", [_pooled_cell(value, digits) for value in values]))
    for count, label in COUNTS.items():
        numbers = [None if split is None else split.get(count) for split in splits]
        if any(number is not None for number in numbers):
            cells = [Cell(value="-" if number is None else str(number)) for number in numbers]
            rows.append((label, cells))
    return rows


def _look_up(split: Mapping[str, Any] | None, metric: str) -> Mapping[str, Any] | None:
    value: Any = split
    for key in metric.split("."):
        value = value.get(key) if value else None
    return value


def _cell(metric: Mapping[str, Any] | None, digits: int) -> Cell:
    if metric is None or metric["mean"] is None:
        return Cell(value="-")
    phases = [
        f"{phase.upper()} {metric[phase]:.{digits}f}"
        for phase in ("ed", "es")
        if metric[phase] is not None
    ]
    return Cell(
        value=f"{metric['mean']:.{digits}f}",
        interval=_interval(metric["ci95"], digits),
        phases=", ".join(phases),
    )


def _pooled_cell(dice: Mapping[str, Any] | None, digits: int) -> Cell:
    if dice is None or dice["pooled"] is None:
        return Cell(value="-")
    interval = _interval(dice["pooled_ci95"], digits)
    return Cell(value=f"{dice['pooled']:.{digits}f}", interval=interval)


def _interval(ends: Sequence[float | None], digits: int) -> str:
    low, high = ends
    return "" if low is None or high is None else f"{low:.{digits}f} to {high:.{digits}f}"


def _embed(picture: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(picture).decode()}"
