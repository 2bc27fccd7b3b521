"""Rows of a report: finished runs, their settings and metrics by key, filtered and sorted.

The keys of metrics are paths into summary.json, such as ``test.dice`` or ``val.dice.pooled``.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import operator
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from echo_common.cli.settings import did_you_mean
from echo_common.errors import SettingsError
from echo_train.runs.run_names import short_names
from echo_train.runs.summary import FLOORS, SPLITS, is_number

AVERAGED = ("seed", "fold")
"""Settings in which the runs of an averaged row may differ."""

MISSING = "-"

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_TERM = re.compile(r"\s*([\w.-]+)\s*(!=|<=|>=|=|<|>)\s*(.+?)\s*")

_HIGHER_IS_BETTER = ("dice", "iou", "pixel_accuracy", "success", "ceiling", "images_per_second")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """A run, or the mean of several runs that differ only in seed and fold.

    Attributes
    ----------
    folders : tuple of Path
    summaries : tuple of dict
        The summary.json of each folder.
    """

    name: str
    folders: tuple[Path, ...]
    summaries: tuple[dict[str, Any], ...]

    @property
    def split(self) -> str:
        """The first split of `SPLITS` that all runs of the row were measured on."""
        shared = [split for split in SPLITS if all(split in found for found in self.summaries)]
        return shared[0] if shared else MISSING

    @functools.cached_property
    def settings(self) -> dict[str, str]:
        """Settings as text; several values are joined."""
        tables = [summary["settings"] for summary in self.summaries]
        return {
            key: ", ".join(dict.fromkeys(_text(table.get(key)) for table in tables))
            for key in dict.fromkeys(key for table in tables for key in table)
        }

    @functools.cached_property
    def metrics(self) -> dict[str, float]:
        """Mean over the runs of each metric that all of them have."""
        return {key: statistics.fmean(values) for key, values in self._values.items()}

    @functools.cached_property
    def spreads(self) -> dict[str, float]:
        """Sample standard deviation over the runs of each metric; empty for a single run."""
        if len(self.folders) == 1:
            return {}
        return {key: statistics.stdev(values) for key, values in self._values.items()}

    @functools.cached_property
    def _values(self) -> dict[str, list[float]]:
        tables = [dict(_numbers(summary)) for summary in self.summaries]
        keys = [key for key in tables[0] if all(key in table for table in tables)]
        return {key: [table[key] for table in tables] for key in keys}


def make_rows(folders: Sequence[Path], summaries: Sequence[dict[str, Any]]) -> list[Row]:
    """Make a row of each run."""
    return [
        Row(name=name, folders=(folder,), summaries=(summary,))
        for name, folder, summary in zip(short_names(folders), folders, summaries, strict=True)
    ]


def floor_rows(rows: Sequence[Row]) -> list[Row]:
    """Make a row of each prediction that does not look at the image; equal ones are one row."""
    found = []
    for name, label in FLOORS.items():
        same: list[Row] = []
        for summary in (summary for row in rows for summary in row.summaries):
            floors = {split: summary.get(split, {}).get("floor", {}).get(name) for split in SPLITS}
            table = {split: floor for split, floor in floors.items() if floor is not None}
            row = Row(name=label, folders=(Path(label),), summaries=(table | {"settings": {}},))
            # Landmarks add a radial error to the floor of masks.
            if not any(row.metrics.items() <= other.metrics.items() for other in same):
                same = [other for other in same if not other.metrics.items() < row.metrics.items()]
                same += [row] if table else []
        found += same
    return found


def average_rows(rows: Sequence[Row]) -> list[Row]:
    """Join the rows whose settings differ only in `AVERAGED`."""
    groups: dict[tuple[tuple[str, str], ...], list[Row]] = {}
    for row in rows:
        others = {key: value for key, value in row.settings.items() if key not in AVERAGED}
        groups.setdefault(tuple(sorted(others.items())), []).append(row)
    return [
        Row(
            name=_common_name([row.name for row in group]),
            folders=tuple(folder for row in group for folder in row.folders),
            summaries=tuple(summary for row in group for summary in row.summaries),
        )
        for group in groups.values()
    ]


def compare_settings(rows: Sequence[Row]) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Separate the settings that differ between rows from those that all rows share.

    Returns
    -------
    different : dict of str to list of str
        The value of each row; ``-`` if a row does not set it.
    shared : dict of str to str
    """
    different, shared = {}, {}
    for key in sorted({key for row in rows for key in row.settings}):
        values = [row.settings.get(key, MISSING) for row in rows]
        if len(set(values)) > 1:
            different[key] = values
        else:
            shared[key] = values[0]
    return different, shared


