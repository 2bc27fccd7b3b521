"""Manifests: an array counts only with one, which lists the digest of every chunk."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from typing import Any

from echo_common.errors import StoreDamagedError
from echo_common.store.schema import ArraySpec, chunk_number


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """The stage that an array belongs to, and all of its chunks.

    Attributes
    ----------
    stage : str
        Name of the stage, such as ``masks/chords``.
    key : str
        Digest of the stage's inputs, parameters and code version.
    parameters : dict
        The stage's parameters.
    inputs : dict
        Key of each stage that this one was made from, by name of the stage.
    chunks : dict
        ``{"bytes": int, "sha256": hex}`` by chunk name, and ``"notes"`` for
        what was found while the chunk was made.
    versions : dict
        Version of each package that affects the content, by name.
    metadata : str
        Digest of the array's declaration: of its zarr.json in a Zarr store,
        `spec_digest` in an HDF5 store.
    """

    stage: str
    key: str
    parameters: dict[str, Any]
    inputs: dict[str, str]
    chunks: dict[str, dict[str, Any]]
    versions: dict[str, str]
    metadata: str

    @property
    def notes(self) -> dict[str, list[Any]]:
        """Notes of all chunks by kind, such as the rows that could not be read and why."""
        notes: dict[str, list[Any]] = {}
        for chunk in self.chunks.values():
            for name, found in chunk.get("notes", {}).items():
                notes[name] = notes.get(name, []) + found
        return notes

    @functools.cached_property
    def json(self) -> str:
        """The manifest as it is written; the same manifest always gives the same bytes."""
        # Cached, since a build needs it several times and writing it takes milliseconds.
        # Not `asdict`, which copies every chunk's entry.
        table = with_digest(
            {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        )
        return json.dumps(table, indent=1, sort_keys=True) + "\n"

    def digest(self) -> str:
        """SHA-256 of the manifest as written, which the store's root lists."""
        return hashlib.sha256(self.json.encode()).hexdigest()


def spec_digest(spec: ArraySpec, chunk_rows: int) -> str:
    """SHA-256 of an array's declaration, which does not depend on how it is written."""
    content = {**dataclasses.asdict(spec), "chunk_rows": chunk_rows}
    return table_digest(content)


def table_digest(table: dict[str, Any]) -> str:
    """SHA-256 of a table's JSON with sorted keys and no spaces."""
    text = json.dumps(table, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def with_digest(table: dict[str, Any]) -> dict[str, Any]:
    """Add to a table the digest of everything else in it, which reveals later changes."""
    content = {name: value for name, value in table.items() if name != "digest"}
    return {**content, "digest": table_digest(content)}


def parse_manifest(text: str | bytes, where: object) -> Manifest:
    """Read a manifest.

    Raises
    ------
    StoreDamagedError
        If the text is not a manifest; `where` names the file in the message.
    """
    try:
        table = json.loads(text)
        if table != with_digest(table):
            raise ValueError("it was altered: its digest does not match")
        del table["digest"]
        manifest = Manifest(**table)
        chunks = {name: _chunk(entry) for name, entry in manifest.chunks.items()}
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        raise StoreDamagedError(
            f"{where} is not a manifest ({error}); run the same echo-prep build again to repair "
            "the array"
        ) from error
    # The names are sorted as text in JSON; here chunks are in the order of their rows.
    return dataclasses.replace(manifest, chunks=dict(sorted(chunks.items(), key=_number)))


def _chunk(entry: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(entry["bytes"], int) or not isinstance(entry["sha256"], str):
        raise TypeError("a chunk has no size or digest")
    return entry


def _number(item: tuple[str, Any]) -> int:
    return chunk_number(item[0])


def stage_table(manifests: dict[str, Manifest]) -> dict[str, Any]:
    """The root's list of stages, from the manifest of each array."""
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
