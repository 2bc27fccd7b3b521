"""Names from a CSV: nothing outside the data folder is ever opened."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from echo_prep.dataset.file_names import RefusedError, locate_video, unsafe_name


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    videos = tmp_path / "data" / "Videos"
    videos.mkdir(parents=True)
    (videos / "good.avi").write_bytes(b"x")
    (tmp_path / "secret.avi").write_bytes(b"secret")
    (tmp_path / "data" / "secret.avi").write_bytes(b"secret")
    return videos


@pytest.mark.parametrize("name", ["0X1A2B", "name with spaces", "ünï", "a.b", "...", "-rf", "%2e"])
def test_plain_names_are_taken(name: str) -> None:
    assert unsafe_name(name) is None


@pytest.mark.parametrize(
    "name",
    [
        "", " ", "\t", ".", "..", "../secret", "..\\secret", "/etc/passwd", "a/b", "C:\\a",
        "a\0b", "a\nb", "a\x1b[2Jb", "\udcff", "\u202eiva",
    ],
)  # fmt: skip
def test_other_names_are_refused(name: str, folder: Path) -> None:
    assert unsafe_name(name)
    with pytest.raises(RefusedError):
        locate_video(folder, name)


def test_a_regular_file_is_found(folder: Path) -> None:
    assert locate_video(folder, "good") == folder.resolve() / "good.avi"


def test_the_folder_itself_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").symlink_to(folder)
    assert locate_video(tmp_path / "elsewhere", "good").read_bytes() == b"x"


def test_a_link_within_the_folder_is_followed(folder: Path) -> None:
    (folder / "again.avi").symlink_to("good.avi")
    assert locate_video(folder, "again").read_bytes() == b"x"


@pytest.mark.parametrize("target", ["../secret.avi", "../../secret.avi", "absolute"])
def test_a_link_that_leads_outside_is_refused(folder: Path, tmp_path: Path, target: str) -> None:
    to = tmp_path / "secret.avi" if target == "absolute" else target
    (folder / "link.avi").symlink_to(to)
    with pytest.raises(RefusedError, match="leads outside"):
        locate_video(folder, "link")


def test_a_sibling_whose_name_begins_the_same_is_outside(folder: Path) -> None:
    sibling = folder.with_name("Videos2")
    sibling.mkdir()
    (sibling / "x.avi").write_bytes(b"")
    (folder / "x.avi").symlink_to(sibling / "x.avi")
    with pytest.raises(RefusedError, match="leads outside"):
        locate_video(folder, "x")


def test_what_is_no_file_is_refused(folder: Path) -> None:
    (folder / "folder.avi").mkdir()
    os.mkfifo(folder / "pipe.avi")
    for name in ("folder", "pipe"):
        with pytest.raises(RefusedError, match="not a regular file"):
            locate_video(folder, name)


def test_what_is_not_there(folder: Path) -> None:
    (folder / "broken.avi").symlink_to("nothing.avi")
    for name in ("none", "broken"):
        with pytest.raises(FileNotFoundError):
            locate_video(folder, name)
    (folder / "loop.avi").symlink_to("loop.avi")
    with pytest.raises((RefusedError, OSError)):
        locate_video(folder, "loop")
