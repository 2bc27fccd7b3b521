"""Which paths may be written, replaced and deleted."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from echo_common.errors import OutputError
from echo_common.outputs import (
    check_replaceable,
    descendant,
    name_fault,
    output_name,
    refuse_inputs,
    replace_file,
    resolve_output,
)

BAD_NAMES = [
    "", "  ", ".", "..", "a/b", "/etc", "a\\b", "C:x", "a\0b", "line\nbreak", "\x1b[31m", "nul",
    "NUL.txt", "com1", "LPT9.avi", "name.", "name ", "a*b", "a?b", 'a"b', "a|b", "a<b", "\u202eavi",
]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES)
def test_what_is_no_plain_name(name: str) -> None:
    assert name_fault(name) is not None


@pytest.mark.parametrize("name", ["study", "0X1A2B.avi", "Größe 3", "-out", "nullable", ".hidden"])
def test_what_is_a_plain_name(name: str) -> None:
    assert name_fault(name) is None
    assert output_name(name) == name


@pytest.mark.parametrize("name", [*BAD_NAMES, "n" * 255, "ü" * 200, "\udcff.avi"])
def test_every_name_gives_a_name_that_can_be_written(name: str, tmp_path: Path) -> None:
    derived = output_name(name)
    assert name_fault(derived) is None
    assert len(derived.encode()) <= 200
    (tmp_path / f"{derived}.contours.json").write_text("x")
    assert [entry.name for entry in tmp_path.iterdir()] == [f"{derived}.contours.json"]


def test_two_names_stay_two() -> None:
    names = ["a?", "a*", "n" * 250 + "1", "n" * 250 + "2", "a_"]
    assert len({output_name(name) for name in names}) == len(names)


@pytest.mark.parametrize(
    "path", ["../x", "a/../../x", "/etc/passwd", "a//b", "a/", "a/./b", "a\\b"]
)
def test_a_path_from_a_file_stays_inside(path: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is not a path inside it"):
        descendant(tmp_path, path)
    assert descendant(tmp_path, "masks/chords") == tmp_path / "masks" / "chords"


def test_an_output_is_never_an_input(tmp_path: Path) -> None:
    source = tmp_path / "Videos" / "Größe.avi"
    source.parent.mkdir()
    source.write_bytes(b"recording")
    (tmp_path / "link.avi").symlink_to(source)
    os.link(source, tmp_path / "hard.avi")
    (tmp_path / "folder").symlink_to(source.parent)
    decomposed = unicodedata.normalize("NFD", str(source))
    for target in (
        source,
        tmp_path / "Videos" / ".." / "Videos" / "Größe.avi",
        tmp_path / "link.avi",
        tmp_path / "hard.avi",
        tmp_path / "folder" / "Größe.avi",
        tmp_path / "VIDEOS" / "GRÖSSE.AVI",
        Path(decomposed),
    ):
        with pytest.raises(OutputError, match="input"):
            refuse_inputs(target, [source])
    refuse_inputs(tmp_path / "Videos" / "other.avi", [source])
    # An input folder protects what is in it, and an output does not go around an input.
    with pytest.raises(OutputError, match="over the input"):
        refuse_inputs(source.parent / "new.zarr", [source.parent])
    with pytest.raises(OutputError, match="over the input"):
        refuse_inputs(tmp_path, [source.parent])


def test_only_regular_files_of_ours_are_replaced(tmp_path: Path) -> None:
    file, folder, pipe = tmp_path / "file", tmp_path / "folder", tmp_path / "pipe"
    file.write_text("mine")
    folder.mkdir()
    os.mkfifo(pipe)
    (tmp_path / "link").symlink_to(file)
    for path in (folder, pipe, tmp_path / "link"):
        for force in (False, True):
            with pytest.raises(OutputError):
                check_replaceable(path, force=force, is_own=lambda path: True)
    with pytest.raises(OutputError, match="--force"):
        check_replaceable(file, force=False, is_own=lambda path: False)
    check_replaceable(file, force=True, is_own=lambda path: False)
    check_replaceable(file, force=False, is_own=lambda path: True)
    check_replaceable(tmp_path / "new", force=False, is_own=lambda path: False)


def test_a_file_with_our_mark_is_replaced_and_another_is_not(tmp_path: Path) -> None:
    path = tmp_path / "new" / "page.html"
    replace_file(path, b"<by us> 1", mark=b"<by us>")
    replace_file(path, b"<by us> 2", mark=b"<by us>")
    assert path.read_bytes() == b"<by us> 2"
    path.write_bytes(b"a stranger's page")
    with pytest.raises(OutputError, match="--force"):
        replace_file(path, b"<by us> 3", mark=b"<by us>")
    assert path.read_bytes() == b"a stranger's page"
    replace_file(path, b"<by us> 3", mark=b"<by us>", force=True)
    assert path.read_bytes() == b"<by us> 3"


@pytest.mark.parametrize("path", ["", ".", "..", "a/..", "/", "a/NUL", "con.zarr", "a\0b", "a\nb"])
def test_a_path_at_which_nothing_can_be_is_refused(path: str) -> None:
    with pytest.raises(OutputError, match="nothing can be written at"):
        resolve_output(Path(path))


def test_an_output_is_written_where_a_link_leads(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "a.zarr")
    assert resolve_output(tmp_path / "link") == tmp_path / "disk" / "a.zarr"
    assert resolve_output(Path("cache/a.zarr")) == Path("cache/a.zarr")
