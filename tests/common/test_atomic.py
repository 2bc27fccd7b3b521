"""The atomic writer: the old file or the new one, never a part, and the order that survives."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from echo_common import atomic
from echo_common.errors import OutputError


def test_content_arrives_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    atomic.write_text(path, "größer\n")
    assert path.read_bytes() == "größer\n".encode()
    atomic.write_bytes(path, b"\0\1")
    assert path.read_bytes() == b"\0\1"
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_permissions_follow_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        atomic.write_bytes(tmp_path / "a", b"")
        assert (tmp_path / "a").stat().st_mode & 0o777 == 0o666 & ~umask
        assert os.umask(umask) == umask
    finally:
        os.umask(before)


@pytest.mark.parametrize("failure", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("call", ["fsync", "replace", "chmod"])
def test_a_failed_system_call_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, failure: type[BaseException]
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def fail(*arguments: object, **options: object) -> None:
        assert path.read_bytes() == b"old"
        raise failure("no space left")

    monkeypatch.setattr(os, "fsync", fail) if call == "fsync" else monkeypatch.setattr(
        Path, call, fail
    )
    with pytest.raises(failure, match="no space left"):
        atomic.write_bytes(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_file_then_rename_then_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def note_fsync(handle: int) -> None:
        kind = "directory" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file"
        calls.append(f"fsync {kind}")
        fsync(handle)

    def note_replace(self: Path, target: Path) -> Path:
        assert self.parent == target.parent
        calls.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(Path, "replace", note_replace)
    atomic.write_bytes(tmp_path / "a", b"x")
    assert calls == ["fsync file", "rename", "fsync directory"]


def test_the_temporary_file_may_be_in_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    replace = Path.replace

    def look(self: Path, target: Path) -> Path:
        assert [entry.name for entry in tmp_path.iterdir()] == ["work"]
        assert [self] == list(folder.iterdir())
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", look)
    atomic.write_bytes(tmp_path / "a", b"new", folder=folder)
    assert (tmp_path / "a").read_bytes() == b"new"
    assert not list(folder.iterdir())


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_only_a_regular_file_is_replaced(kind: str, tmp_path: Path) -> None:
    path = tmp_path / kind
    os.mkfifo(path) if kind == "pipe" else path.mkdir()
    before = path.stat().st_mode
    with pytest.raises(OutputError, match="not a regular file"):
        atomic.write_text(path, "text")
    assert path.stat().st_mode == before
    assert list(tmp_path.iterdir()) == [path]
