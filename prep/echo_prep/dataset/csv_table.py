"""Reading a CSV strictly: every cell as text, every column by its name.

pandas is imported where it is used, here and where its tables go: it takes
half a second, and a build with nothing to do never needs it.
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
    """Read a CSV's named columns, as text where they are not said to be numbers.

    Columns are found by name, so their order is free and others are ignored.
    A byte-order mark, CRLF line ends, quotes and blank lines are understood. A
    line is a row: a quote that is not closed spoils its own row and swallows
    no other. A row that is spoilt, or has too many fields, cannot be trusted
    and is passed over: what it belonged to is then found incomplete.

    Parameters
    ----------
    path : Path
    required : sequence of str
        Columns that must be there.
    optional : sequence of str
        Columns to take where they are there.
    numbers : sequence of str
        Which of them hold numbers.

    Returns
    -------
    table : DataFrame of str and float64
        Indexed by the row's number in the file, the header being row 1; an
        empty or missing cell is the empty string, and what is no number is NaN.

    Raises
    ------
    DataNotFoundError
        If there is no such file.
    DataError
        If it is no CSV, lacks a column, or has one twice.
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
    doubled = [name for name, times in collections.Counter(wanted).items() if times > 1]
    if doubled:
        raise DataError(f"{path} has the column {', '.join(doubled)} twice; remove one of them")
    places = [columns.index(name) for name in wanted]
    floats = [columns.index(name) for name in wanted if name in numbers]
    table = _clean_table(content, len(columns), floats)
    if table is None:
        # Some cell is no number: as text, which takes longer.
        table = _clean_table(content, len(columns), ())
    if table is None:
        rows = [_row(line, len(columns)) for line in _lines(content)[1:]]
        table = pd.DataFrame(rows, columns=range(len(columns)), dtype=str)
    table = pd.DataFrame(
        {
            place: pd.to_numeric(table[place], errors="coerce").astype(np.float64)
            if place in floats
            else table[place]
            for place in places
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
            f"no {path.name} in {path.parent}: it should stand beside the Videos folder"
        ) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def _lines(content: bytes, limit: int = 0) -> list[str]:
    # A byte that is no UTF-8 spoils the cell that it stands in, not the file.
    text = content.decode("utf-8-sig", "surrogateescape")
    # Not str.splitlines: it would also break lines at a form feed or a Unicode separator.
    return re.split("\r\n|\r|\n", text, maxsplit=limit)


def _clean_table(content: bytes, width: int, floats: Sequence[int]) -> pd.DataFrame | None:
    """Read a file that has no quotes and no row too long, many times faster; else None."""
    import pandas as pd

    if b'"' in content or b"\0" in content:
        return None
    # One column more, which shows where a row is too long.
    columns = range(width + 1)
    with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):
        try:
            table = pd.read_csv(  # type: ignore[call-overload]
                io.BytesIO(content),
                header=None,
                skiprows=1,
                names=columns,
                dtype={place: np.float64 if place in floats else str for place in columns},
                keep_default_na=False,
                na_values={place: [""] for place in floats},
                skip_blank_lines=False,
                index_col=False,
                quoting=csv.QUOTE_NONE,
                encoding="utf-8-sig",
                encoding_errors="surrogateescape",
            )
        except (ValueError, pd.errors.ParserWarning):
            return None
    text = [place for place in columns if place not in floats]
    table[text] = table[text].fillna("")
    return None if (table[width] != "").any() else table


def _cells(line: str) -> list[str] | None:
    """Split a line; None where its quotes do not match."""
    if '"' not in line:
        return line.split(",")
    try:
        return next(csv.reader([line], strict=True), [])
    except csv.Error:
        return None


def _row(line: str, width: int) -> list[str]:
    cells = _cells(line)
    # Commas at a line's end are empty cells of no column; anything else there is one too many.
    if cells is None or any(cells[width:]):
        return [""] * width
    return cells[:width] + [""] * (width - len(cells))
