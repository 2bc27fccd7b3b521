"""Every file of a store, damaged in every way, times every command that reads it.

A command ends with exit code 0 or with one message, in bounded time, and
touches nothing outside the store. A build repairs the store or says what is in
its way. The edits include those of an attacker, who writes valid digests. A
sample of them is tested; with the environment variable ECHO_EVERY_FAULT, all.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echo_common.store.manifest import with_digest
from support.damage import Bench, commands, run
from support.stores import copy_store

FILES = (
    "zarr.json",
    "index/zarr.json",
    "frames/zarr.json",
    "index/status/manifest.json",
    "index/frame/manifest.json",
    "frames/manifest.json",
    "frames/c.0.0.0",
    "index/video/c.0",
)

VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1 << 40, 10**30, 1e308, float("nan"), "", "..", "a/b/" + "../" * 20 + "tmp",
    "/etc", "\0", "Infinity", [], [[]], {}, {"": {}}, ["x"] * 3,
)  # fmt: skip
"""What an edit puts in the place of a value of a JSON file."""


def missing(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 3)


def noise(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(path.stat().st_size))


def nested(path: Path) -> None:
    path.write_text("[" * 100_000 + "]" * 100_000)


def large_number(path: Path) -> None:
    path.write_text("9" * 100_000)


def other_json(text: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(text) and None


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "precious").write_text("somebody else's")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def link_to_itself(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def link_elsewhere(path: Path) -> None:
    (cache,) = (parent for parent in path.parents if parent.name == "cache")
    path.unlink()
    path.symlink_to(cache.parent / "victim" / "precious")


def unreadable(path: Path) -> None:
    if not os.geteuid():
        pytest.skip("root may read everything")
    path.chmod(0)


DAMAGES: tuple[Callable[[Path], None], ...] = (
    missing, empty, cut, noise, nested, large_number, folder, pipe, device, link_to_itself,
    link_elsewhere, unreadable,
)  # fmt: skip

JSONS = ("null", "true", "1", '"text"', "[]", "{}", '{"attributes": []}', '{"digest": 1}')


def sampled(cases: list[Any], count: int) -> list[Any]:
    return cases if "ECHO_EVERY_FAULT" in os.environ else random.Random(5).sample(cases, count)


@pytest.mark.parametrize(
    ("file", "damage"), sampled(list(itertools.product(FILES, DAMAGES)), 32),
    ids=lambda value: getattr(value, "__name__", value),
)  # fmt: skip
def test_a_file_of_a_zarr_store(zarr: Bench, file: str, damage: Callable[[Path], None]) -> None:
    zarr.check_all(lambda store: damage(store / file))


@pytest.mark.parametrize(
    ("file", "text"),
    sampled(list(itertools.product(FILES[:6], JSONS)), 12),
)
def test_json_of_another_kind(zarr: Bench, file: str, text: str) -> None:
    zarr.check_all(lambda store: other_json(text)(store / file))


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_file_of_an_hdf5_store(hdf5: Bench, damage: Callable[[Path], None]) -> None:
    if damage not in (missing, cut, link_to_itself, unreadable):
        # No store any more: it is not replaced.
        copy_store(hdf5.sound, hdf5.cache)
        damage(hdf5.store)
        special = hdf5.store.is_dir() or damage in (pipe, device)
        before = None if special else hdf5.store.read_bytes()
        for words in commands(hdf5.data, hdf5.store, hdf5.out).values():
            code, messages = run(words)
            assert code == 1
            assert "is not a store" in messages, messages
        assert special or before == hdf5.store.read_bytes()
        return
    hdf5.check_all(damage)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Path of every value in a JSON tree, of tables and lists too."""
    yield path
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(item, (*path, key))


def edited(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Copy of a JSON tree with another value at a path; an empty text renames a key."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = edited(value[path[0]], path[1:], new)
    return copy


def edit_attributes(store: Path, path: tuple[Any, ...], new: Any) -> None:
    root = json.loads((store / "zarr.json").read_text())
    attributes = edited(root["attributes"], path, new)
    root["attributes"] = with_digest(attributes) if isinstance(attributes, dict) else attributes
    (store / "zarr.json").write_text(json.dumps(root))


def edit_manifest(store: Path, array: str, path: tuple[Any, ...], new: Any) -> None:
    file = store / array / "manifest.json"
    manifest = edited(json.loads(file.read_text()), path, new)
    text = json.dumps(with_digest(manifest) if isinstance(manifest, dict) else manifest)
    file.write_text(text)
    _list_digest(store, array, text)


def edit_declaration(store: Path, array: str, path: tuple[Any, ...], new: Any) -> None:
    file = store / array / "zarr.json"
    text = json.dumps(edited(json.loads(file.read_text()), path, new))
    file.write_text(text)
    edit_manifest(store, array, ("metadata",), hashlib.sha256(text.encode()).hexdigest())


def _list_digest(store: Path, array: str, text: str) -> None:
    root = json.loads((store / "zarr.json").read_text())
    for stage in root["attributes"]["stages"].values():
        if array in stage["arrays"]:
            stage["arrays"][array] = hashlib.sha256(text.encode()).hexdigest()
    root["attributes"] = with_digest(root["attributes"])
    (store / "zarr.json").write_text(json.dumps(root))


@pytest.mark.parametrize("part", range(4))
def test_edits_with_valid_digests(zarr: Bench, part: int) -> None:
    array = ("index/status", "index/video", "masks/chords", "landmarks/chords/anatomical-7/points")[
        part
    ]
    root = json.loads((zarr.sound / "zarr.json").read_text())["attributes"]
    del root["digest"]
    cases: list[tuple[Callable[..., None], tuple[Any, ...], Any]] = []
    for (make, tree), new in itertools.product(
        (
            (edit_attributes, root),
            (lambda store, *edit: edit_manifest(store, array, *edit),
             json.loads((zarr.sound / array / "manifest.json").read_text())),
            (lambda store, *edit: edit_declaration(store, array, *edit),
             json.loads((zarr.sound / array / "zarr.json").read_text())),
        ),
        VALUES,
    ):  # fmt: skip
        cases += [(make, path, new) for path in leaves(tree)]
    for make, path, new in sampled(cases, 16):
        try:
            # An edit that changes nothing for a reader of this software is not repaired.
            zarr.check_all(
                lambda store, make=make, path=path, new=new: make(store, path, new),
                repaired=False,
            )
        except AssertionError as error:
            raise AssertionError(f"{path} = {new!r}"[:300]) from error
