"""Every file of a store, damaged in every way, times every command that reads it.

A command ends with exit code 0 or with one message, in bounded time, and
touches nothing outside the store. A build repairs the store or says what is in
its way. The edits include those of an attacker, who writes valid digests. A
sample of them is tested; with the environment variable ECHO_EVERY_FAULT, all.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import json
import os
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from echo_common.cli.command import run_command
from echo_common.errors import EchoError
from echo_common.store.manifest import with_digest
from echo_prep.cli import cli
from support.stores import build_in_small_chunks, chunks_of, copy_store, file_bytes, read_all

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

SECONDS = 60
"""Time after which a command counts as hanging; it takes less than one."""

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


def commands(data: Path, store: Path, out: Path) -> dict[str, tuple[str, ...]]:
    build = ("build", "--data", str(data), "--store", str(store), "--jobs", "1")
    return {
        "verify": ("verify", str(store)),
        "info": ("info", str(store)),
        "preview": ("preview", str(store), "--out", str(out / "sheet.png"), "--force"),
        "convert": ("convert", str(store), str(out / "other.h5")),
        "dry run": (*build, "--dry-run"),
        "build": build,
        "check": (*build, "--check"),
    }


@contextlib.contextmanager
def no_hang() -> Iterator[None]:
    def stop(*arguments: object) -> None:
        raise AssertionError(f"it hangs for {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def run(words: tuple[str, ...]) -> tuple[int, str]:
    """Run a command in this process; returns its exit code and its messages on stderr."""
    messages, output = io.StringIO(), io.StringIO()
    with (
        no_hang(),
        chunks_of(4),
        contextlib.redirect_stderr(messages),
        contextlib.redirect_stdout(output),
        pytest.raises(SystemExit) as stop,
    ):
        run_command(cli, args=list(words))
    assert isinstance(stop.value.code, int)
    return stop.value.code, messages.getvalue()


class Bench:
    """A sound store, its copy that is damaged, and a folder that must stay as it is."""

    def __init__(self, data: Path, root: Path, suffix: str) -> None:
        self.data, self.root = data, root
        self.sound = root / "sound" / f"s.{suffix}"
        build_in_small_chunks(data, self.sound)
        self.expected = file_bytes(self.sound)
        self.cache, self.out, self.victim = root / "cache", root / "out", root / "victim"
        for path in (self.cache, self.out, self.victim):
            path.mkdir()
        (self.victim / "precious").write_text("somebody else's")
        self.store = self.cache / self.sound.name

    def check_all(self, damage: Callable[[Path], None], repaired: bool = True) -> None:
        """Damage a fresh copy, then run every command on it, the last of which may repair it."""
        copy_store(self.sound, self.cache)
        damage(self.store)
        for name, words in commands(self.data, self.store, self.out).items():
            code, messages = run(words)
            said = f"{name}: exit {code}: {messages[-600:]}"
            assert code in (0, 1), said
            errors = [line for line in messages.splitlines() if not line.startswith("building")]
            assert len(errors) == code or (name, errors) == ("verify", []), said
            assert all(line.startswith("error: ") for line in errors), said
            assert [path.name for path in self.victim.iterdir()] == ["precious"], said
            assert (self.victim / "precious").read_text() == "somebody else's", said
            shutil.rmtree(self.out)
            self.out.mkdir()
        with no_hang(), contextlib.suppress(EchoError, MemoryError):
            read_all(self.store)
        if code == 0 and repaired:
            assert file_bytes(self.store) == self.expected


@pytest.fixture(scope="module")
def zarr(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(data, tmp_path_factory.mktemp("zarr"), "zarr")


@pytest.fixture(scope="module")
def hdf5(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(data, tmp_path_factory.mktemp("hdf5"), "h5")


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


@pytest.mark.parametrize("where", ["masks", "masks/chords", "frames"])
def test_a_folder_of_a_store_that_was_moved_to_another_disk(zarr: Bench, where: str) -> None:
    copy_store(zarr.sound, zarr.cache)
    moved = zarr.root / "disk"
    shutil.rmtree(moved, ignore_errors=True)
    (zarr.store / where).rename(moved)
    (zarr.store / where).symlink_to(moved)
    words = commands(zarr.data, zarr.store, zarr.out)
    for name in ("verify", "info", "dry run", "build", "check"):
        assert run(words[name])[0] == 0, name
    assert file_bytes(zarr.store).keys() | {where} >= {where}
    assert (zarr.store / where).is_symlink()
    before = file_bytes(moved)
    # What has to be written in it is refused: nothing is written through a link.
    code, messages = run((*words["build"], "--truncate"))
    if where == "frames":
        assert code == 0
    else:
        assert (code, messages.count("\n")) == (1, 1)
        assert f"{where} is a link" in messages
    assert file_bytes(moved) == before


def test_somebody_elses_files_in_and_next_to_a_store(zarr: Bench) -> None:
    words = commands(zarr.data, zarr.store, zarr.out)["build"]
    for name in ("notes.txt", ".c.0.tmp", "c.notes"):
        copy_store(zarr.sound, zarr.cache)
        for place in ("", "masks", "masks/chords", "frames"):
            (zarr.store / place / name).write_text("mine")
        # An array that has to be replaced is refused if there is another file in its folder.
        code, messages = run((*words, "--truncate"))
        assert (code, messages.count("\n")) == (1, 1)
        assert f"{name} is not a file of the store" in messages
        assert run(words)[0] == 0
        for place in ("", "masks", "masks/chords", "frames"):
            assert (zarr.store / place / name).read_text() == "mine"
    for suffix, kind in itertools.product(
        (".partial", ".rejects.csv", ".damaged.json", ".lock"), ("file", "folder")
    ):
        copy_store(zarr.sound, zarr.cache)
        path = zarr.store.with_name(zarr.store.name + suffix)
        path.unlink(missing_ok=True)
        if kind == "folder":
            path.mkdir()
            path = path / "precious"
        path.write_text("mine")
        code, messages = run((*words, "--truncate"))
        assert (code, messages.count("\n")) == (1, 1), messages
        assert path.read_text() == "mine"
        assert run(("verify", str(zarr.store)))[0] == 0
        assert path.read_text() == "mine"


def test_a_link_in_the_work_folder_is_not_followed(zarr: Bench) -> None:
    copy_store(zarr.sound, zarr.cache)
    work = zarr.store.with_name(zarr.store.name + ".partial")
    work.mkdir()
    (work / "echo-folder.json").write_text(
        json.dumps({"by": "echo-lv-segmentation", "purpose": "build"})
    )
    for name in ("arrays", "records", "discarded", "started"):
        (work / name).symlink_to(zarr.victim)
        words = commands(zarr.data, zarr.store, zarr.out)["build"]
        code, messages = run((*words, "--truncate"))
        assert (code, messages.count("\n")) == (1, 1)
        assert "is a link" in messages
        assert [path.name for path in zarr.victim.iterdir()] == ["precious"]
        (work / name).unlink()


def test_other_software_s_files_are_not_replaced(data: Path, tmp_path: Path) -> None:
    import zarr as zarr_package

    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "empty").mkdir()
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["frames"] = np.arange(5)
    zarr_package.create_group(tmp_path / "group.zarr")
    zarr_package.create_array(tmp_path / "array.zarr", shape=(3,), dtype="u1")
    (tmp_path / "folder.zarr").mkdir()
    (tmp_path / "folder.zarr" / "photo.jpg").write_text("mine")
    (tmp_path / "text.zarr").write_text("mine")
    os.mkfifo(tmp_path / "pipe.zarr")
    sound = tmp_path / "sound" / "s.zarr"
    build_in_small_chunks(data, sound)
    for name in ("other.h5", "group.zarr", "array.zarr", "folder.zarr", "text.zarr", "pipe.zarr"):
        path = tmp_path / name
        before = None if name == "pipe.zarr" else file_bytes(path)
        words = commands(data, path, out)
        for command in (words["build"], words["dry run"], ("convert", str(sound), str(path))):
            code, messages = run(command)
            assert (code, messages.count("\n")) == (1, 1), (name, messages)
            assert "not a store" in messages, messages
        assert before == (None if name == "pipe.zarr" else file_bytes(path))
    # An empty folder is as good as none.
    assert run(commands(data, tmp_path / "empty", out)["build"])[0] == 0


def test_a_store_is_not_built_over_its_data_set(data: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(data, tmp_path / "data"))
    before = file_bytes(copy)
    (tmp_path / "link").symlink_to(copy / "Videos")
    for store in ("data", "data/Videos", "data/Videos/s.zarr", "link/s.zarr", "data/FileList.csv"):
        code, messages = run(commands(copy, tmp_path / store, tmp_path)["build"])
        assert (code, messages.count("\n")) == (1, 1)
        assert "over the input" in messages
        assert file_bytes(copy) == before


def test_a_conversion_never_writes_into_its_source(zarr: Bench, tmp_path: Path) -> None:
    copy_store(zarr.sound, zarr.cache)
    (tmp_path / "link").symlink_to(zarr.store)
    for target in (
        zarr.store / "inner.h5",
        zarr.store / "masks" / "inner.zarr",
        tmp_path / "link" / "inner.h5",
        tmp_path / "link",
        zarr.cache,
    ):
        code, messages = run(("convert", str(zarr.store), str(target)))
        assert (code, messages.count("\n")) == (1, 1), messages
    assert file_bytes(zarr.store) == zarr.expected
    assert sorted(path.name for path in zarr.cache.iterdir()) == sorted(
        path.name for path in zarr.sound.parent.iterdir()
    )
