"""Names from a CSV: nothing outside the data folder is ever opened."""

from __future__ import annotations

import os
import pickle
import unicodedata
from pathlib import Path
from typing import Literal

import pytest

from echo_prep.dataset.file_names import RefusedError, VideoFolder, unsafe_name, video_name


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
        VideoFolder(folder).locate(name)


def test_a_regular_file_is_found(folder: Path) -> None:
    assert VideoFolder(folder).locate("good") == folder.resolve() / "good.avi"


def test_the_folder_itself_may_be_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").symlink_to(folder)
    assert VideoFolder(tmp_path / "elsewhere").locate("good").read_bytes() == b"x"


def test_a_link_within_the_folder_is_followed(folder: Path) -> None:
    (folder / "again.avi").symlink_to("good.avi")
    assert VideoFolder(folder).locate("again").read_bytes() == b"x"


@pytest.mark.parametrize("target", ["../secret.avi", "../../secret.avi", "absolute"])
def test_a_link_that_leads_outside_is_refused(folder: Path, tmp_path: Path, target: str) -> None:
    to = tmp_path / "secret.avi" if target == "absolute" else target
    (folder / "link.avi").symlink_to(to)
    with pytest.raises(RefusedError, match="leads outside"):
        VideoFolder(folder).locate("link")


def test_a_sibling_whose_name_begins_the_same_is_outside(folder: Path) -> None:
    sibling = folder.with_name("Videos2")
    sibling.mkdir()
    (sibling / "x.avi").write_bytes(b"")
    (folder / "x.avi").symlink_to(sibling / "x.avi")
    with pytest.raises(RefusedError, match="leads outside"):
        VideoFolder(folder).locate("x")


def test_what_is_no_file_is_refused(folder: Path) -> None:
    (folder / "folder.avi").mkdir()
    os.mkfifo(folder / "pipe.avi")
    for name in ("folder", "pipe"):
        with pytest.raises(RefusedError, match="not a regular file"):
            VideoFolder(folder).locate(name)


def test_what_is_not_there(folder: Path) -> None:
    (folder / "broken.avi").symlink_to("nothing.avi")
    for name in ("none", "broken"):
        with pytest.raises(FileNotFoundError):
            VideoFolder(folder).locate(name)
    (folder / "loop.avi").symlink_to("loop.avi")
    with pytest.raises((RefusedError, OSError)):
        VideoFolder(folder).locate("loop")


@pytest.mark.parametrize(
    "spelling", ["a.AVI", "a.Avi", "a.mp4", "a.MOV", "a.mkv", "a.wmv", "a.dcm", "a"]
)
def test_another_suffix_on_disk_is_found(folder: Path, spelling: str) -> None:
    (folder / spelling).write_bytes(b"y")
    (folder / "a.txt").write_bytes(b"z")
    (folder / "._a.avi").write_bytes(b"z")
    assert VideoFolder(folder).locate("a") == folder / spelling
    # What EchoNet-Dynamic has comes first: another file may be a copy to look at.
    (folder / "a.avi").write_bytes(b"x")
    assert VideoFolder(folder).locate("a") == folder / "a.avi"


def test_two_files_of_one_name_are_refused(folder: Path) -> None:
    for name in ("a.mp4", "a.AVI"):
        (folder / name).write_bytes(b"y")
    with pytest.raises(RefusedError, match=r"2 files have this name: a\.AVI, a\.mp4; keep one"):
        VideoFolder(folder).locate("a")


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("suffix", [".avi", ".AVI"])
def test_composed_and_decomposed_letters_are_the_same(
    folder: Path, form: Literal["NFC", "NFD"], suffix: str
) -> None:
    (folder / (unicodedata.normalize(form, "Müller-Å") + suffix)).write_bytes(b"y")
    for text in ("Müller-Å.avi", unicodedata.normalize("NFD", "Müller-Å")):
        name = video_name(text)
        assert name == unicodedata.normalize("NFC", "Müller-Å")
        assert VideoFolder(folder).locate(name).read_bytes() == b"y"


def test_links_into_an_archive_are_followed_once_it_is_named(folder: Path, tmp_path: Path) -> None:
    archive = tmp_path / "archive" / "objects"
    archive.mkdir(parents=True)
    (archive / "1f").write_bytes(b"content")
    (folder / "a.avi").symlink_to(archive / "1f")
    (folder / "b.MP4").symlink_to("../../archive/objects/1f")
    (folder / "c.avi").symlink_to(tmp_path / "secret.avi")
    for name in "ab":
        with pytest.raises(RefusedError, match=r"leads outside .*--archive"):
            VideoFolder(folder).locate(name)
        allowed = VideoFolder(folder, archive.parent)
        assert allowed.locate(name) == (archive / "1f").resolve()
    with pytest.raises(RefusedError, match="leads outside"):
        allowed.locate("c")
    # The archive may itself be reached by a link.
    (tmp_path / "short").symlink_to(archive.parent)
    assert VideoFolder(folder, tmp_path / "short").locate("a").read_bytes() == b"content"


def test_a_worker_lists_the_folder_itself(folder: Path) -> None:
    (folder / "a.AVI").write_bytes(b"y")
    videos = VideoFolder(folder)
    assert videos.locate("a").name == "a.AVI"
    (folder / "b.AVI").write_bytes(b"y")
    copy = pickle.loads(pickle.dumps(videos))
    assert copy.locate("b").name == "b.AVI"
