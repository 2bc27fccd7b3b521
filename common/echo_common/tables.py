"""Rows of text as a table: aligned columns, Markdown or CSV."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal

_FORMULA = re.compile(r"(^|[;\t\r\n])(?=[=+\-@\t\r＝＋－＠])")
"""Where a cell, as a spreadsheet splits a line into cells, begins as a formula does."""


def text_table(rows: Sequence[Sequence[str]]) -> str:
    """Lay out rows in aligned columns, with a rule below the first row.

    Examples
    --------
    >>> print(text_table([["run", "Dice"], ["mask", "0.91"]]))
    run   Dice
    ----  ----
    mask  0.91
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    head, *body = rows
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in [head, ["-" * width for width in widths], *body]
    ]
    return "\n".join(lines)


def markdown_table(rows: Sequence[Sequence[str]]) -> str:
    """Lay out rows as a Markdown table; the first row is the header.

    Examples
    --------
    >>> print(markdown_table([["run", "Dice"], ["mask", "0.91"]]))
    | run | Dice |
    | --- | --- |
    | mask | 0.91 |
    """
    head, *body = rows
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *body])


def csv_table(rows: Iterable[Sequence[object]]) -> str:
    r"""Write rows as CSV with Unix line ends; None is an empty cell.

    Text from files stays text in a spreadsheet: an apostrophe is put before
    what would be a formula. What cannot be written as UTF-8 is escaped. Numbers
    stay as they are; `fixed` formats them.

    Examples
    --------
    >>> csv_table([["video", "Dice"], ["a, b", None]])
    'video,Dice\n"a, b",\n'
    >>> csv_table([["=1+1", "-1", -0.5, fixed(-0.5, 3)]])
    "'=1+1,'-1,-0.5,-0.500\n"
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(map(_cell, row) for row in rows)
    return text.getvalue()


def fixed(value: float, digits: int) -> Decimal | None:
    r"""Round a number for `csv_table`, with all of its digits; None for NaN.

    Examples
    --------
    >>> csv_table([[fixed(0.5, 3), fixed(float("nan"), 3)]])
    '0.500,\n'
    """
    return None if math.isnan(value) else Decimal(f"{value:.{digits}f}")


def _cell(value: object) -> object:
    if not isinstance(value, str):
        return value
    return _FORMULA.sub(r"\1'", value.encode("utf-8", "backslashreplace").decode())
