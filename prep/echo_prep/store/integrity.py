"""The state of a store, and what in it is missing, damaged or surplus.

`build` inspects the store that it adds to; `verify` and `convert` check all of it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from echo_common.errors import EchoError, StoreDamagedError, StoreError, StoreNotFoundError
from echo_common.store import schema
from echo_common.store.container import Container
from echo_common.store.manifest import Manifest, check_root, stage_table
from echo_common.store.opening import open_container


@dataclasses.dataclass(frozen=True)
class Fault:
    """One fault of a store.

    Attributes
    ----------
    where : str
        The array or group; empty for the root.
    chunk : str or None
        Name of the chunk; None if the fault is in the array's own metadata.
    state : str
        ``missing``, ``damaged`` or ``surplus``.
    """

    where: str
    chunk: str | None
    state: str
    message: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class StoreState:
    """What is at a store's path.

    Attributes
    ----------
    container : Container or None
        None if there is no store yet, or one that does not open.
    attributes : dict
        The root's attributes; empty if they cannot be read.
    arrays : tuple of str
        Every array that has a manifest, readable or not.
    manifests : dict of str to Manifest
        Manifest of each array, if it is readable.
    """

    container: Container | None = None
    attributes: dict[str, Any] = dataclasses.field(default_factory=dict)
    arrays: tuple[str, ...] = ()
    manifests: dict[str, Manifest] = dataclasses.field(default_factory=dict)

    def stage_parameters(self) -> list[dict[str, Any]]:
        """Parameters of every stage that the root lists or that a manifest belongs to."""
        listed = self.attributes.get("stages") or {}
        found = {name: stage["parameters"] for name, stage in listed.items()}
        found.update({manifest.stage: manifest.parameters for manifest in self.manifests.values()})
        return list(found.values())


def inspect_store(store: Path) -> StoreState:
    """Look at a store's path, whatever the state of the store.

    Raises
    ------
    StoreError
        If there is something else at the path, or a store with another schema.
    """
    try:
        container = open_container(store)
    except StoreNotFoundError:
        return StoreState()
    except StoreDamagedError:
        # An HDF5 file that does not open is replaced.
        _check_own_hdf5(store)
        return StoreState()
    except StoreError as error:
        if store.is_dir() and not any(store.iterdir()):
            return StoreState()
        raise _no_store(store) from error
    found = None
    try:
        attributes = container.attributes()
        found = attributes.get("schema")
        if found is not None and found != schema.SCHEMA:
            raise StoreError(
                f"{store} has the schema {found!r}, not {schema.SCHEMA!r}; give another --store"
            )
        check_root(attributes, store)
    except StoreDamagedError:
        # An altered root is written again from the manifests.
        attributes = {}
    try:
        arrays = tuple(container.arrays())
    except StoreDamagedError:
        # An HDF5 file that does not list its arrays is replaced.
        _check_own_hdf5(store)
        return StoreState()
    manifests = _sound_manifests(container, arrays)
    if found is None and not manifests:
        # Zarr folders and HDF5 files of other software look like this, too.
        _check_own_hdf5(store)
    return StoreState(
        container=container, attributes=attributes, arrays=arrays, manifests=manifests
    )


def _sound_manifests(container: Container, arrays: Iterable[str]) -> dict[str, Manifest]:
    manifests = {}
    for array in arrays:
        with contextlib.suppress(StoreDamagedError):
            if manifest := container.manifest(array):
                manifests[array] = manifest
    return manifests


def _check_own_hdf5(store: Path) -> None:
    """Check that a file whose structure is damaged has an attribute that only a store has."""
    rest = b""
    if store.is_file():
        with store.open("rb") as file:
            while block := file.read(1 << 20):
                if b"stage_key" in rest + block:
                    return
                rest = block[-16:]
    raise _no_store(store)


def _no_store(store: Path) -> StoreError:
    return StoreError(f"{store} exists and is not a store; give another --store, or move it away")


def array_faults(
    container: Container,
    array: str,
    manifest: Manifest,
    full: bool,
    suspects: Collection[str] = (),
) -> list[Fault]:
    """Compare an array with its manifest.

    Parameters
    ----------
    full : bool
        Whether every chunk is read and its digest compared. If not, sizes are
        compared, and the digests of chunks modified after the manifest was
        written.
    suspects : collection of str
        Chunks whose digest is compared in any case.
    """
    faults = []
    try:
        container.spec(array)
        sound = container.metadata(array) == manifest.metadata
        reason = "its metadata is not that of its manifest"
    except StoreDamagedError as error:
        sound, reason = False, str(error)
    if not sound:
        faults.append(Fault(array, None, "damaged", reason))
    try:
        sizes = container.sizes(array)
    except StoreDamagedError as error:
        return [Fault(array, name, "damaged", str(error))
                for name in manifest.chunks]  # fmt: skip
    # A write to a chunk changes its time; damage that does not is found by a full check.
    newer = container.newer_chunks(array)
    for name, listed in manifest.chunks.items():
        if name not in sizes:
            faults.append(Fault(array, name, "missing", "is missing"))
        elif sizes[name] != listed["bytes"]:
            message = f"has {sizes[name]} bytes instead of {listed['bytes']}"
            faults.append(Fault(array, name, "damaged", message))
        elif (full or name in suspects or name in newer) and _is_altered(
            container, array, name, listed
        ):
            message = "was altered: its digest is not that of the manifest"
            faults.append(Fault(array, name, "damaged", message))
    faults += [
        Fault(array, name, "surplus", "is not in the manifest")
        for name in sorted(set(sizes) - set(manifest.chunks))
    ]
    return faults


def store_faults(store: Path) -> list[Fault]:
    """Check all of a store: every byte that a reader could use.

    Raises
    ------
    StoreNotFoundError, StoreError
        If there is no store at all.
    """
    try:
        container = open_container(store)
        attributes = container.attributes()
    except StoreDamagedError as error:
        return [Fault("", None, "damaged", str(error))]
    if attributes.get("schema") != schema.SCHEMA:
        raise StoreError(
            f"{store} has the schema {attributes.get('schema')!r}, and this version checks "
            f"{schema.SCHEMA!r}"
        )
    faults: list[Fault] = []
    try:
        check_root(attributes, store)
        stages = attributes["stages"]
    except StoreDamagedError as error:
        faults.append(Fault("", None, "damaged", str(error)))
        stages = stage_table(_sound_manifests(container, container.arrays()))
    if not stages:
        faults.append(Fault("", None, "missing", "the build did not finish"))
    listed = {
        array: digest for stage in stages.values() for array, digest in stage["arrays"].items()
    }
    for array, digest in listed.items():
        faults += _listed_array_faults(container, array, digest)
    faults += _surplus_arrays(container, listed) + group_faults(container, listed)
    container.close()
    return faults


def _listed_array_faults(container: Container, array: str, digest: str) -> list[Fault]:
    try:
        manifest = container.manifest(array)
    except EchoError as error:
        return [Fault(array, None, "damaged", str(error))]
    if manifest is None:
        return [Fault(array, None, "missing", "has no manifest")]
    faults = array_faults(container, array, manifest, full=True)
    if manifest.digest() != digest:
        message = "its manifest is not the one that the root lists"
        faults.insert(0, Fault(array, None, "damaged", message))
    return faults


def _surplus_arrays(container: Container, listed: Collection[str]) -> list[Fault]:
    try:
        surplus = [array for array in container.arrays() if array not in listed]
    except StoreDamagedError as error:
        return [Fault("", None, "damaged", str(error))]
    message = "the root does not list this array"
    return [Fault(array, None, "surplus", message) for array in surplus]


def _is_altered(container: Container, array: str, chunk: str, listed: dict[str, Any]) -> bool:
    try:
        return hashlib.sha256(container.raw(array, chunk)).hexdigest() != listed["sha256"]
    except (LookupError, OSError):
        return True


def group_faults(container: Container, arrays: Collection[str]) -> list[Fault]:
    """Groups of these arrays whose metadata is missing or altered."""
    return [
        Fault(group, None, "damaged", "its zarr.json is not that of a plain group")
        for group in container.broken_groups(arrays)
    ]
