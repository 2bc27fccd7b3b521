"""Manifests: an array counts only with one, which lists the digest of every chunk."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from typing import Any

from echo_common.errors import StoreDamagedError
from echo_common.store.schema import (
    SCHEMA,
    STATUSES,
    ArraySpec,
    chunk_number,
    is_array_path,
    is_chunk_name,
)

_FAULTS = (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError)
"""Errors of reading JSON that has another form than expected."""


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
    """Read a manifest; every part of it has the type and the form that the schema says.

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
        _check(manifest.metadata, str)
        _check(manifest.stage, str)
        _check_stage(vars(manifest))
        for name, entry in _check(manifest.chunks, dict).items():
            _check_chunk(name, entry)
        # The names are sorted as text in JSON; here chunks are in the order of their rows.
        chunks = dict(sorted(manifest.chunks.items(), key=_number))
        if [_number(item) for item in chunks.items()] != list(range(len(chunks))):
            raise ValueError("the numbers of its chunks have gaps")
    except _FAULTS as error:
        raise StoreDamagedError(
            f"{where} is not a manifest ({error}); run the same echo-prep build again to repair "
            "the array"
        ) from error
    return dataclasses.replace(manifest, chunks=chunks)


def check_root(attributes: dict[str, Any], where: object) -> None:
    """Check that the attributes of a store's root have their types, and were not altered.

    Raises
    ------
    StoreDamagedError
        If not; `where` names the store in the message.
    """
    try:
        if attributes != with_digest(attributes):
            raise ValueError("their digest does not match")
        for stage in _check(attributes["stages"], dict).values():
            _check_stage(_check(stage, dict))
            for array, digest in _check(stage["arrays"], dict).items():
                _check(digest, str)
                if not is_array_path(array):
                    raise ValueError(f"{array!r} is no array of {SCHEMA}")
        if attributes["stages"]:
            _check_texts(attributes["fingerprint"])
            _check(attributes["traced"], int)
            for reject in _check(attributes["rejects"], list):
                frame = {**_check(reject, dict)}.pop("frame")
                if frame is not None:
                    _check(frame, int)
                _check_texts({name: text for name, text in reject.items() if name != "frame"})
    except _FAULTS as error:
        raise StoreDamagedError(
            f"{where}: the root's attributes were altered ({error}); run the same echo-prep build "
            "again to repair them"
        ) from error


def _check(value: Any, kind: type) -> Any:
    # Not `isinstance`, for which true is a number.
    if type(value) is not kind:
        raise TypeError(f"{kind.__name__} expected, found {type(value).__name__}")
    return value


def _check_texts(table: Any) -> None:
    for text in _check(table, dict).values():
        _check(text, str)


def _check_stage(table: dict[str, Any]) -> None:
    _check(table["key"], str)
    _check(table["parameters"], dict)
    _check_texts(table["inputs"])
    _check_texts(table["versions"])


def _check_chunk(name: str, entry: Any) -> None:
    if not is_chunk_name(name):
        raise ValueError(f"{name!r} is no name of a chunk")
    _check(entry["bytes"], int)
    _check(entry["sha256"], str)
    notes = _check(entry.get("notes", {}), dict)
    for found in notes.values():
        _check(found, list)
    for row, status, message in notes.get("failures", ()):
        _check(message, str)
        if _check(row, int) < 0 or _check(status, int) not in range(1, len(STATUSES)):
            raise ValueError(f"a failure at row {row} has the status {status}")
    for video, size in notes.get("sizes", ()):
        _check(video, str)
        if size is not None:
            _check(size, int)


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
