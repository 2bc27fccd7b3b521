"""The interface of both kinds of store, a Zarr folder and an HDF5 file."""

from __future__ import annotations

import abc
import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from echo_common.store import schema
from echo_common.store.manifest import Manifest

CHECKSUM_BYTES = 4
"""Size of the crc32c or fletcher32 at the end of a chunk; the digest covers it too."""

REPAIR = "run the same echo-prep build again with --check to repair it"
"""Advice for a damaged array or chunk."""


_LARGEST = 1 << 46
"""Bytes of the largest array that is believed; sizes in a file may be anything."""


def check_spec(spec: schema.ArraySpec, rows: int) -> None:
    """Check the shape and the type of an array as a file declares them.

    Raises
    ------
    ValueError
        If there can be no such array.
    """
    size = 1 if spec.dtype == "str" else np.dtype(spec.dtype).itemsize
    if spec.dtype != "str" and np.dtype(spec.dtype).kind not in "uif":
        raise ValueError(f"the type {spec.dtype}")
    if rows < 1 or min(spec.shape) < 1 or math.prod((*spec.shape, size)) > _LARGEST:
        raise ValueError(f"the shape {spec.shape} in chunks of {rows} rows")


class Container(abc.ABC):
    """Arrays and manifests of a store as stored; the caller checks them against each other."""

    path: Path
    format: str

    @abc.abstractmethod
    def attributes(self) -> dict[str, Any]:
        """The root's attributes; StoreDamagedError if they cannot be read."""

    @abc.abstractmethod
    def arrays(self) -> list[str]:
        """Paths of the arrays that have a manifest, sorted."""

    @abc.abstractmethod
    def manifest(self, array: str) -> Manifest | None:
        """Manifest of an array; None if it has none."""

    @abc.abstractmethod
    def spec(self, array: str) -> tuple[schema.ArraySpec, int]:
        """Declaration of an array, and the number of rows in a chunk."""

    @abc.abstractmethod
    def metadata(self, array: str) -> str:
        """Digest of an array's declaration, to compare with its manifest."""

    @abc.abstractmethod
    def sizes(self, array: str) -> dict[str, int]:
        """Size on the disk of each chunk that exists, in bytes, by name."""

    @abc.abstractmethod
    def raw(self, array: str, chunk: str) -> bytes:
        """Bytes of a chunk as stored; LookupError if it does not exist."""

    @abc.abstractmethod
    def decode(self, raw: bytes, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        """Decode a chunk; ValueError if its content is invalid."""

    def decode_into(self, raw: bytes, out: np.ndarray) -> None:
        """Decode a chunk of numbers into an array of its shape; ValueError as `decode`."""
        out[...] = self.decode(raw, out.shape, out.dtype.name)

    def newer_chunks(self, array: str) -> set[str]:
        """Chunks that were modified after the manifest was written, if the format keeps times."""
        return set()

    @abc.abstractmethod
    def written_at(self, array: str) -> float:
        """Time at which an array was completed, in seconds since 1970."""

    def broken_groups(self, arrays: Collection[str]) -> list[str]:
        """Groups of these arrays whose metadata is missing or altered, if they are files."""
        return []

    def close(self) -> None:  # noqa: B027
        """Close the files that are open."""
