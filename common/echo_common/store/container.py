"""The interface of both kinds of store, a Zarr folder and an HDF5 file."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from echo_common.store import schema
from echo_common.store.manifest import Manifest

CHECKSUM_BYTES = 4
"""Size of the crc32c or fletcher32 at the end of a chunk; the digest covers it too."""

REPAIR = "run the same echo-prep build again with --check to repair it"
"""Advice for a damaged array or chunk."""


class Container(Protocol):
    """Arrays and manifests of a store as stored; the caller checks them against each other."""

    path: Path
    format: str

    def attributes(self) -> dict[str, Any]:
        """The root's attributes; StoreDamagedError if they cannot be read."""

    def arrays(self) -> list[str]:
        """Paths of the arrays that have a manifest, sorted."""

    def manifest(self, array: str) -> Manifest | None:
        """Manifest of an array; None if it has none."""

    def spec(self, array: str) -> tuple[schema.ArraySpec, int]:
        """Declaration of an array, and the number of rows in a chunk."""

    def metadata(self, array: str) -> str:
        """Digest of an array's declaration, to compare with its manifest."""

    def sizes(self, array: str) -> dict[str, int]:
        """Size on the disk of each chunk that exists, in bytes, by name."""

    def raw(self, array: str, chunk: str) -> bytes:
        """Bytes of a chunk as stored; LookupError if it does not exist."""

    def decode(self, raw: bytes, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        """Decode a chunk; ValueError if its content is invalid."""

    def decode_into(self, raw: bytes, out: np.ndarray) -> None:
        """Decode a chunk of numbers into an array of its shape; ValueError as `decode`."""

    def newer_chunks(self, array: str) -> set[str]:
        """Chunks that were modified after the manifest was written; HDF5 keeps no such times."""

    def written_at(self, array: str) -> float:
        """Time at which an array was completed, in seconds since 1970."""

    def broken_groups(self, arrays: Collection[str]) -> list[str]:
        """Groups of these arrays whose metadata is missing or altered; HDF5 has no such files."""

    def close(self) -> None:
        """Close the files."""
