"""What a store holds, and where it is not what it should be: for `build`, `verify` and `info`."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from echo_common import atomic
from echo_common.errors import EchoError, StoreDamagedError, StoreError, StoreNotFoundError
from echo_common.store import schema
from echo_common.store.container import Container
from echo_common.store.manifest import Manifest, with_digest
from echo_common.store.opening import open_container


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing in a store that is not what it should be.

    Attributes
    ----------
    where : str
        The array or group; empty for the root.
    chunk : str or None
        The chunk's name; None where the array's own metadata is meant.
    state : str
        ``missing``, ``damaged`` or ``surplus``.
    message : str
        What was found.
    """

    where: str
    chunk: str | None = None
    state: str
    message: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Survey:
    """What stands at a store's path.

    Attributes
    ----------
    container : Container or None
        None where there is no store yet, or one that does not open.
    attributes : dict
        The root's; empty where they cannot be read.
    arrays : tuple of str
        Whatever has a manifest, readable or not.
    manifests : dict of str to Manifest
        Of each array that has a readable one.
    """

    container: Container | None
    attributes: dict[str, Any]
    arrays: tuple[str, ...]
    manifests: dict[str, Manifest]

    def parameters(self) -> list[dict[str, Any]]:
        """Parameters of every stage that the root lists or a manifest is of."""
        listed = self.attributes.get("stages") or {}
        found = {name: stage["parameters"] for name, stage in listed.items()}
        found.update({one.stage: one.parameters for one in self.manifests.values()})
        return list(found.values())


def survey(store: Path) -> Survey:
    """See what is at a store's path, whatever its state.

    Raises
    ------
    StoreError
        If something is there that is no store, or has another schema.
    """
    nothing = Survey(container=None, attributes={}, arrays=(), manifests={})
    try:
        container = open_container(store)
        attributes = _attributes_or_none(container)
        arrays = tuple(container.arrays())
    except StoreNotFoundError:
        return nothing
    except StoreDamagedError:
        # An HDF5 file that does not even list its arrays.
        return nothing
    except StoreError as error:
        if store.is_dir() and all(atomic.is_leftover(entry) for entry in store.iterdir()):
            return nothing
        raise StoreError(
            f"{store} is there and is not a store; give another --store, or move it away"
        ) from error
    if "digest" in attributes and attributes != with_digest(attributes):
        # A root that was altered is written again from the manifests.
        attributes = {}
    if attributes and attributes.get("schema") != schema.SCHEMA:
        raise StoreError(
            f"{store} has the schema {attributes.get('schema')!r}, not {schema.SCHEMA!r}; give "
            "another --store"
        )
    manifests = {}
    for array in arrays:
        try:
            manifest = container.manifest(array)
        except StoreDamagedError:
            continue
        if manifest is not None:
            manifests[array] = manifest
    return Survey(container=container, attributes=attributes, arrays=arrays, manifests=manifests)


def _attributes_or_none(container: Container) -> dict[str, Any]:
    try:
        return container.attributes()
    except StoreDamagedError:
        # Written again from the manifests.
        return {}


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
    container : Container
    array : str
    manifest : Manifest
    full : bool
        Whether every chunk is read and its digest compared. Where not, its
        size is, and its digest only where it was written after the manifest.
    suspects : collection of str
        Chunks whose digest is compared in any case.
    """
    faults = []
    try:
        container.spec(array)
        sound = container.metadata(array) == manifest.metadata
        reason = "its declaration is not the one that the manifest was made for"
    except StoreDamagedError as error:
        sound, reason = False, str(error)
    if not sound:
        faults.append(Fault(where=array, state="damaged", message=reason))
    try:
        sizes = container.sizes(array)
    except StoreDamagedError as error:
        return [Fault(where=array, chunk=name, state="damaged", message=str(error))
                for name in manifest.chunks]  # fmt: skip
    # A write to a chunk leaves its time; damage that does not is found by a full check.
    newer = container.newer_chunks(array)
    for name, listed in manifest.chunks.items():
        if name not in sizes:
            faults.append(Fault(where=array, chunk=name, state="missing", message="is not there"))
        elif sizes[name] != listed["bytes"]:
            message = f"has {sizes[name]} bytes, not {listed['bytes']}"
            faults.append(Fault(where=array, chunk=name, state="damaged", message=message))
        elif (full or name in suspects or name in newer) and _altered(
            container, array, name, listed
        ):
            message = "was altered: its checksum is not the manifest's"
            faults.append(Fault(where=array, chunk=name, state="damaged", message=message))
    faults += [
        Fault(where=array, chunk=name, state="surplus", message="is not in the manifest")
        for name in sorted(set(sizes) - set(manifest.chunks))
    ]
    return faults


def store_faults(store: Path) -> list[Fault]:
    """Check all of a store: every byte that counts.

    Raises
    ------
    StoreNotFoundError, StoreError
        If there is no store at all.
    """
    try:
        container = open_container(store)
        attributes = container.attributes()
    except StoreDamagedError as error:
        return [Fault(where="", state="damaged", message=str(error))]
    if attributes.get("schema") != schema.SCHEMA:
        raise StoreError(
            f"{store} has the schema {attributes.get('schema')!r}, and this version checks "
            f"{schema.SCHEMA!r}"
        )
    faults: list[Fault] = []
    if attributes != with_digest(attributes):
        faults.append(
            Fault(where="", state="damaged", message="the root's attributes were altered")
        )
    stages = attributes.get("stages") or {}
    if not stages:
        faults.append(Fault(where="", state="missing", message="the build did not finish"))
    listed = {array: digest for one in stages.values() for array, digest in one["arrays"].items()}
    for array, digest in listed.items():
        try:
            manifest = container.manifest(array)
        except EchoError as error:
            faults.append(Fault(where=array, state="damaged", message=str(error)))
            continue
        if manifest is None:
            faults.append(Fault(where=array, state="missing", message="has no manifest"))
            continue
        if manifest.digest() != digest:
            message = "its manifest is not the one that the root lists"
            faults.append(Fault(where=array, state="damaged", message=message))
        faults += array_faults(container, array, manifest, full=True)
    faults += _surplus_arrays(container, listed) + group_faults(container, listed)
    container.close()
    return faults


def _surplus_arrays(container: Container, listed: Collection[str]) -> list[Fault]:
    try:
        surplus = [array for array in container.arrays() if array not in listed]
    except StoreDamagedError as error:
        return [Fault(where="", state="damaged", message=str(error))]
    message = "the root does not list this array"
    return [Fault(where=array, state="surplus", message=message) for array in surplus]


def _altered(container: Container, array: str, chunk: str, listed: dict[str, Any]) -> bool:
    try:
        return hashlib.sha256(container.raw(array, chunk)).hexdigest() != listed["sha256"]
    except (LookupError, OSError):
        return True


def group_faults(container: Container, arrays: Collection[str]) -> list[Fault]:
    """Report the groups of these arrays whose metadata is missing or altered."""
    return [
        Fault(where=group, state="damaged", message="its zarr.json is not that of a plain group")
        for group in container.broken_groups(arrays)
    ]
