"""Rows of text as a table: aligned columns, Markdown or CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence


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

    Examples
    --------
    >>> csv_table([["video", "Dice"], ["a, b", None]])
    'video,Dice\n"a, b",\n'
    """
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
