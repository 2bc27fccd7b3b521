"""Finished runs as a table of text or CSV; `echo-report` and the other commands print it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from echo_common.tables import csv_table, text_table
from echo_train.reporting.paired_difference import Difference
from echo_train.reporting.run_rows import MISSING, Row, compare_settings, floor_rows
from echo_train.runs.run_folder import PICTURES, SUMMARY
from echo_train.runs.summary import SPLITS, look_up

_ONLY_IN_PAGE = ("ED", "ES", "area ED px", "area ES px", "pooled", "pixel acc.")
"""Columns for which the text of several runs has no room."""

CSV_MARK = b"run,folder,split,"
"""How the CSV of a report begins, so that only an older one is replaced."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Metric:
    """A column: its label, and how its values are shown.

    Attributes
    ----------
    digits : int
        After the point.
    """

    label: str
    digits: int
    percent: bool = False
    signed: bool = False

    def text(self, value: float | None) -> str:
        """Format a value; ``-`` for a missing one."""
        if value is None:
            return MISSING
        sign = "+" if self.signed else ""
        return f"{100 * value:.1f} %" if self.percent else f"{value:{sign}.{self.digits}f}"


COLUMNS = {
    "dice": Metric(label="Dice", digits=4),
    "dice.ed": Metric(label="ED", digits=3),
    "dice.es": Metric(label="ES", digits=3),
    "area_bias.ed": Metric(label="area ED px", digits=0, signed=True),
    "area_bias.es": Metric(label="area ES px", digits=0, signed=True),
    "ef.mae": Metric(label="EF MAE", digits=1),
    "ef.bias": Metric(label="EF bias", digits=1, signed=True),
    "dice.pooled": Metric(label="pooled", digits=4),
    "hd95": Metric(label="HD95 px", digits=2),
    "mean_radial_error": Metric(label="MRE px", digits=2),
    "missed_frames": Metric(label="missed", digits=0),
    "shape.implausible": Metric(label="implausible", digits=1, percent=True),
    "pixel_accuracy": Metric(label="pixel acc.", digits=4),
    "seconds": Metric(label="seconds", digits=0),
}
"""Columns of the metrics of a split, and of the run's time, by key."""


LISTED = 8
"""Runs whose pictures are listed below a table."""


def find_runs(folders: Sequence[Path]) -> list[Path]:
    """Replace the folder of several runs, or of an evaluation of them, by its runs."""
    found = []
    for folder in folders:
        inner = sorted(path.parent for path in folder.glob(f"*/{SUMMARY}"))
        found += [folder] if (folder / SUMMARY).exists() or not inner else inner
    return found


def find_pictures(folder: Path) -> list[Path]:
    """Find the pictures of a run or an evaluation."""
    paths = [folder / name for name in PICTURES]
    return [path for path in paths if path.is_file()]


def path_of(split: str, key: str) -> str:
    """Key of a column among the metrics of a row."""
    return key if key == "seconds" else f"{split}.{key}"


def metric_text(row: Row, split: str, key: str, column: Metric) -> str:
    """Value of a metric on a split as text, with its spread over the runs of the row."""
    path = path_of(split, key)
    text = column.text(row.metrics.get(path))
    return f"{text} ± {column.text(row.spreads[path]).lstrip('+')}" if path in row.spreads else text


def interval_text(row: Row, split: str, key: str = "dice", digits: int = 3) -> str:
    """Interval of a metric of a single run, or an empty text."""
    if len(row.folders) > 1:
        return ""
    name = "pooled_ci95" if key.endswith(".pooled") else "ci95"
    ends = look_up(row.summaries[0], f"{split}.{key.removesuffix('.pooled')}.{name}")
    if not ends or None in ends:
        return ""
    return f"{ends[0]:.{digits}f} to {ends[1]:.{digits}f}"


