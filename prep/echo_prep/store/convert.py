"""From Zarr to HDF5 and back: the same arrays, stages and keys in the other container."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from echo_common import atomic
from echo_common.cli import progress
from echo_common.cli.command import describe_os_error
from echo_common.errors import EchoError, SettingsError, StoreDamagedError, StoreError
from echo_common.lock import build_lock
from echo_common.store import schema
from echo_common.store.container import Container
from echo_common.store.reader import EchoStore
from echo_common.store.schema import CHUNK_FRAMES, ArraySpec, chunk_name
from echo_prep.store.delivery import Delivery
from echo_prep.store.integrity import store_faults, survey
from echo_prep.store.publish import publish
from echo_prep.store.verify import describe_fault
from echo_prep.store.work_folder import WorkFolder, work_path


def convert(source: Path, target: Path, show: progress.Progress[int] = progress.silent) -> None:
    """Write a store anew in the format that the target's suffix names.

    Parameters
    ----------
    source, target : Path
        Any two formats, the same one twice included.
    show : callable
        Reports progress; see `echo_common.cli.progress`.

    Raises
    ------
    SettingsError
        If there is a finished store, or something else, at the target already.
    StoreNotFoundError, StoreDamagedError, StoreLockedError, StoreError
        If the source cannot be read whole, or the target not written.
    """
    store = EchoStore(source)
    if faults := store_faults(source):
        raise StoreDamagedError(
            f"{source} is not whole: {describe_fault(faults[0])}; run the same echo-prep build "
            "again with --check, then convert"
        )
    if target.resolve() == source.resolve() or survey(target).attributes.get("stages"):
        raise SettingsError(f"{target} is a store already; give another name, or move it away")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with build_lock(target):
            _convert_locked(store, target, show)
    except OSError as error:
        if isinstance(error, EchoError) or error.errno is None:
            raise
        raise StoreError(f"{describe_os_error(error)} (what is done is kept)") from error


def _convert_locked(store: EchoStore, target: Path, show: progress.Progress[int]) -> None:
    atomic.remove_leftovers(target)
    work = WorkFolder(work_path(target))
    specs = [store.container.spec(array)[0] for array in store.manifests]
    held: Container | None = store.container
    if not schema.is_hdf5(target):
        held = None
        steps = [
            (spec, number) for spec in specs for number in range(-(-spec.shape[0] // CHUNK_FRAMES))
        ]
        for at in show(range(len(steps)), len(steps), "converting"):
            _copy_chunk(store, work, *steps[at])
    deliveries = [_delivery(store, work, spec, fresh=held is None) for spec in specs]
    given = {
        name: value
        for name, value in store.attributes.items()
        if name not in ("schema", "stages", "digest")
    }
    publish(target, work, held, deliveries, (), given)
    work.remove()


def _copy_chunk(store: EchoStore, work: WorkFolder, spec: ArraySpec, number: int) -> None:
    manifest = store.manifests[spec.path]
    work.begin(spec, manifest.key)
    if not work.lacking([spec], manifest.key, [number]):
        return
    start = number * CHUNK_FRAMES
    stop = min(start + CHUNK_FRAMES, spec.shape[0])
    notes = manifest.chunks[chunk_name(number, len(spec.shape))].get("notes", {})
    work.put(spec, manifest.key, number, store.read_rows(spec.path, start, stop), notes)


def _delivery(store: EchoStore, work: WorkFolder, spec: ArraySpec, fresh: bool) -> Delivery:
    manifest = store.manifests[spec.path]
    if fresh:
        numbers = range(len(manifest.chunks))
        chunks = work.chunks(spec.path, manifest.key, numbers)
        manifest = dataclasses.replace(manifest, chunks=chunks)
    return Delivery(spec=spec, key=manifest.key, manifest=manifest, made=frozenset(), fresh=fresh)
