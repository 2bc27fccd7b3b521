"""The mark that `echo-prep verify` leaves beside a damaged store, so that `build` looks there.

A build compares sizes, not every byte; damage that keeps the size would pass.
A mark is a suspicion, not a finding: `build` compares what it names with its
digest, so a mark that is out of date costs nothing.
"""

from __future__ import annotations

import json
from pathlib import Path

from echo_common import atomic


def mark_path(store: Path) -> Path:
    """Where the mark of a store stands: beside the store."""
    return store.with_name(store.name + ".damaged.json")


def leave_mark(store: Path, suspects: dict[str, list[str]]) -> None:
    """Name the chunks of each array that `build` shall compare with their digests."""
    atomic.write_text(mark_path(store), json.dumps(suspects, indent=1, sort_keys=True) + "\n")


def read_mark(store: Path) -> dict[str, set[str]]:
    """Chunks under suspicion by array; a mark that cannot be read suspects none.

    Whoever doubts a store whose mark was lost has ``build --check``.
    """
    try:
        table = json.loads(mark_path(store).read_text(encoding="utf-8"))
        return {str(array): {str(name) for name in chunks} for array, chunks in table.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def clear_mark(store: Path) -> None:
    """Take the mark away: what it named has been compared, and mended."""
    mark_path(store).unlink(missing_ok=True)
