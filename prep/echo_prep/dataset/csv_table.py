"""Strict reading of a CSV file: cells as text, columns by name.

pandas is imported inside the functions that use it: the import takes half a
second, and a build with nothing to do does not need it.
"""

from __future__ import annotations

import collections
import csv
import io
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from echo_common.errors import DataError, DataNotFoundError

if TYPE_CHECKING:
    import pandas as pd


def read_table(
    path: Path,
    required: Sequence[str],
    optional: Sequence[str] = (),
    numbers: Sequence[str] = (),
) -> pd.DataFrame:
    """Read named columns of a CSV file, as text unless listed as numbers.

    Columns are found by name, in any order; other columns are ignored. A
    byte-order mark, CRLF line ends, quotes and blank lines are accepted. A
    line is a row, so an unclosed quote damages only its own row. A damaged
    row, or one with too many fields, is skipped: the trace or video that it
    belongs to is then incomplete and rejected.

    Parameters
    ----------
    path : Path
    required : sequence of str
        Columns that must exist.
    optional : sequence of str
        Columns to read if they exist.
    numbers : sequence of str
        Which of these columns hold numbers.

    Returns
    -------
    table : DataFrame of str and float64
        Indexed by row number in the file, the header being row 1. An empty or
        missing cell is an empty string; in a column of numbers, a cell that is
        not a number is NaN.

    Raises
    ------
    DataNotFoundError
        If the file does not exist.
    DataError
        If it is not a CSV file, lacks a column, or has a column twice.
    """
    import pandas as pd

    content = _content(path)
    columns = [name.strip() for name in _cells(_lines(content, limit=1)[0]) or ()]
    missing = [name for name in required if name not in columns]
    if missing:
        raise DataError(
            f"{path} has no column {', '.join(missing)}: its first row reads "
            f"{', '.join(columns)[:200]!r}; it should name {', '.join(required)}, as UTF-8 text"
        )
    wanted = [name for name in columns if name in required or name in optional]
    repeated = [name for name, times in collections.Counter(wanted).items() if times > 1]
    if repeated:
        raise DataError(f"{path} has the column {', '.join(repeated)} twice; remove one of them")
    positions = [columns.index(name) for name in wanted]
    floats = [columns.index(name) for name in wanted if name in numbers]
    table = _clean_table(content, len(columns), floats)
    if table is None:
        # Some cell is not a number: read as text, which takes longer.
        table = _clean_table(content, len(columns), ())
    if table is None:
        rows = [_row(line, len(columns)) for line in _lines(content)[1:]]
        table = pd.DataFrame(rows, columns=range(len(columns)), dtype=str)
    table = pd.DataFrame(
        {
            position: pd.to_numeric(table[position], errors="coerce").astype(np.float64)
            if position in floats
            else table[position]
            for position in positions
        }
    )
    table.columns = pd.Index(wanted)
    table.index = pd.RangeIndex(2, len(table) + 2)
    text = [name for name in wanted if name not in numbers]
    filled = (table[text] != "").any(axis=1) | table.drop(columns=text).notna().any(axis=1)
    return table[filled]


def _content(path: Path) -> bytes:
    if path.exists() and not path.is_file():
        raise DataError(f"{path} is not a file; it should be a CSV file")
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataNotFoundError(
            f"no {path.name} in {path.parent}: it belongs next to the Videos folder"
        ) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def _lines(content: bytes, limit: int = 0) -> list[str]:
    # A byte that is not UTF-8 damages its own cell, not the file.
    text = content.decode("utf-8-sig", "surrogateescape")
    # Not str.splitlines, which also breaks lines at a form feed or a Unicode separator.
    return re.split("\r\n|\r|\n", text, maxsplit=limit)


def _clean_table(content: bytes, width: int, floats: Sequence[int]) -> pd.DataFrame | None:
    """Read a file without quotes or overlong rows, which is much faster; None for any other."""
    import pandas as pd

    if b'"' in content or b"\0" in content:
        return None
    # One extra column, which shows rows that are too long.
    columns = range(width + 1)
    with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):
        try:
            table = pd.read_csv(  # type: ignore[call-overload]
                io.BytesIO(content),
                header=None,
                skiprows=1,
                names=columns,
                dtype={column: np.float64 if column in floats else str for column in columns},
                keep_default_na=False,
                na_values={column: [""] for column in floats},
                skip_blank_lines=False,
                index_col=False,
                quoting=csv.QUOTE_NONE,
                encoding="utf-8-sig",
                encoding_errors="surrogateescape",
            )
        except (ValueError, pd.errors.ParserWarning):
            return None
    text = [column for column in columns if column not in floats]
    table[text] = table[text].fillna("")
    return None if (table[width] != "").any() else table


def _cells(line: str) -> list[str] | None:
    """Split a line; None if its quotes do not match."""
    if '"' not in line:
        return line.split(",")
    try:
        return next(csv.reader([line], strict=True), [])
    except csv.Error:
        return None


def _row(line: str, width: int) -> list[str]:
    cells = _cells(line)
    # Trailing commas are ignored; any other extra cell makes the row invalid.
    if cells is None or any(cells[width:]):
        return [""] * width
    return cells[:width] + [""] * (width - len(cells))
