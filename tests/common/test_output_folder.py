"""Output folders: whole files, a record of them, one writer at a time."""

from __future__ import annotations

import os
from pathlib import Path
from unittest import mock

import pytest

from echo_common.errors import OutputError
from echo_common.output_folder import RECORD, RECORD_FOLDER, OutputFolder


def _names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.name != RECORD_FOLDER)


def test_it_replaces_its_own_files_and_no_others(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with OutputFolder(out) as folder:
        folder.write_text("a.csv", "1")
    with OutputFolder(out) as folder:
        folder.write_text("a.csv", "2")
    assert (out / "a.csv").read_text() == "2"
    (out / "a.csv").write_text("edited by its owner")
    (out / "b.csv").write_text("somebody else's")
    with OutputFolder(out) as folder:
        for name in ("a.csv", "b.csv"):
            with pytest.raises(OutputError, match="--force"):
                folder.write_text(name, "3")
    assert (out / "a.csv").read_text() == "edited by its owner"
    with OutputFolder(out, force=True) as folder:
        folder.write_text("b.csv", "3")
    assert (out / "b.csv").read_text() == "3"


class _Killed(BaseException):
    """Ends the process as far as the code under test can tell."""


def test_a_kill_at_the_rename_leaves_a_file_that_is_known(tmp_path: Path) -> None:
    def write(content: str) -> None:
        with OutputFolder(tmp_path) as folder:
            folder.write_text("a.csv", content)

    write("1")

    def killed(source: str, target: str) -> None:
        raise _Killed

    with mock.patch("os.replace", killed), pytest.raises(_Killed):
        write("2")
    assert (tmp_path / "a.csv").read_text() == "1"
    write("3")
    assert (tmp_path / "a.csv").read_text() == "3"
    assert _names(tmp_path) == ["a.csv"]


def test_a_failed_writer_leaves_what_was_there(tmp_path: Path) -> None:
    with OutputFolder(tmp_path) as folder:
        folder.write_text("a.csv", "1")
        with pytest.raises(ZeroDivisionError), folder.writer("a.csv") as path:
            assert path.suffix == ".csv"
            path.write_text("half")
            raise ZeroDivisionError
    assert (tmp_path / "a.csv").read_text() == "1"
    assert _names(tmp_path) == ["a.csv"]


def test_an_input_in_the_folder_is_not_written_over(tmp_path: Path) -> None:
    video = tmp_path / "study.avi"
    video.write_bytes(b"recording")
    with (
        OutputFolder(tmp_path, inputs=[video], force=True) as folder,
        pytest.raises(OutputError, match="input"),
    ):
        folder.write_text("study.avi", "overlay")
    assert video.read_bytes() == b"recording"


def test_the_second_process_is_told(tmp_path: Path) -> None:
    with (
        OutputFolder(tmp_path),
        pytest.raises(OutputError, match=f"process {os.getpid()} on .* writes to"),
        OutputFolder(tmp_path),
    ):
        pass
    with OutputFolder(tmp_path) as folder:
        folder.write_text("a", "1")


@pytest.mark.parametrize("content", ["", "{", "0" * 64, f"{'0' * 64}  a.csv\n", "[" * 100_000])
def test_a_damaged_record_makes_files_unknown_and_stops_nothing(
    content: str, tmp_path: Path
) -> None:
    with OutputFolder(tmp_path) as folder:
        folder.write_text("a.csv", "1")
    (tmp_path / RECORD_FOLDER / RECORD).write_text(content)
    with OutputFolder(tmp_path) as folder:
        with pytest.raises(OutputError, match="--force"):
            folder.write_text("a.csv", "2")
        folder.write_text("b.csv", "2")


def test_a_stranger_s_folder_of_that_name_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / RECORD_FOLDER).mkdir()
    (tmp_path / RECORD_FOLDER / "notes").write_text("x")
    with pytest.raises(OutputError, match="was not made by this software"), OutputFolder(tmp_path):
        pass
    assert (tmp_path / RECORD_FOLDER / "notes").read_text() == "x"


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    with pytest.raises(OutputError, match="not a folder"), OutputFolder(tmp_path / "out"):
        pass


def test_two_kills_in_a_row_leave_a_file_that_is_known(tmp_path: Path) -> None:
    with OutputFolder(tmp_path) as folder:
        folder.write_text("a.csv", "1")
    for content in ("2", "3"):
        with (
            mock.patch("pathlib.Path.replace", side_effect=_Killed),
            pytest.raises(_Killed),
            OutputFolder(tmp_path) as folder,
        ):
            folder.write_text("a.csv", content)
    assert (tmp_path / "a.csv").read_text() == "1"
    with OutputFolder(tmp_path) as folder:
        folder.write_text("a.csv", "4")
    assert (tmp_path / "a.csv").read_text() == "4"


def test_a_line_that_a_kill_cut_short_costs_only_itself(tmp_path: Path) -> None:
    with OutputFolder(tmp_path) as folder:
        folder.write_text("a.csv", "1")
    with (tmp_path / RECORD_FOLDER / RECORD).open("a") as record:
        record.write("0123abc")
    for content in ("2", "3"):
        with OutputFolder(tmp_path) as folder:
            folder.write_text("a.csv", content)
            folder.write_text("b.csv", content)
    assert (tmp_path / "b.csv").read_text() == "3"


def test_files_without_a_record_are_adopted_and_others_are_not(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("0")
    with OutputFolder(tmp_path) as folder:
        folder.adopt("a.csv", "missing.csv")
    with OutputFolder(tmp_path) as folder:
        folder.write_text("a.csv", "1")
        folder.adopt("b.csv")
        with pytest.raises(OutputError, match="not written by this command"):
            folder.write_text("b.csv", "1")
    assert (tmp_path / "b.csv").read_text() == "0"


def test_a_record_that_is_a_link_is_not_written_through(tmp_path: Path) -> None:
    with OutputFolder(tmp_path / "out") as folder:
        folder.write_text("a.csv", "1")
    (tmp_path / "letter").write_text("x")
    (tmp_path / "out" / RECORD_FOLDER / RECORD).unlink()
    (tmp_path / "out" / RECORD_FOLDER / RECORD).symlink_to(tmp_path / "letter")
    with OutputFolder(tmp_path / "out") as folder, pytest.raises(OSError):
        folder.write_text("b.csv", "1")
    assert (tmp_path / "letter").read_text() == "x"


def test_a_folder_that_is_an_input_gets_no_record(tmp_path: Path) -> None:
    store = tmp_path / "s.zarr"
    store.mkdir()
    for out in (store, store / "inside"):
        with pytest.raises(OutputError, match="input"), OutputFolder(out, inputs=[store]):
            pass
    assert not list(store.iterdir())
    with OutputFolder(tmp_path, inputs=[store]) as folder:
        folder.write_text("a.csv", "1")


def test_a_command_that_fails_before_its_first_file_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), OutputFolder(tmp_path / "out"):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())
    (tmp_path / "mine").mkdir()
    with pytest.raises(ZeroDivisionError), OutputFolder(tmp_path / "mine"):
        raise ZeroDivisionError
    assert (tmp_path / "mine").is_dir()


def test_a_link_that_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match="is a link to"), OutputFolder(tmp_path / "out"):
        pass
