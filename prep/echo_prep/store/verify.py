"""Checking a store in full, and saying of each damaged, missing or surplus chunk where it is."""

from __future__ import annotations

from pathlib import Path

from echo_prep.store.integrity import Fault, store_faults
from echo_prep.store.mark import clear_mark, leave_mark


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
