"""Reading a CSV strictly: every cell as text, every column by its name."""

from __future__ import annotations

import collections
import csv
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from echo_common.errors import DataError, DataNotFoundError


def read_table(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> pd.DataFrame:
    """Read a CSV's named columns as text.

    Columns are found by name, so their order is free and others are ignored.
    A byte-order mark, CRLF line ends, quotes and blank lines are understood. A
    row with too many fields cannot be trusted and is passed over: what it
    belonged to is then found incomplete.

    Parameters
    ----------
    path : Path
    required : sequence of str
        Columns that must be there.
    optional : sequence of str
        Columns to take where they are there.

    Returns
    -------
    table : DataFrame of str
        Indexed by the row's number in the file, the header being row 1; an
        empty or missing cell is the empty string.

    Raises
    ------
    DataNotFoundError
        If there is no such file.
    DataError
        If it is no CSV, lacks a column, or has one twice.
    """
    columns = _header(path)
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
    table = _read(path, columns)[wanted].fillna("")
    table.index = pd.RangeIndex(2, len(table) + 2)
    return table[(table != "").any(axis=1)]


def _header(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            first = next(csv.reader(file), [])
    except FileNotFoundError as error:
        raise DataNotFoundError(
            f"no {path.name} in {path.parent}: it should stand beside the Videos folder"
        ) from error
    except (csv.Error, IsADirectoryError) as error:
        raise DataError(f"{path} is not a CSV file: {error}") from error
    return [name.strip() for name in first]


def _read(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    options = {
        "header": None,
        "skiprows": 1,
        "names": range(len(columns)),
        "dtype": str,
        "keep_default_na": False,
        "na_filter": True,
        "skip_blank_lines": False,
        "index_col": False,
        "encoding": "utf-8-sig",
        "encoding_errors": "surrogateescape",
    }
    try:
        try:
            table = pd.read_csv(path, engine="c", on_bad_lines="error", **options)  # type: ignore[call-overload]
        except pd.errors.ParserError:
            # Slower, and able to pass over the rows that the fast one stops at.
            table = pd.read_csv(path, engine="python", on_bad_lines="skip", **options)  # type: ignore[call-overload]
    except (pd.errors.ParserError, csv.Error, ValueError) as error:
        raise DataError(f"{path} cannot be read as a CSV file: {error}") from error
    table.columns = pd.Index(columns)
    return table
