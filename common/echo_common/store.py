"""Reading a store: opening it, asking what it holds, and getting arrays that are whole.

Zarr reads a chunk that is not there as zeros, and says nothing. So an array
counts only with its manifest, which lists every chunk with its size and
digest, and is read only when each of those files is there.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import zarr
import zarr.errors

from echo_common import schema
from echo_common.errors import (
    NotInStoreError,
    StoreDamagedError,
    StoreError,
    StoreNotFoundError,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """What makes an array count: the stage it belongs to and all of its chunks.

    Attributes
    ----------
    stage : str
        Name of the stage, such as ``masks/chords``.
    key : str
        Digest of the stage's inputs, parameters and code version.
    parameters : dict
        The stage's parameters.
    inputs : dict
        Key of each stage that this one was made from, by stage.
    chunks : dict
        ``{"bytes": int, "sha256": hex}`` by chunk file, relative to the array.
    notes : dict
        What the stage found, such as the rows it could not read and why.
    versions : dict
        Version of each package that had a hand in the pixels, by name.
    """

    stage: str
    key: str
    parameters: dict[str, Any]
    inputs: dict[str, str]
    chunks: dict[str, dict[str, Any]]
    notes: dict[str, Any] = dataclasses.field(default_factory=dict)
    versions: dict[str, str] = dataclasses.field(default_factory=dict)

    def to_json(self) -> str:
        """Write the manifest; the same manifest always gives the same bytes."""
        return json.dumps(dataclasses.asdict(self), indent=1, sort_keys=True) + "\n"


def read_manifest(array: Path) -> Manifest | None:
    """Read the manifest of an array's folder, or None where there is none.

    Raises
    ------
    StoreDamagedError
        If there is one that cannot be understood.
    """
    path = array / schema.MANIFEST
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        return Manifest(**table)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise StoreDamagedError(
            f"{path} is not a manifest ({error}); run echo-prep build to make the array again"
        ) from error


class EchoStore:
    """A finished store, open for reading.

    Parameters
    ----------
    path : Path
        The folder of the store.

    Raises
    ------
    StoreNotFoundError
        If there is nothing at the path.
    StoreError
        If what is there has another schema, or none.
    StoreDamagedError
        If a build did not finish, or an array that the store lists is not there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            raise StoreNotFoundError(
                f"no store at {path}; build one with: echo-prep build --store {path}"
            )
        try:
            self.group = zarr.open_group(path, mode="r")
        except (zarr.errors.GroupNotFoundError, ValueError, KeyError, OSError) as error:
            raise StoreError(
                f"{path} is not a store: it has no readable zarr.json ({error}); give the path "
                "of a store that echo-prep build made"
            ) from error
        self.attributes: dict[str, Any] = dict(self.group.attrs)
        found = self.attributes.get("schema")
        if found != schema.SCHEMA:
            raise StoreError(
                f"{path} has the schema {found!r}, and this version reads {schema.SCHEMA!r}; "
                "build the store again with this version's echo-prep build"
            )
        self.manifests = {
            name: self._sound_manifest(name, listed["key"])
            for name, stage in self._listed_stages().items()
            for name, listed in ((array, stage) for array in stage["arrays"])
        }

    def __contains__(self, array: str) -> bool:
        return array in self.manifests

    def read(self, array: str) -> np.ndarray:
        """Read a whole array, in order, every chunk checked by its crc32c.

        Parameters
        ----------
        array : str
            Path inside the store, such as ``masks/chords``.

        Raises
        ------
        NotInStoreError
            If the store has no such array.
        StoreDamagedError
            If a chunk is missing, has another size or fails its checksum.
        """
        if array not in self.manifests:
            raise NotInStoreError(f"{self.path} has no array {array}")
        self._check_chunks(array)
        node = self.group[array]
        assert isinstance(node, zarr.Array)
        try:
            return np.asarray(node[...])
        except (ValueError, RuntimeError, OSError) as error:
            raise StoreDamagedError(
                f"{self.path}: a chunk of {array} does not read back ({error}); run the "
                "same echo-prep build again to make it anew"
            ) from error

    def methods(self) -> list[str]:
        """Methods that the store has masks of, the default first."""
        return [name for name in schema.METHODS if schema.mask_path(name) in self]

    def landmark_sets(self) -> list[schema.LandmarkSet]:
        """Landmark sets that the store has points of, the default's method and identity first."""
        found = []
        for array in self.manifests:
            parts = array.split("/")
            if parts[0] == "landmarks" and parts[-1] == "points":
                identity, count = parts[2].rsplit("-", 1)
                found.append(
                    schema.LandmarkSet(method=parts[1], identity=identity, count=int(count))
                )
        return sorted(
            found,
            key=lambda one: (
                schema.METHODS.index(one.method),
                schema.IDENTITIES.index(one.identity),
                one.count,
            ),
        )

    def falloffs(self, landmarks: schema.LandmarkSet) -> list[str]:
        """Falloffs that the store has heatmaps of, for one landmark set."""
        return [name for name in schema.FALLOFFS if landmarks.heatmap(name) in self]

    def _listed_stages(self) -> dict[str, Any]:
        stages = self.attributes.get("stages")
        if not stages:
            raise StoreDamagedError(
                f"{self.path} is unfinished: its build was stopped before the first stage was "
                "done; run the same echo-prep build again to finish it"
            )
        return stages

    def _sound_manifest(self, array: str, key: str) -> Manifest:
        manifest = read_manifest(self.path / array)
        if manifest is None or manifest.key != key:
            state = "is missing" if manifest is None else "belongs to another build"
            raise StoreDamagedError(
                f"{self.path}: {array} {state}, so the store is unfinished or was altered; run "
                "the same echo-prep build again to mend it"
            )
        return manifest

    def _check_chunks(self, array: str) -> None:
        for name, chunk in self.manifests[array].chunks.items():
            path = self.path / array / name
            try:
                size = path.stat().st_size
            except FileNotFoundError:
                size = None
            if size != chunk["bytes"]:
                state = "is missing" if size is None else f"has {size} bytes"
                raise StoreDamagedError(
                    f"{self.path}: chunk {name} of {array} {state}, and the manifest says "
                    f"{chunk['bytes']} bytes; run the same echo-prep build again to make it anew"
                )
