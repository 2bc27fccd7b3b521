"""Checking a store completely, and the list of damaged chunks that this leaves for `build`."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from echo_common.lock import build_lock
from echo_common.outputs import MOVE_AWAY, check_replaceable
from echo_common.regular_file import read_regular
from echo_common.store import schema
from echo_prep.store.integrity import Fault, store_faults
from echo_prep.store.work_folder import WorkFolder, work_path

_SUFFIX = ".damaged.json"


def verify(store: Path) -> list[Fault]:
    """Read all of a store, and list its damaged chunks for the next build.

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
    # A store on a read-only disk, or one that is being built, can be checked too.
    with contextlib.suppress(OSError):
        if damaged or damage_path(store).exists():
            _write_damage_list(damage_path(store), damaged)
    return faults


def _write_damage_list(path: Path, damaged: dict[str, list[str]]) -> None:
    check_replaceable(path, force=False, is_own=is_damage_list, remedy=MOVE_AWAY)
    store = path.with_name(path.name.removesuffix(_SUFFIX))
    with build_lock(store):
        work = WorkFolder(work_path(store))
        interrupted = work.root.exists()
        work.open()
        if damaged:
            work.write_file(path, json.dumps(damaged, indent=1, sort_keys=True) + "\n")
        else:
            path.unlink()
        if not interrupted:
            work.remove()


def describe_fault(fault: Fault) -> str:
    """Describe a fault and its place in one line."""
    chunk = f" chunk {fault.chunk}" if fault.chunk is not None else ""
    return f"{fault.state}: {fault.where or 'the root'}{chunk}: {fault.message}"


def damage_path(store: Path) -> Path:
    """Path of a store's list of damaged chunks: next to the store."""
    # The store may be the working directory.
    store = store if store.name not in ("", "..") else Path(os.path.realpath(store))
    return store.with_name(store.name + _SUFFIX)


def read_damage_list(store: Path) -> dict[str, set[str]]:
    """Chunks that `verify` found damaged, by array; empty if there is no readable list.

    A damaged chunk that is not listed is found by ``build --check``.
    """
    return _read_list(damage_path(store)) or {}


def is_damage_list(path: Path) -> bool:
    """Whether a file is a list that `verify` wrote, or somebody else's."""
    return _read_list(path) is not None


def _read_list(path: Path) -> dict[str, set[str]] | None:
    try:
        table = json.loads(read_regular(path))
        found = {array: set(chunks) for array, chunks in table.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return None
    own = all(schema.is_array_path(array) for array in found) and all(
        isinstance(name, str) and schema.is_chunk_name(name)
        for chunks in found.values()
        for name in chunks
    )
    return found if own else None
