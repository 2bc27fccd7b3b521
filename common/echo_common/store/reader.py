"""Reading a store: its arrays, every chunk checked against the manifest.

The manifest of an array lists the size and the digest of each chunk. Reading
returns exactly what `echo-prep build` wrote, or raises an error.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import os
import shlex
from pathlib import Path
from typing import Any

import numpy as np

from echo_common.errors import NotInStoreError, StoreDamagedError, StoreError
from echo_common.store import schema
from echo_common.store.container import REPAIR, Container
from echo_common.store.manifest import Manifest, check_root
from echo_common.store.opening import open_container


class EchoStore:
    """A finished store, open for reading: a Zarr folder or an HDF5 file.

    Attributes
    ----------
    attributes : dict
        The root's attributes.
    manifests : dict of str to Manifest
        By path of the array, such as ``masks/chords``.

    Raises
    ------
    StoreNotFoundError
        If there is nothing at the path.
    StoreError
        If there is something else at the path, or a store with another schema.
    StoreDamagedError
        If a build did not finish, or a listed array is missing or altered.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.container: Container = open_container(self.path)
        self.attributes = self.container.attributes()
        found = self.attributes.get("schema")
        if found != schema.SCHEMA:
            raise StoreError(
                f"{path} has the schema {found!r}, and this version reads {schema.SCHEMA!r}; "
                "build the store again with this version's echo-prep build"
            )
        check_root(self.attributes, path)
        self.manifests: dict[str, Manifest] = {
            array: self._sound_manifest(array, digest)
            for stage in self._listed_stages().values()
            for array, digest in stage["arrays"].items()
        }
        self._specs = {array: self._sound_spec(array) for array in self.manifests}

    def __contains__(self, array: str) -> bool:
        return array in self.manifests

    @property
    def rows(self) -> int:
        """Number of rows of every array, including those whose status is not 0."""
        return self.shape(schema.STATUS)[0]

    @property
    def chunk_rows(self) -> int:
        """Rows per chunk; reading whole multiples of it reads no chunk twice."""
        return self._specs[schema.STATUS][1]

    def shape(self, array: str) -> tuple[int, ...]:
        """Shape of an array; NotInStoreError if the store does not have it."""
        return self._spec(array).shape

    def read(self, array: str) -> np.ndarray:
        """Read a whole array; see `read_rows`."""
        return self.read_rows(array, 0, self.shape(array)[0])

    def read_rows(self, array: str, start: int, stop: int) -> np.ndarray:
        """Read consecutive rows of an array, every chunk checked against the manifest.

        Threads share the chunks and write directly into the result, so each
        needs memory for at most one chunk.

        Parameters
        ----------
        array : str
            Path inside the store, such as ``masks/chords``.
        start, stop : int
            First row, and the row after the last; within the array.

        Returns
        -------
        rows : ndarray, (stop - start, ...)
            Text is NumPy's `StringDType`.

        Raises
        ------
        NotInStoreError
            If the store has no such array.
        IndexError
            If the rows are not within the array.
        StoreDamagedError
            If a chunk is missing or does not match the manifest.
        """
        spec, rows = self._spec(array), self._specs[array][1]
        if not 0 <= start <= stop <= spec.shape[0]:
            raise IndexError(f"rows {start} to {stop} of {array}, which has {spec.shape[0]}")
        dtype: Any = np.dtypes.StringDType() if spec.dtype == "str" else np.dtype(spec.dtype)
        out = np.empty((stop - start, *spec.shape[1:]), dtype=dtype)

        def fill(number: int) -> None:
            first = number * rows
            low, high = max(start, first), min(stop, first + rows)
            target = out[low - start : high - start]
            name = schema.chunk_name(number, len(spec.shape))
            raw = self._sound_bytes(array, name)
            try:
                if high - low == rows and spec.dtype != "str":
                    # Into the result directly: allocating memory takes longer than decoding.
                    self.container.decode_into(raw, target)
                    return
                chunk = self.container.decode(raw, (rows, *spec.shape[1:]), spec.dtype)
            except ValueError as error:
                raise self._damaged(array, name, f"does not decode ({error})") from error
            target[...] = chunk[low - first : high - first]

        numbers = range(start // rows, -(-stop // rows)) if stop > start else range(0)
        threads = min(_cores(), len(numbers))
        if threads > 1:
            try:
                with concurrent.futures.ThreadPoolExecutor(threads) as pool:
                    for _ in pool.map(fill, numbers):
                        pass
                return out
            except RuntimeError:
                pass  # No room for the stacks of threads.
        for number in numbers:
            fill(number)
        return out

    def methods(self) -> list[str]:
        """Methods whose masks the store has, in the order of `schema.METHODS`."""
        return [name for name in schema.METHODS if schema.mask_path(name) in self]

    def landmark_sets(self) -> list[schema.LandmarkSet]:
        """Landmark sets of the store, in the order of methods, identities and counts."""
        found = {schema.landmark_set_of(array) for array in self.manifests}
        return sorted(
            (landmarks for landmarks in found if landmarks and landmarks.points in self),
            key=lambda landmarks: (
                schema.METHODS.index(landmarks.method),
                schema.IDENTITIES.index(landmarks.identity),
                landmarks.count,
            ),
        )

    def falloffs(self, landmarks: schema.LandmarkSet) -> list[str]:
        """Falloffs of the heatmaps that the store has of a landmark set."""
        return [name for name in schema.FALLOFFS if landmarks.heatmap(name) in self]

    def require_mask(self, method: str) -> str:
        """Path of a method's masks.

        Raises
        ------
        NotInStoreError
            If the store has none; the message gives the command that adds them.
        """
        path = schema.mask_path(method)
        if path not in self:
            raise self._lacking(f"masks of {method}", f"--method {method}")
        return path

    def require_landmarks(self, landmarks: schema.LandmarkSet, falloff: str | None = None) -> str:
        """Path of a landmark set's points, or of its heatmaps if a falloff is given.

        Raises
        ------
        NotInStoreError
            If the store has none; the message gives the command that adds them.
        """
        path = landmarks.points if falloff is None else landmarks.heatmap(falloff)
        if path not in self:
            what = "landmarks" if falloff is None else f"{falloff} heatmaps"
            options = (
                f"--method {landmarks.method} --identity {landmarks.identity} "
                f"--landmarks {landmarks.count}"
            )
            if falloff is not None:
                options += f" --falloff {falloff}"
            raise self._lacking(
                f"{what} of {landmarks.method}, {landmarks.identity}-{landmarks.count}", options
            )
        return path

    def _lacking(self, what: str, options: str) -> NotInStoreError:
        command = f"echo-prep build --store {shlex.quote(str(self.path))} {options}"
        return NotInStoreError(f"{self.path} has no {what}; add them with: {command}")

    def _spec(self, array: str) -> schema.ArraySpec:
        if array not in self._specs:
            existing = ", ".join(sorted(self._specs))
            raise NotInStoreError(f"{self.path} has no array {array}; it has {existing}")
        return self._specs[array][0]

    def _listed_stages(self) -> dict[str, Any]:
        stages = self.attributes.get("stages")
        if not stages:
            raise StoreDamagedError(
                f"{self.path} is unfinished: its build was interrupted before the first stage was "
                "complete; run the same echo-prep build again to finish it"
            )
        return dict(stages)

    def _sound_manifest(self, array: str, digest: str) -> Manifest:
        manifest = self.container.manifest(array)
        if manifest is None or manifest.digest() != digest:
            state = "is missing" if manifest is None else "is not the one that the root lists"
            raise StoreDamagedError(
                f"{self.path}: the manifest of {array} {state}, so the store is unfinished or was "
                "altered; run the same echo-prep build again to repair it"
            )
        return manifest

    def _sound_spec(self, array: str) -> tuple[schema.ArraySpec, int]:
        if self.container.metadata(array) != self.manifests[array].metadata:
            raise StoreDamagedError(
                f"{self.path}: the declaration of {array} does not match its manifest; {REPAIR}"
            )
        spec, rows = self.container.spec(array)
        if len(self.manifests[array].chunks) != -(-spec.shape[0] // rows):
            raise StoreDamagedError(
                f"{self.path}: the manifest of {array} does not list each chunk of {spec.shape[0]} "
                f"rows; {REPAIR}"
            )
        return spec, rows

    def _sound_bytes(self, array: str, name: str) -> bytes:
        listed = self.manifests[array].chunks.get(name)
        if listed is None:
            raise self._damaged(array, name, "is not in the manifest")
        try:
            raw = self.container.raw(array, name)
        except LookupError as error:
            raise self._damaged(array, name, "is missing") from error
        if len(raw) != listed["bytes"]:
            state = f"has {len(raw)} bytes instead of {listed['bytes']}"
            raise self._damaged(array, name, state)
        # The digest also covers the crc32c or fletcher32 at the end of the chunk.
        if hashlib.sha256(raw).hexdigest() != listed["sha256"]:
            raise self._damaged(array, name, "was altered: its digest is not that of the manifest")
        return raw

    def _damaged(self, array: str, name: str, state: str) -> StoreError:
        try:
            now = self.container.manifest(array)
        except StoreDamagedError:
            now = self.manifests[array]
        if now != self.manifests[array]:
            return StoreError(
                f"{self.path}: {array} was written again or removed since this process opened the "
                "store; run the same command again"
            )
        return StoreDamagedError(f"{self.path}: chunk {name} of {array} {state}; {REPAIR}")


def _cores() -> int:
    """Number of cores that this process may use; on macOS all of them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
