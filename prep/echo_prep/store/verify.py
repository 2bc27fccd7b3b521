"""Checking a store in full, and saying of each damaged, missing or surplus chunk where it is."""

from __future__ import annotations

import json
from pathlib import Path

from echo_common import atomic
from echo_prep.store.integrity import Fault, store_faults


def verify(store: Path) -> list[Fault]:
    """Read all of a store, and leave a mark for `build` where chunks are damaged.

    Parameters
    ----------
    store : Path

    Returns
    -------
    faults : list of Fault
        Empty where the store is whole.

    Raises
    ------
    StoreNotFoundError, StoreError
        If there is no store at all.
    """
    faults = store_faults(store)
    suspects: dict[str, list[str]] = {}
    for fault in faults:
        if fault.chunk is not None and fault.state == "damaged":
            suspects.setdefault(fault.where, []).append(fault.chunk)
    try:
        if suspects:
            leave_mark(store, suspects)
        else:
            clear_mark(store)
    except OSError:
        # A store on a read-only disk can be checked too; what to do about it says --check.
        pass
    return faults


def describe_fault(fault: Fault) -> str:
    """Say in a line what is wrong, and where."""
    chunk = f" chunk {fault.chunk}" if fault.chunk is not None else ""
    return f"{fault.state}: {fault.where or 'the root'}{chunk}: {fault.message}"


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
