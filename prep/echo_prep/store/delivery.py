"""One array of a store as a build or a conversion leaves it, and what has to be written for it."""

from __future__ import annotations

import dataclasses

from echo_common.store.manifest import Manifest
from echo_common.store.schema import ArraySpec, chunk_name


@dataclasses.dataclass(frozen=True, kw_only=True)
class Delivery:
    """One array of a store, and what has to be written for it.

    Attributes
    ----------
    manifest : Manifest
        Manifest of the whole array, with the digests of the work folder's chunks.
    new_chunks : frozenset of int
        Numbers of the chunks to take from the work folder; the others are in
        the store already.
    replaces : bool
        Whether the whole array comes from the work folder and replaces the
        one in the store.
    redeclare : bool
        Whether the metadata of the array has to be written again.
    surplus : tuple of str
        Chunks in the store that do not belong to the array.
    """

    spec: ArraySpec
    manifest: Manifest
    new_chunks: frozenset[int] = frozenset()
    replaces: bool = True
    redeclare: bool = False
    surplus: tuple[str, ...] = ()

    @property
    def changes_store(self) -> bool:
        """Whether anything has to be written for this array."""
        return bool(self.replaces or self.new_chunks or self.redeclare or self.surplus)

    def moved_chunks(self) -> list[str]:
        """Names of the chunks that move from the work folder into a Zarr store."""
        if self.replaces:
            return list(self.manifest.chunks)
        return [chunk_name(number, len(self.spec.shape)) for number in sorted(self.new_chunks)]
