"""A progress bar where someone is looking, and a line every few per cent where not."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
Progress = Callable[[Iterable[Item], int, str], Iterator[Item]]
"""Wraps an iterable of known length and a label, and yields its items unchanged."""

LINE_EVERY = 0.05
"""Share of the work between two lines of a log that is not a terminal."""


def show(items: Iterable[Item], total: int, label: str) -> Iterator[Item]:
    """Yield `items`, reporting on stderr how many of `total` have been done."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, total=total, desc=label, file=sys.stderr, leave=False)
        return
    next_line = LINE_EVERY * total
    for done, item in enumerate(items, start=1):
        yield item
        if done >= next_line or done == total:
            print(f"{label}: {done} of {total} ({100 * done // total} %)", file=sys.stderr)
            next_line = done + LINE_EVERY * total


def silent(items: Iterable[Item], total: int, label: str) -> Iterator[Item]:
    """Yield `items` and say nothing; for callers of the library."""
    yield from items
