"""The tables of report.html: cells with what the page sorts and filters by."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from echo_train.reporting.paired_difference import Difference
from echo_train.reporting.run_rows import MISSING, Row, compare_settings, floor_rows
from echo_train.reporting.run_table import (
    COLUMNS,
    Metric,
    difference_cells,
    interval_text,
    metric_text,
    path_of,
)
from echo_train.runs.summary import SPLITS

METRIC_TABLE = {
    **{key: Metric(label=label, digits=4) for key, label in (
        ("dice", "Dice"),
        ("dice.pooled", "pooled Dice"),
        ("iou", "IoU"),
        ("pixel_accuracy", "pixel accuracy"),
        ("ceiling", "ceiling: Dice from true landmarks"),
    )},
    "hd95": Metric(label="HD95, px", digits=2),
    "surface_distance": Metric(label="mean surface distance, px", digits=2),
    "area_error": Metric(label="area error, px", digits=0),
    "area_bias": Metric(label="area, predicted minus true, px", digits=0, signed=True),
    "mean_radial_error": Metric(label="mean radial error, px", digits=2),
    **{
        f"success_{limit}px": Metric(label=f"landmarks within {limit} px", digits=3)
        for limit in (1, 2, 3, 4)
    },
    "shape.second_piece": Metric(label="masks with a second piece", digits=3),
    "shape.hole": Metric(label="masks with a hole", digits=3),
    "shape.self_crossing": Metric(label="contours that cross themselves", digits=3),
    "shape.area_outside": Metric(label="area outside the training range", digits=3),
    "shape.implausible": Metric(label="implausible: any of these", digits=3),
    "ef.mae": Metric(label="ejection fraction: mean absolute error, points", digits=1),
    "ef.bias": Metric(label="ejection fraction: bias, points", digits=1, signed=True),
    "ef.sd": Metric(label="ejection fraction: standard deviation, points", digits=1),
    "fac.bias": Metric(label="fractional area change: bias, points", digits=1, signed=True),
    "edv.bias": Metric(label="EDV: bias, % of traced", digits=1, signed=True),
    "esv.bias": Metric(label="ESV: bias, % of traced", digits=1, signed=True),
    "missed_frames": Metric(label="missed frames", digits=0),
    "missed_landmarks": Metric(label="missed landmarks", digits=0),
}  # fmt: skip
"""Every metric of a split, by its path in summary.json."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """A value in a table, as text.

    Attributes
    ----------
    text : str
        ``-`` if the run does not have it.
    value : float or None
        What the page sorts and filters by; None for the text itself.
    notes : tuple of str
        Small lines below it.
    """

    text: str
    value: float | None = None
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table:
    """Columns, as pairs of key and label, and the cells of each row and of the floor below."""

    title: str
    columns: list[tuple[str, str]]
    rows: list[list[Cell]]
    floor: list[list[Cell]]


def main_table(rows: Sequence[Row], differences: Sequence[Difference | None]) -> Table:
    """A line for each row; columns that are empty in all of them are left out."""
    different, _ = compare_settings(rows)
    if len(rows) == 1:
        different = {"target": [str(rows[0].summaries[0]["choice"])]}
    splits = {row.split for row in rows}
    prefix = f"{splits.pop()}." if len(splits) == 1 else ""
    columns: dict[str, tuple[str, list[Cell]]] = {}
    if any(len(row.folders) > 1 for row in rows):
        columns["runs"] = ("runs", [_cell(str(len(row.folders))) for row in rows])
    for key, column in COLUMNS.items():
        path = key if key == "seconds" else f"{prefix}{key}"
        notes = [(interval_text(row, row.split),) if key == "dice" else () for row in rows]
        cells = [
            _metric_cell(row, row.split, key, column, note)
            for row, note in zip(rows, notes, strict=True)
        ]
        label = "test Dice" if path == "test.dice" else column.label
        columns[path] = (label, cells)
        if key != "dice":
            continue
        if any(differences):
            columns |= _difference_columns(differences)
        for setting, values in different.items():
            columns[setting] = (setting.replace("_", " "), [_cell(value) for value in values])
        if not prefix:
            columns["split"] = ("split", [_cell(row.split) for row in rows])
    if prefix == "test." and any("val.dice" in row.metrics for row in rows):
        cells = [_metric_cell(row, "val", "dice", COLUMNS["dice"], ()) for row in rows]
        columns["val.dice"] = ("val Dice", cells)
    kept = {
        key: column for key, column in columns.items() if any(c.text != MISSING for c in column[1])
    }
    return Table(
        title="Runs",
        columns=[("run", "run"), *((key, label) for key, (label, _) in kept.items())],
        rows=[
            [_cell(row.name), *(cells[number] for _, cells in kept.values())]
            for number, row in enumerate(rows)
        ],
        floor=[
            [_cell(floor.name), *(_floor_cell(floor, path, prefix) for path in kept)]
            for floor in floor_rows(rows)
        ],
    )


def _floor_cell(floor: Row, path: str, prefix: str) -> Cell:
    """Cell of a column of the main table, whose metrics are of the split in the prefix."""
    split, key = ("val", "dice") if path == "val.dice" else (floor.split, path.removeprefix(prefix))
    return _metric_cell(floor, split, key, COLUMNS[key], ()) if key in COLUMNS else _cell(MISSING)


def _difference_columns(
    differences: Sequence[Difference | None],
) -> dict[str, tuple[str, list[Cell]]]:
    texts = [difference_cells(each) for each in differences]
    return {
        "difference": (
            "difference",
            [
                Cell(text=MISSING)
                if each is None
                else Cell(
                    text=f"{each.mean:+.4f}",
                    value=each.mean,
                    notes=(f"{each.low:+.4f} to {each.high:+.4f}",),
                )
                for each in differences
            ],
        ),
        "p": (
            "p (Holm)",
            [
                Cell(text=text["p (Holm)"], value=each.adjusted if each else None)
                for each, text in zip(differences, texts, strict=True)
            ],
        ),
    }


def metric_tables(rows: Sequence[Row]) -> list[Table]:
    """Every metric of every split, with intervals and phases."""
    tables = []
    for split, title in SPLITS.items():
        measured = [row for row in rows if any(split in summary for summary in row.summaries)]
        columns = {
            key: metric
            for key, metric in METRIC_TABLE.items()
            if any(f"{split}.{key}" in row.metrics for row in measured)
        }
        if columns:
            tables.append(
                Table(
                    title=title,
                    columns=[("run", "run"), *((k, metric.label) for k, metric in columns.items())],
                    rows=[
                        [
                            _cell(row.name),
                            *(
                                _metric_cell(
                                    row, split, *item, _interval_and_phases(row, split, *item)
                                )
                                for item in columns.items()
                            ),
                        ]
                        for row in measured
                    ],
                    floor=[
                        [
                            _cell(floor.name),
                            *(_metric_cell(floor, split, *item, ()) for item in columns.items()),
                        ]
                        for floor in floor_rows(measured)
                    ],
                )
            )
    return tables


def _metric_cell(row: Row, split: str, key: str, metric: Metric, notes: tuple[str, ...]) -> Cell:
    return Cell(
        text=metric_text(row, split, key, metric),
        value=row.metrics.get(path_of(split, key)),
        notes=tuple(note for note in notes if note),
    )


def _interval_and_phases(row: Row, split: str, key: str, metric: Metric) -> tuple[str, ...]:
    phases = [
        f"{phase.upper()} {metric.text(row.metrics[path])}"
        for phase in ("ed", "es")
        if (path := f"{split}.{key}.{phase}") in row.metrics
    ]
    return interval_text(row, split, key, metric.digits), ", ".join(phases)


def _cell(text: str) -> Cell:
    return Cell(text=text)
