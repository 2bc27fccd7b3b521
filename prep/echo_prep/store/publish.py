"""Moving what a build made into the store, so that a kill between two steps loses nothing.

A Zarr store takes whole arrays by one rename each, and mended chunks one by
one; an HDF5 store is put together anew, from its own sound chunks and those
of the work folder, and takes the old one's place by one rename.
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
from echo_common.store.manifest import Manifest, with_digest
from echo_common.store.zarr_folder import GROUP, is_group
from echo_prep.store.delivery import Delivery, list_stages
from echo_prep.store.work_folder import WorkFolder, create_array


def publish(
    store: Path,
    work: WorkFolder,
    held: Container | None,
    deliveries: Sequence[Delivery],
    dropped: Sequence[str],
    attributes: dict[str, Any],
) -> None:
    """Make a store hold exactly these arrays.

    Parameters
    ----------
    store : Path
    work : WorkFolder
    held : Container or None
        The store as it is.
    deliveries : sequence of Delivery
        Every array of the store, changed or not.
    dropped : sequence of str
        Arrays that the store has and shall not have.
    attributes : dict
        The root's attributes, without ``schema``, ``stages`` and ``digest``.
    """
    if schema.is_hdf5(store):
        from echo_prep.store.publish_hdf5 import publish_hdf5

        publish_hdf5(store, work, held, deliveries, bool(dropped), attributes)
    else:
        _publish_zarr(store, work, deliveries, dropped, attributes)


def _publish_zarr(
    store: Path,
    work: WorkFolder,
    deliveries: Sequence[Delivery],
    dropped: Sequence[str],
    attributes: dict[str, Any],
) -> None:
    store.mkdir(exist_ok=True)
    if not (store / "zarr.json").exists():
        write_root(store, {"schema": schema.SCHEMA, "stages": {}})
    work.flush((one.spec.path, name) for one in deliveries for name in one.moved())
    manifests = {}
    for one in deliveries:
        _make_groups(store, one.spec.path)
        put = _move_array if one.fresh else _mend_array
        manifests[one.spec.path] = put(store, work, one)
    for path in dropped:
        _discard(work, store / path)
        _remove_empty_groups(store, Path(path))
    stages = list_stages(manifests)
    write_root(store, {"schema": schema.SCHEMA, "stages": stages, **attributes})


def _move_array(store: Path, work: WorkFolder, one: Delivery) -> Manifest:
    # The manifest goes in last, then one rename makes the array count. A kill between two steps
    # leaves either the work folder's array whole or the store's.
    folder, target = work.folder(one.spec.path), store / one.spec.path
    expected = {"zarr.json", *one.manifest.chunks}
    for file in folder.iterdir():
        # Half-written files of a killed worker do not belong to the array.
        if file.name not in expected:
            file.unlink()
    atomic.fsync_path(folder / "zarr.json")
    manifest = _declared(one.manifest, folder)
    atomic.write_text(folder / schema.MANIFEST, manifest.json)
    _discard(work, target)
    folder.rename(target)
    atomic.fsync_path(target.parent)
    return manifest


def _mend_array(store: Path, work: WorkFolder, one: Delivery) -> Manifest:
    # The array is damaged already: a kill between two of these steps leaves it damaged still,
    # and the next build goes on.
    target = store / one.spec.path
    if one.metadata:
        fresh = work.root / "declared"
        shutil.rmtree(fresh, ignore_errors=True)
        create_array(fresh, one.spec, one.key)
        atomic.write_bytes(target / "zarr.json", (fresh / "zarr.json").read_bytes())
    for name in one.moved():
        (work.folder(one.spec.path) / name).replace(target / name)
    for name in one.surplus:
        (target / name).unlink(missing_ok=True)
    if one.changes:
        atomic.fsync_path(target)
    manifest = _declared(one.manifest, target) if one.metadata else one.manifest
    # Written anew after a chunk is, so that no chunk is younger than its manifest.
    if one.made or not _holds(target / schema.MANIFEST, manifest.json):
        atomic.write_text(target / schema.MANIFEST, manifest.json)
    return manifest


def _declared(manifest: Manifest, folder: Path) -> Manifest:
    metadata = hashlib.sha256((folder / "zarr.json").read_bytes()).hexdigest()
    return dataclasses.replace(manifest, metadata=metadata)


def write_root(store: Path, attributes: dict[str, Any]) -> None:
    """Write a Zarr store's root, where it is not what it should be."""
    metadata = {
        "attributes": with_digest(attributes),
        "node_type": "group",
        "zarr_format": 3,
    }
    text = json.dumps(metadata, indent=1, sort_keys=True) + "\n"
    if not _holds(store / "zarr.json", text):
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


def _holds(path: Path, text: str) -> bool:
    try:
        return path.read_bytes() == text.encode()
    except OSError:
        return False
