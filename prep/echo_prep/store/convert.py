"""Converting a store from Zarr to HDF5 or back: the same arrays, stages and keys."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from echo_common.cli import progress
from echo_common.errors import SettingsError, StoreDamagedError
from echo_common.lock import build_lock
from echo_common.outputs import refuse_inputs, resolve_output
from echo_common.store import schema
from echo_common.store.reader import EchoStore
from echo_common.store.schema import CHUNK_FRAMES, ArraySpec, chunk_name
from echo_prep.store.delivery import Delivery
from echo_prep.store.integrity import inspect_store, store_faults
from echo_prep.store.publish import publish
from echo_prep.store.verify import describe_fault
from echo_prep.store.work_folder import WorkFolder, finished_work_kept, work_path


def convert(source: Path, target: Path, show: progress.Progress[int] = progress.silent) -> None:
    """Write a store in the format that the target's suffix names, which may be its own.

    Raises
    ------
    SettingsError
        If the target is a finished store already.
    StoreNotFoundError, StoreDamagedError, StoreLockedError, StoreError
        If the source cannot be read completely, or the target cannot be written.
    """
    store = EchoStore(source)
    target = resolve_output(target)
    _check_target(source, target)
    if faults := store_faults(source):
        raise StoreDamagedError(
            f"{source} is damaged: {describe_fault(faults[0])}; run the same echo-prep build "
            "again with --check, then convert"
        )
    with finished_work_kept():
        target.parent.mkdir(parents=True, exist_ok=True)
        with build_lock(target):
            # Again, since another process may have finished in the meantime.
            _check_target(source, target)
            _convert_locked(store, target, show)


def _check_target(source: Path, target: Path) -> None:
    if os.path.realpath(target) == os.path.realpath(source):
        raise SettingsError(f"{target} is a store already; give another name, or move it away")
    refuse_inputs(target, [source])
    state = inspect_store(target)
    unfinished = state.attributes.get("stages") == {}
    if (state.attributes or state.arrays) and not unfinished:
        raise SettingsError(f"{target} is a store already; give another name, or move it away")


def _convert_locked(store: EchoStore, target: Path, show: progress.Progress[int]) -> None:
    work = WorkFolder(work_path(target))
    work.open()
    specs = [store.container.spec(array)[0] for array in store.manifests]
    # An HDF5 store is assembled from the source itself; a Zarr store needs chunks to move.
    through_work = not schema.is_hdf5(target)
    if through_work:
        steps = [
            (spec, number) for spec in specs for number in range(-(-spec.shape[0] // CHUNK_FRAMES))
        ]
        for step in show(range(len(steps)), len(steps), "converting"):
            _copy_chunk(store, work, *steps[step])
    deliveries = [_delivery(store, work, spec, through_work) for spec in specs]
    attributes = {
        name: value
        for name, value in store.attributes.items()
        if name not in ("schema", "stages", "digest")
    }
    source = None if through_work else store.container
    publish(target, work, source, deliveries, (), attributes)
    work.remove()


def _copy_chunk(store: EchoStore, work: WorkFolder, spec: ArraySpec, number: int) -> None:
    manifest = store.manifests[spec.path]
    work.declare(spec, manifest.key)
    if not work.missing_chunks([spec], manifest.key, [number]):
        return
    start = number * CHUNK_FRAMES
    stop = min(start + CHUNK_FRAMES, spec.shape[0])
    notes = manifest.chunks[chunk_name(number, len(spec.shape))].get("notes", {})
    work.write_chunk(spec, manifest.key, number, store.read_rows(spec.path, start, stop), notes)


def _delivery(store: EchoStore, work: WorkFolder, spec: ArraySpec, through_work: bool) -> Delivery:
    manifest = store.manifests[spec.path]
    if through_work:
        chunks = work.chunk_entries(spec.path, manifest.key, range(len(manifest.chunks)))
        manifest = dataclasses.replace(manifest, chunks=chunks)
    return Delivery(spec=spec, manifest=manifest, replaces=through_work)
