"""How commands end: exit code and one line, whatever went wrong."""

from __future__ import annotations

import errno
from pathlib import Path

import click
import pytest

from echo_common.cli.command import describe_os_error, run_command
from echo_common.errors import DataError, StoreNotFoundError


def ending(
    capsys: pytest.CaptureFixture[str], outcome: object, *arguments: str
) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command that returns, or raises, `outcome`."""

    @click.command()
    @click.option("--jobs", type=int)
    def command(jobs: int | None) -> object:
        click.echo("begun")
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    with pytest.raises(SystemExit) as stop:
        run_command(command, args=list(arguments), prog_name="echo-example")
    out, err = capsys.readouterr()
    return stop.value.code, out, err


def test_done_is_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert ending(capsys, None) == (0, "begun\n", "")


def test_a_command_may_choose_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert ending(capsys, 1) == (1, "begun\n", "")


@pytest.mark.parametrize(
    "error, line",
    [
        (DataError("row 5 is no row; mend it"), "error: row 5 is no row; mend it\n"),
        (StoreNotFoundError("no store at x"), "error: no store at x\n"),
        (
            OSError(errno.ENOSPC, "", "/a/b"),
            "error: the disk is full at /a/b; free some space and run the same command again\n",
        ),
        (
            PermissionError(errno.EACCES, "", "/a"),
            "error: permission denied at /a; check the path and its permissions, or use another "
            "one\n",
        ),
        (
            OSError(errno.ENAMETOOLONG, "", "/a"),
            "error: file name too long at /a; check the path and its permissions, or use another "
            "one\n",
        ),
        (
            FileNotFoundError(errno.ENOENT, "", "/a"),
            "error: no such file or directory at /a; check the path and its permissions, or use "
            "another one\n",
        ),
        (
            OSError(errno.EFBIG, "", "/a"),
            "error: file too large at /a: no file may grow that large here; see ulimit -f\n",
        ),
        (
            OSError(errno.EMFILE, "", "/a"),
            "error: too many open files at /a; allow more with ulimit -n, or use fewer --jobs\n",
        ),
    ],
)
def test_what_the_user_can_mend_is_one_line_and_1(
    capsys: pytest.CaptureFixture[str], error: Exception, line: str
) -> None:
    assert ending(capsys, error) == (1, "begun\n", line)


def test_wrong_usage_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = ending(capsys, None, "--jobs", "x")
    assert (code, out) == (2, "")
    assert err.startswith("Usage: echo-example")
    assert err.endswith("'x' is not a valid integer.\n")


def test_interrupted_is_130_and_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert ending(capsys, KeyboardInterrupt()) == (130, "begun\n", "\ninterrupted\n")
    assert ending(capsys, KeyboardInterrupt("run it again")) == (
        130,
        "begun\n",
        "\ninterrupted: run it again\n",
    )


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 5. GiB"),
        RuntimeError("can't start new thread"),
        ImportError("libavcodec.so: failed to map segment from shared object"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
    ],
)
def test_too_little_memory_is_one_line(
    capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    code, _, err = ending(capsys, error)
    assert (code, err.count("\n")) == (1, 1)
    assert err.startswith("error: out of memory")
    assert "use fewer --jobs" in err


def test_a_defect_is_70_and_keeps_its_traceback_in_a_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("sys.argv", ["echo-example", "--out", "a b"])
    code, _, err = ending(capsys, ZeroDivisionError("division by zero"))
    assert code == 70
    (line,) = err.splitlines()
    (kept,) = tmp_path.iterdir()
    assert line.startswith("internal error: ZeroDivisionError: division by zero; ")
    assert "echo-example --out 'a b'" in line
    assert str(kept) in line
    assert kept.read_text().endswith("ZeroDivisionError: division by zero\n")
    assert "test_command.py" in kept.read_text()


def test_a_defect_where_no_file_can_be_written_shows_its_traceback(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    code, _, err = ending(capsys, ZeroDivisionError())
    assert code == 70
    assert err.rstrip().endswith("ZeroDivisionError")


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.ENOMEM, "")])
def test_too_little_memory_says_what_to_lower(
    capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    code, _, err = ending(capsys, error)
    assert code == 1
    assert err.startswith("error: out of memory")
    assert "--jobs" in err


def test_an_error_without_a_file_is_described() -> None:
    assert describe_os_error(OSError(errno.EDQUOT, "")).startswith("the disk is full; ")
    assert describe_os_error(OSError("odd")).startswith("odd; ")
