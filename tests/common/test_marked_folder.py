"""Only folders with a mark are deleted."""

from __future__ import annotations

from pathlib import Path

import pytest

from echo_common.errors import OutputError
from echo_common.marked_folder import is_marked, mark_folder, remove_tree


def test_only_marked_folders_are_deleted_and_no_link_is_followed(tmp_path: Path) -> None:
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    (stranger / "precious").write_text("x")
    remove_tree(stranger, "partial")
    with pytest.raises(OutputError, match="was not made by this software"):
        mark_folder(stranger, "partial")
    own = tmp_path / "own"
    mark_folder(own, "partial")
    mark_folder(own, "partial")
    (own / "link").symlink_to(stranger)
    (own / "deep").mkdir()
    (own / "deep" / "link").symlink_to(stranger)
    (tmp_path / "alias").symlink_to(own)
    assert not is_marked(tmp_path / "alias", "partial")
    assert not is_marked(own, "record")
    remove_tree(own, "record")
    remove_tree(tmp_path / "alias", "partial")
    assert (own / "deep").is_dir()
    remove_tree(own, "partial")
    assert not own.exists()
    assert (stranger / "precious").read_text() == "x"


def test_a_mark_that_a_kill_cut_short_is_completed(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    mark_folder(folder, "build")
    (mark,) = folder.iterdir()
    content = mark.read_bytes()
    for length in range(len(content)):
        mark.write_bytes(content[:length])
        mark_folder(folder, "build")
        assert is_marked(folder, "build")
    mark.write_bytes(b"{}")
    with pytest.raises(OutputError, match="not made by this software"):
        mark_folder(folder, "build")
