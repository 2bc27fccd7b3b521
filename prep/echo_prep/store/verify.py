"""Checking a store completely, and the list of damaged chunks that this leaves for `build`."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from echo_common import atomic
from echo_prep.store.integrity import Fault, store_faults


def verify(store: Path) -> list[Fault]:
    """Read all of a store, and list its damaged chunks for the next build.

    Parameters
    ----------
    store : Path

    Returns
    -------
    faults : list of Fault
        Empty if the store is sound.

    Raises
    ------
    StoreNotFoundError, StoreError
        If there is no store at all.
    """
    faults = store_faults(store)
    damaged: dict[str, list[str]] = {}
    for fault in faults:
        if fault.chunk is not None and fault.state == "damaged":
            damaged.setdefault(fault.where, []).append(fault.chunk)
    # A store on a read-only disk can be checked too; use `build --check` to repair it.
    with contextlib.suppress(OSError):
        if damaged:
            text = json.dumps(damaged, indent=1, sort_keys=True) + "\n"
            atomic.write_text(damage_path(store), text)
        else:
            remove_damage_list(store)
    return faults


def describe_fault(fault: Fault) -> str:
    """Describe a fault and its place in one line."""
    chunk = f" chunk {fault.chunk}" if fault.chunk is not None else ""
    return f"{fault.state}: {fault.where or 'the root'}{chunk}: {fault.message}"


def damage_path(store: Path) -> Path:
    """Path of a store's list of damaged chunks: next to the store."""
    return store.with_name(store.name + ".damaged.json")


def read_damage_list(store: Path) -> dict[str, set[str]]:
    """Chunks that `verify` found damaged, by array; empty if there is no readable list.

    A damaged chunk that is not listed is found by ``build --check``.
    """
    try:
        table = json.loads(damage_path(store).read_text(encoding="utf-8"))
        return {str(array): {str(name) for name in chunks} for array, chunks in table.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def remove_damage_list(store: Path) -> None:
    """Remove the list, after its chunks have been compared and repaired."""
    damage_path(store).unlink(missing_ok=True)
