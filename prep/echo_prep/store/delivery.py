"""One array on its way into a store."""

from __future__ import annotations

import dataclasses
from typing import Any

from echo_common.store.manifest import Manifest
from echo_common.store.schema import ArraySpec, chunk_name


@dataclasses.dataclass(frozen=True, kw_only=True)
class Delivery:
    """One array on its way into a store.

    Attributes
    ----------
    spec : ArraySpec
    key : str
        Of its stage.
    manifest : Manifest
        Of the whole array, as the work folder's chunks have it.
    made : frozenset of int
        Numbers of the chunks that come from the work folder; the others are
        in the store.
    fresh : bool
        Whether the store's own array, if it has one, counts for nothing.
    metadata : bool
        Whether the store's declaration of the array has to be written anew.
    surplus : tuple of str
        Chunks of the store's array that do not belong to it.
    """

    spec: ArraySpec
    key: str
    manifest: Manifest
    made: frozenset[int]
    fresh: bool = True
    metadata: bool = False
    surplus: tuple[str, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether the store's array is not already what it should be."""
        return bool(self.fresh or self.made or self.metadata or self.surplus)

    def moved(self) -> list[str]:
        """Names of the chunks that move from the work folder into a Zarr store."""
        if self.fresh:
            return list(self.manifest.chunks)
        return [chunk_name(number, len(self.spec.shape)) for number in sorted(self.made)]


def list_stages(manifests: dict[str, Manifest]) -> dict[str, Any]:
    """Root's list of stages, from the manifest of each array."""
    stages: dict[str, Any] = {}
    for array, manifest in manifests.items():
        entry = stages.setdefault(
            manifest.stage,
            {
                "key": manifest.key,
                "parameters": manifest.parameters,
                "inputs": manifest.inputs,
                "versions": manifest.versions,
                "arrays": {},
            },
        )
        entry["arrays"][array] = manifest.digest()
    return stages