def filter_rows(rows: Sequence[Row], terms: Iterable[str]) -> list[Row]:
    """Keep the rows that match all terms, such as ``width=16``, ``loss=bce,lov*``, ``dice>0.9``.

    Raises
    ------
    SettingsError
        If a term is not of this form, or no row has its setting or metric.
    """
    kept = list(rows)
    for term in terms:
        found = _TERM.fullmatch(term)
        if not found:
            raise SettingsError(
                f"--filter {term!r} is not of the form width=16, loss=bce,dice or test.dice>0.9"
            )
        key, sign, wanted = found.groups()
        key = _resolve(key, rows, "--filter")
        if sign in _OPERATORS:
            limit = _number(wanted)
            if limit is None:
                raise SettingsError(
                    f"--filter {term!r} compares with {wanted!r}, which is no number"
                )
            kept = [
                row
                for row in kept
                if (value := _value(row, key)) is not None and _OPERATORS[sign](value, limit)
            ]
        else:
            kept = [row for row in kept if _equals(row, key, wanted) == (sign == "=")]
    return kept


def sort_rows(rows: Sequence[Row], key: str) -> list[Row]:
    """Sort by a setting or a metric, the best metric first; a leading ``-`` reverses the order.

    Rows without the value are last.

    Raises
    ------
    SettingsError
        If no row has it.
    """
    reverse = key.startswith("-")
    key = _resolve(key.removeprefix("-"), rows, "--sort")
    if any(part.startswith(_HIGHER_IS_BETTER) for part in key.split(".")):
        reverse = not reverse
    known = [row for row in rows if key in row.metrics or key in row.settings]
    numbers = {id(row): _value(row, key) for row in known}
    if None in numbers.values():
        known.sort(key=lambda row: row.settings.get(key, ""), reverse=reverse)
    else:
        known.sort(key=lambda row: numbers[id(row)] or 0.0, reverse=reverse)
    return known + [row for row in rows if row not in known]


def _resolve(key: str, rows: Sequence[Row], option: str) -> str:
    """Complete a key, such as ``dice`` to ``test.dice``."""
    known = dict.fromkeys(key for row in rows for key in (*row.settings, *row.metrics))
    if key in known:
        return key
    completed = [f"{split}.{key}" for split in SPLITS if f"{split}.{key}" in known]
    if completed:
        return completed[0]
    names = {*known, *(name.partition(".")[2] for name in known)}
    raise SettingsError(
        f"{option}: no run has a setting or a metric {key!r}{did_you_mean(key, names)}"
    )


def _value(row: Row, key: str) -> float | None:
    return row.metrics[key] if key in row.metrics else _number(row.settings.get(key, MISSING))


def _equals(row: Row, key: str, wanted: str) -> bool:
    found = _value(row, key)
    text = row.settings.get(key, MISSING)
    return any(
        fnmatch.fnmatchcase(text, item) or (found is not None and found == _number(item))
        for item in (item.strip() for item in wanted.split(","))
    )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return MISSING if value is None else str(value)


def _numbers(table: Mapping[str, Any], path: str = "") -> Iterable[tuple[str, float]]:
    """Numbers of a summary by their path, which leaves out ``mean``."""
    for key, value in table.items():
        inner = path if key == "mean" else f"{path}.{key}".removeprefix(".")
        if isinstance(value, Mapping) and inner != "settings":
            yield from _numbers(value, inner)
        elif is_number(value):
            yield inner, float(value)


def _common_name(names: Sequence[str]) -> str:
    """Name of a group: without seed and fold if that is the same for all, or the first name."""
    plain = {re.sub(r"[,/_-]?\b(seed|fold)[-=]\d+", "", name).strip(",/_-") for name in names}
    if len(names) > 1 and len(plain) == 1:
        return plain.pop() or "mean"
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