def table_rows(
    rows: Sequence[Row],
    differences: Sequence[Difference | None] = (),
    every_split: bool = False,
) -> list[list[str]]:
    """Lay out rows as text, and their floor below; the first line is the header.

    Parameters
    ----------
    differences : sequence of Difference or None
        Of each row from a baseline.
    every_split : bool
        One line for each split; by default only the first that a run was measured on.

    Returns
    -------
    lines : list of list of str
        Columns that are empty in every line are left out, and so is a setting that all rows share.
    """
    different, _ = compare_settings(rows)
    if len(rows) == 1:
        different = {"target": [str(rows[0].summaries[0]["choice"])]}
    averaged = any(len(row.folders) > 1 for row in rows)
    lines = []
    for number, row in enumerate(rows):
        splits = [split for split in SPLITS if all(split in found for found in row.summaries)]
        difference = differences[number] if differences else None
        lines += [
            {
                "run": row.name if len(rows) > 1 else str(row.folders[0]),
                "runs": str(len(row.folders)) if averaged else MISSING,
                **{key: values[number] for key, values in different.items()},
                "split": split,
                **_metric_cells(row, split, difference),
            }
            for split in splits[: None if every_split else 1]
        ]
    for floor in floor_rows(rows):
        splits = [split for split in SPLITS if split in floor.summaries[0]]
        lines += [
            dict.fromkeys(lines[0], MISSING)
            | {"run": floor.name, "split": split}
            | _metric_cells(floor, split, None)
            for split in splits[: None if every_split else 1]
        ]
    left_out = _ONLY_IN_PAGE if len(rows) > 1 and not every_split else ()
    columns = [
        key
        for key in lines[0]
        if key not in left_out and any(line[key] not in ("", MISSING) for line in lines)
    ]
    return [columns, *([line[key] or MISSING for key in columns] for line in lines)]


def describe(
    rows: Sequence[Row],
    differences: Sequence[Difference | None] = (),
    every_split: bool = False,
) -> str:
    """Lay out rows as a table, followed by notes and the paths of pictures; see `table_rows`."""
    pictures = [
        f"  {path}" for row in rows for folder in row.folders for path in find_pictures(folder)
    ]
    return "\n".join(
        [
            text_table(table_rows(rows, differences, every_split)),
            *(f"note: {folder}: {note}" for folder, note in notes_of(rows)),
            "",
            "pictures:",
            *(pictures if len(rows) <= LISTED else [f"  {len(pictures)} pictures in the page"]),
        ]
    )


def notes_of(rows: Sequence[Row]) -> list[tuple[Path, str]]:
    """What a reader should know about runs, such as a store that is not that of the training."""
    return [
        (folder, str(note))
        for row in rows
        for folder, summary in zip(row.folders, row.summaries, strict=True)
        for notes in [summary.get("notes")]
        if isinstance(notes, list)
        for note in notes
    ]


def report_csv(rows: Sequence[Row], differences: Sequence[Difference | None]) -> str:
    """Format all settings and metrics of rows as CSV, and their differences from a baseline."""
    settings = sorted({key for row in rows for key in row.settings})
    metrics = list(dict.fromkeys(key for row in rows for key in row.metrics))
    spreads = [key for key in metrics if any(key in row.spreads for row in rows)]
    fields = [field.name for field in dataclasses.fields(Difference)]
    lines: list[list[object]] = [
        [
            *("run", "folder", "split", "runs"),
            *settings,
            *metrics,
            *(f"{key}.sd" for key in spreads),
            *(f"difference.{name}" for name in fields),
        ]
    ]
    for row, difference in zip(rows, differences, strict=True):
        lines.append(
            [
                row.name,
                "; ".join(map(str, row.folders)),
                row.split,
                len(row.folders),
                *(row.settings.get(key) for key in settings),
                *(row.metrics.get(key) for key in metrics),
                *(row.spreads.get(key) for key in spreads),
                *(getattr(difference, name, None) for name in fields),
            ]
        )
    return csv_table(lines)


def _metric_cells(row: Row, split: str, difference: Difference | None) -> dict[str, str]:
    cells = {column.label: metric_text(row, split, key, column) for key, column in COLUMNS.items()}
    dice = {
        COLUMNS["dice"].label: cells.pop(COLUMNS["dice"].label),
        "95 % interval": interval_text(row, split),
    }
    return {**dice, **difference_cells(difference), **cells}


def difference_cells(difference: Difference | None) -> dict[str, str]:
    """Columns of a difference from the baseline."""
    if difference is None:
        return {"difference": MISSING, "p (Holm)": MISSING}
    p = difference.adjusted
    interval = f"({difference.low:+.4f} to {difference.high:+.4f})"
    return {
        "difference": f"{difference.mean:+.4f} {interval}",
        "p (Holm)": MISSING if p is None else "<0.001" if p < 0.001 else f"{p:.3f}",
    }
