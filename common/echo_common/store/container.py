"""What both kinds of store offer, a Zarr folder and an HDF5 file."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from echo_common.store import schema
from echo_common.store.manifest import Manifest

CHECKSUM_BYTES = 4
"""The crc32c or fletcher32 at the end of a chunk, which its digest covers too."""


AGAIN = "run the same echo-prep build again with --check to make it anew"
"""What to do about a damaged array or chunk."""


class Container(Protocol):
    """A store's arrays and manifests, as they are: whether they are whole is for the caller."""

    path: Path
    format: str

    def attributes(self) -> dict[str, Any]:
        """The root's attributes; StoreDamagedError where they cannot be read."""

    def arrays(self) -> list[str]:
        """Paths of what has a manifest, sorted."""

    def manifest(self, array: str) -> Manifest | None:
        """Manifest of an array; None where it has none."""

    def spec(self, array: str) -> tuple[schema.ArraySpec, int]:
        """Declare an array, and say how many rows a chunk of it holds."""

    def metadata(self, array: str) -> str:
        """Digest of an array's declaration, as its manifest has it."""

    def sizes(self, array: str) -> dict[str, int]:
        """Size on the disk, in bytes, of each chunk that is there, by name."""

    def raw(self, array: str, chunk: str) -> bytes:
        """Bytes of a chunk as stored; LookupError where there is none."""

    def decode(self, raw: bytes, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        """Content of a chunk; ValueError where it is not what it should be."""

    def decode_into(self, raw: bytes, out: np.ndarray) -> None:
        """Decode a chunk of numbers into a contiguous array of its shape; ValueError as above."""

    def newer_chunks(self, array: str) -> set[str]:
        """Chunks that were modified after the manifest was written; HDF5 keeps no such times."""

    def written_at(self, array: str) -> float:
        """Time at which an array was completed, in seconds since 1970."""

    def broken_groups(self, arrays: Collection[str]) -> list[str]:
        """Groups of these arrays whose metadata is missing or altered; HDF5 has no such files."""

    def close(self) -> None:
        """Close the files."""
