"""Strict reading of a CSV file: cells as text, columns by name.

Files are accepted as Excel and other programs write them: separated by
semicolons or tabs, with decimal commas, in UTF-16, with a line ``sep=;``.

pandas is imported inside the functions that use it: the import takes half a
second, and a build with nothing to do does not need it.
"""

from __future__ import annotations

import codecs
import collections
import csv
import dataclasses
import io
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from echo_common.errors import DataError, DataNotFoundError, EchoError

if TYPE_CHECKING:
    import pandas as pd

_SEPARATORS = (",", ";", "\t", "|")

_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
"""Byte-order marks; the one of UTF-32 begins with that of UTF-16."""

_SAVE = "save its sheet as CSV"
_NO_TEXT = {
    b"PK\x03\x04": f"an Excel workbook or a ZIP archive ({_SAVE})",
    b"\xd0\xcf\x11\xe0": f"an Excel workbook ({_SAVE})",
    b"\x1f\x8b": "compressed with gzip (decompress it)",
    b"version https://git-lfs": "a Git LFS pointer (fetch the file with git lfs pull)",
    b"/annex/objects": "a git-annex pointer (fetch the file with git annex get)",
}
"""What a file is that begins so."""


def read_table(
    path: Path,
    required: Sequence[str],
    optional: Sequence[str] = (),
    numbers: Sequence[str] = (),
) -> pd.DataFrame:
    """Read named columns of a CSV file, as text unless listed as numbers.

    Columns are found by name, in any order; other columns are ignored. The
    separator is the one by which the first row has the required columns. CRLF
    line ends, quotes and blank lines are accepted. A line is a row, so an
    unclosed quote damages only its own row. A damaged row, or one with too
    many fields, is skipped: the trace or video that it belongs to is then
    incomplete and rejected.

    Parameters
    ----------
    numbers : sequence of str
        Which of the required and optional columns hold numbers.

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

    lines = _Lines.of(path, required)
    columns = lines.columns
    missing = [name for name in required if name not in columns]
    if missing:
        raise DataError(
            f"{path} has no column {', '.join(missing)}: its first row reads "
            f"{', '.join(columns)[:200]!r}; it should name {', '.join(required)}, separated by "
            "commas, semicolons or tabs"
        )
    wanted = [name for name in columns if name in required or name in optional]
    repeated = [name for name, times in collections.Counter(wanted).items() if times > 1]
    if repeated:
        raise DataError(f"{path} has the column {', '.join(repeated)} twice; remove one of them")
    floats = [columns.index(name) for name in wanted if name in numbers]
    table = _clean_table(lines, floats)
    if table is None:
        # Some cell is not a number: read as text, which takes longer.
        table = _clean_table(lines, ())
    if table is None:
        texts = _split_lines(lines.content)[1:]
        rows = [_row(line, lines.separator, len(columns)) for line in texts]
        table = pd.DataFrame(rows, columns=range(len(columns)), dtype=str)
    table = pd.DataFrame({name: table[columns.index(name)] for name in wanted})
    for name in table.columns.intersection(list(numbers)):
        table[name] = to_numbers(table[name], lines.separator)
    table.index = pd.RangeIndex(lines.first, len(table) + lines.first)
    table.attrs["separator"] = lines.separator
    text = [name for name in wanted if name not in numbers]
    filled = (table[text] != "").any(axis=1) | table.drop(columns=text).notna().any(axis=1)
    return table[filled]


def read_columns(path: Path) -> list[str]:
    """Names of a CSV file's columns, separated by whatever gives the most; empty if unreadable."""
    try:
        return _Lines.of(path, ()).columns
    except EchoError:
        return []


def to_numbers(cells: pd.Series[Any], separator: str) -> pd.Series[Any]:
    """Convert cells to float64; NaN if a cell is not a number.

    A comma is a decimal comma, unless it may separate thousands: in a file
    whose cells are separated by commas, where numbers with a comma are quoted,
    ``"1,234"`` is not a number if no other cell shows which is meant.

    Parameters
    ----------
    cells : Series of str or of float64
    separator : str
        What separates the file's cells.
    """
    import pandas as pd

    numbers = pd.to_numeric(cells, errors="coerce").astype(np.float64)
    if numbers.notna().all() or pd.api.types.is_float_dtype(cells):
        return numbers
    decimal = cells.str.fullmatch(r"\s*[+-]?\d+,\d+([eE][+-]?\d+)?\s*")
    if separator == ",":
        unclear = cells.str.fullmatch(r"\s*[+-]?\d{1,3},\d{3}\s*")
        if cells.str.contains(".", regex=False).any() or not (decimal & ~unclear).any():
            decimal &= ~unclear
    points = cells[decimal].str.replace(",", ".", regex=False)
    numbers[decimal] = pd.to_numeric(points, errors="coerce").astype(np.float64)
    return numbers


