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
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from echo_common import atomic
from echo_common.errors import OutputError
from echo_common.outputs import descendant
from echo_common.regular_file import read_regular
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
) -> dict[str, Manifest]:
    """Make a store contain exactly these arrays; returns the manifest of each, by path.

    Parameters
    ----------
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

        return publish_hdf5(store, work, source, deliveries, bool(removed), attributes)
    return _publish_zarr(store, work, deliveries, removed, attributes)


def _publish_zarr(
    store: Path,
    work: WorkFolder,
    deliveries: Sequence[Delivery],
    removed: Sequence[str],
    attributes: dict[str, Any],
) -> dict[str, Manifest]:
    changed = [delivery for delivery in deliveries if delivery.changes_store]
    refuse_strangers(
        store,
        [delivery.spec.path for delivery in changed],
        [*(delivery.spec.path for delivery in changed if delivery.replaces), *removed],
    )
    store.mkdir(exist_ok=True)
    if not (store / "zarr.json").exists():
        _write_root(store, work, {"schema": schema.SCHEMA, "stages": {}})
    work.flush(
        (delivery.spec.path, name) for delivery in deliveries for name in delivery.moved_chunks()
    )
    manifests = {}
    for delivery in deliveries:
        _make_groups(store, work, delivery.spec.path)
        put = _move_array if delivery.replaces else _repair_array
        manifests[delivery.spec.path] = put(store, work, delivery)
    for path in removed:
        _discard(work, store / path)
        _remove_empty_groups(store, Path(path))
    stages = stage_table(manifests)
    _write_root(store, work, {"schema": schema.SCHEMA, "stages": stages, **attributes})
    return manifests


def refuse_strangers(store: Path, written: Iterable[str], replaced: Collection[str]) -> None:
    """Check that arrays of a Zarr store can be written or removed, and no other file with them.

    Parameters
    ----------
    written : iterable of str
        Arrays in which anything is written.
    replaced : collection of str
        Arrays that are replaced or removed as a whole.

    Raises
    ------
    OutputError
        If an array is below a link, or one that is replaced has a file in its
        folder that is not the format's.
    """
    for path in dict.fromkeys([*written, *replaced]):
        folder = descendant(store, path)
        for parent in (folder, *folder.parents[: path.count("/")]):
            if parent.is_symlink():
                raise OutputError(
                    f"{parent} is a link, and {path} has to be written: put the folder that it "
                    "leads to in its place"
                )
        for entry in folder.iterdir() if path in replaced and folder.exists() else ():
            own = entry.name in ("zarr.json", schema.MANIFEST) or schema.is_chunk_name(entry.name)
            if entry.is_dir() or not own:
                raise OutputError(
                    f"{entry} is not a file of the store, and its folder has to be replaced; move "
                    "it away"
                )


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
    work.write_file(folder / schema.MANIFEST, manifest.json)
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
        create_array(declared, delivery.spec, delivery.manifest.key)
        work.write_file(target / "zarr.json", (declared / "zarr.json").read_text(encoding="utf-8"))
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
        work.write_file(target / schema.MANIFEST, manifest.json)
    return manifest


def _with_metadata(manifest: Manifest, folder: Path) -> Manifest:
    metadata = hashlib.sha256((folder / "zarr.json").read_bytes()).hexdigest()
    return dataclasses.replace(manifest, metadata=metadata)


def _write_root(store: Path, work: WorkFolder, attributes: dict[str, Any]) -> None:
    """Write the root of a Zarr store, unless it has this content already."""
    text = root_text(attributes)
    if not _has_content(store / "zarr.json", text):
        work.write_file(store / "zarr.json", text)


def root_text(attributes: dict[str, Any]) -> str:
    """Content of the root's zarr.json."""
    metadata = {
        "attributes": with_digest(attributes),
        "node_type": "group",
        "zarr_format": 3,
    }
    return json.dumps(metadata, indent=1, sort_keys=True) + "\n"


def _make_groups(store: Path, work: WorkFolder, path: str) -> None:
    for group in reversed(Path(path).parents):
        if group == Path():
            continue
        folder = store / group
        folder.mkdir(exist_ok=True)
        if not is_group(folder):
            work.write_file(folder / "zarr.json", GROUP)


def _remove_empty_groups(store: Path, path: Path) -> None:
    for group in path.parents:
        folder = store / group
        if group == Path() or not folder.is_dir():
            continue
        names = [entry.name for entry in folder.iterdir()]
        if names not in ([], ["zarr.json"]) or (names and not is_group(folder)):
            return
        (folder / "zarr.json").unlink(missing_ok=True)
        folder.rmdir()


def _discard(work: WorkFolder, folder: Path) -> None:
    """Delete an array of the store, in whose folder `refuse_strangers` found no other file."""
    if folder.exists():
        discarded = work.root / "discarded"
        shutil.rmtree(discarded, ignore_errors=True)
        folder.rename(discarded)
        shutil.rmtree(discarded)


def _has_content(path: Path, text: str) -> bool:
    try:
        return read_regular(path) == text.encode()
    except OSError:
        return False
