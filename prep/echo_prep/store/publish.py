"""Moving finished arrays into the store, so that a kill between two steps loses nothing.

A Zarr store takes each whole array by one rename, and repaired chunks one by
one. An HDF5 store is assembled in a new file, from its own sound chunks and
those of the work folder, and the new file replaces the old one by one rename.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from echo_common import atomic
from echo_common.store import schema
from echo_common.store.container import Container
from echo_common.store.manifest import Manifest, stage_table, with_digest
from echo_common.store.zarr_folder import GROUP, is_group
from echo_prep.store.delivery import Delivery
from echo_prep.store.work_folder import WorkFolder, create_array


def publish(
    store: Path,
    work: WorkFolder,
    source: Container | None,
    deliveries: Sequence[Delivery],
    removed: Sequence[str],
    attributes: dict[str, Any],
) -> None:
    """Make a store contain exactly these arrays.

    Parameters
    ----------
    store : Path
    work : WorkFolder
        Contains the new chunks.
    source : Container or None
        The store that contains the other chunks: the store itself as it was,
        or the one that is converted.
    deliveries : sequence of Delivery
        Every array of the store, changed or not.
    removed : sequence of str
        Arrays to remove from the store.
    attributes : dict
        The root's attributes, without ``schema``, ``stages`` and ``digest``.
    """
    if schema.is_hdf5(store):
        # Imported here: a Zarr store is written without h5py.
        from echo_prep.store.publish_hdf5 import publish_hdf5

        publish_hdf5(store, work, source, deliveries, bool(removed), attributes)
    else:
        _publish_zarr(store, work, deliveries, removed, attributes)


def _publish_zarr(
    store: Path,
    work: WorkFolder,
    deliveries: Sequence[Delivery],
    removed: Sequence[str],
    attributes: dict[str, Any],
) -> None:
    store.mkdir(exist_ok=True)
    if not (store / "zarr.json").exists():
        write_root(store, {"schema": schema.SCHEMA, "stages": {}})
    work.flush(
        (delivery.spec.path, name) for delivery in deliveries for name in delivery.moved_chunks()
    )
    manifests = {}
    for delivery in deliveries:
        _make_groups(store, delivery.spec.path)
        put = _move_array if delivery.replaces else _repair_array
        manifests[delivery.spec.path] = put(store, work, delivery)
    for path in removed:
        _discard(work, store / path)
        _remove_empty_groups(store, Path(path))
    stages = stage_table(manifests)
    write_root(store, {"schema": schema.SCHEMA, "stages": stages, **attributes})


def _move_array(store: Path, work: WorkFolder, delivery: Delivery) -> Manifest:
    # The manifest is written last, then one rename makes the array count. A kill between two
    # steps leaves a whole array in the work folder or in the store.
    folder, target = work.array_folder(delivery.spec.path), store / delivery.spec.path
    expected = {"zarr.json", *delivery.manifest.chunks}
    for file in folder.iterdir():
        # Partial files of a killed worker do not belong to the array.
        if file.name not in expected:
            file.unlink()
    atomic.fsync_path(folder / "zarr.json")
    manifest = _with_metadata(delivery.manifest, folder)
    atomic.write_text(folder / schema.MANIFEST, manifest.json)
    _discard(work, target)
    folder.rename(target)
    atomic.fsync_path(target.parent)
    return manifest


def _repair_array(store: Path, work: WorkFolder, delivery: Delivery) -> Manifest:
    # The array is damaged already. A kill between two of these steps leaves it damaged, and the
    # next build repairs the rest.
    target = store / delivery.spec.path
    if delivery.redeclare:
        declared = work.root / "declared"
        shutil.rmtree(declared, ignore_errors=True)
        create_array(declared, delivery.spec, delivery.key)
        atomic.write_bytes(target / "zarr.json", (declared / "zarr.json").read_bytes())
    for name in delivery.moved_chunks():
        (work.array_folder(delivery.spec.path) / name).replace(target / name)
    for name in delivery.surplus:
        (target / name).unlink(missing_ok=True)
    if delivery.changes_store:
        atomic.fsync_path(target)
    manifest = delivery.manifest
    if delivery.redeclare:
        manifest = _with_metadata(manifest, target)
    # Written after the chunks, so that no chunk is newer than its manifest.
    if delivery.new_chunks or not _has_content(target / schema.MANIFEST, manifest.json):
        atomic.write_text(target / schema.MANIFEST, manifest.json)
    return manifest


def _with_metadata(manifest: Manifest, folder: Path) -> Manifest:
    metadata = hashlib.sha256((folder / "zarr.json").read_bytes()).hexdigest()
    return dataclasses.replace(manifest, metadata=metadata)


def write_root(store: Path, attributes: dict[str, Any]) -> None:
    """Write the root of a Zarr store, unless it has this content already."""
    metadata = {
        "attributes": with_digest(attributes),
        "node_type": "group",
        "zarr_format": 3,
    }
    text = json.dumps(metadata, indent=1, sort_keys=True) + "\n"
    if not _has_content(store / "zarr.json", text):
        atomic.write_text(store / "zarr.json", text)


def _make_groups(store: Path, path: str) -> None:
    for group in reversed(Path(path).parents):
        if group == Path():
            continue
        folder = store / group
        folder.mkdir(exist_ok=True)
        if not is_group(folder):
            atomic.write_text(folder / "zarr.json", GROUP)


def _remove_empty_groups(store: Path, path: Path) -> None:
    for group in path.parents:
        folder = store / group
        if group == Path() or not folder.is_dir():
            continue
        if [entry.name for entry in folder.iterdir()] not in ([], ["zarr.json"]):
            return
        shutil.rmtree(folder)


def _discard(work: WorkFolder, folder: Path) -> None:
    if folder.exists():
        discarded = work.root / "discarded"
        shutil.rmtree(discarded, ignore_errors=True)
        work.root.mkdir(parents=True, exist_ok=True)
        folder.rename(discarded)
        shutil.rmtree(discarded)


def _has_content(path: Path, text: str) -> bool:
    try:
        return path.read_bytes() == text.encode()
    except OSError:
        return False