def number_columns(table: pd.DataFrame, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Columns of text as float64, by name; NaN for what is missing, not a number, or implausible.

    No percentage, volume, rate or size is a thousand million, and a float32 could overflow.
    """
    found = {name: np.full(len(table), np.nan) for name in names}
    for name in found.keys() & set(table.columns):
        numbers = to_numbers(table[name], table.attrs["separator"]).to_numpy()
        found[name] = np.where(np.abs(numbers) < 1e9, numbers, np.nan)
    return found


@dataclasses.dataclass(frozen=True)
class _Lines:
    """A CSV file's text as UTF-8, and how to take it apart.

    `first` is the number, from 1, of the file's first row after the header.
    """

    content: bytes
    columns: list[str]
    separator: str
    first: int

    @classmethod
    def of(cls, path: Path, required: Sequence[str]) -> _Lines:
        content = _utf8(path, _content(path))
        first = 2
        header, *_ = _split_lines(content, limit=1)
        separators: Sequence[str] = _SEPARATORS
        if declared := re.fullmatch('"?sep=(.)"?', header):
            # Excel's own way to name the separator.
            separators, first = declared[1], 3
            content = re.split(b"\r\n|\r|\n", content, maxsplit=1)[-1]
            header, *_ = _split_lines(content, limit=1)

        def columns(separator: str) -> list[str]:
            return [name.strip() for name in _cells(header, separator) or ()]

        def matches(separator: str) -> tuple[int, int]:
            names = columns(separator)
            return sum(name in names for name in required), len(names)

        best = max(separators, key=matches)
        return cls(content, columns(best), best, first)


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


def _utf8(path: Path, content: bytes) -> bytes:
    """The file's text as UTF-8 without a byte-order mark."""
    for signature, name in _NO_TEXT.items():
        if content.startswith(signature):
            raise DataError(f"{path} is {name}, not a CSV file")
    content = content.removeprefix(codecs.BOM_UTF8)
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            # What is not valid becomes a character that no name and no number has.
            return content[len(mark) :].decode(encoding, "replace").encode()
    # UTF-16 without a mark: the column names are ASCII, so every other byte is zero.
    for encoding, zeros in (("utf-16-le", content[1:64:2]), ("utf-16-be", content[:64:2])):
        if len(zeros) > 4 and not zeros.strip(b"\0") and content[:64].strip(b"\0"):
            return content.decode(encoding, "replace").encode()
    return content


def _split_lines(content: bytes, limit: int = 0) -> list[str]:
    """Lines of UTF-8 text; a byte that is not UTF-8 damages its own cell, not the file."""
    # Not str.splitlines, which also breaks lines at a form feed or a Unicode separator.
    return re.split("\r\n|\r|\n", content.decode("utf-8", "surrogateescape"), maxsplit=limit)


def _clean_table(lines: _Lines, floats: Sequence[int]) -> pd.DataFrame | None:
    """Read a file without quotes or overlong rows, which is much faster; None for any other."""
    import pandas as pd

    if b'"' in lines.content or b"\0" in lines.content:
        return None
    width = len(lines.columns)
    # One extra column, which shows rows that are too long.
    columns = range(width + 1)
    with warnings.catch_warnings(action="error", category=pd.errors.ParserWarning):
        try:
            table = pd.read_csv(  # type: ignore[call-overload]
                io.BytesIO(lines.content),
                header=None,
                skiprows=1,
                names=columns,
                sep=lines.separator,
                decimal="." if lines.separator == "," else ",",
                dtype={column: np.float64 if column in floats else str for column in columns},
                keep_default_na=False,
                na_values={column: [""] for column in floats},
                skip_blank_lines=False,
                index_col=False,
                quoting=csv.QUOTE_NONE,
                encoding="utf-8",
                encoding_errors="surrogateescape",
            )
        except (ValueError, pd.errors.ParserWarning):
            return None
    text = [column for column in columns if column not in floats]
    table[text] = table[text].fillna("")
    return None if (table[width] != "").any() else table


def _cells(line: str, separator: str) -> list[str] | None:
    """Split a line; None if its quotes do not match."""
    if '"' not in line:
        return line.split(separator)
    try:
        return next(csv.reader([line], strict=True, delimiter=separator), [])
    except csv.Error:
        return None


def _row(line: str, separator: str, width: int) -> list[str]:
    cells = _cells(line, separator)
    if cells is not None and len(cells) == 1 and separator in cells[0]:
        # Excel has quoted the line as a whole, which it took for one cell.
        cells = _cells(cells[0], separator)
    # Trailing separators are ignored; any other extra cell makes the row invalid.
    if cells is None or any(cells[width:]):
        return [""] * width
    return cells[:width] + [""] * (width - len(cells))
