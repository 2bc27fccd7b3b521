"""How commands end: exit code and one line, whatever went wrong."""

from __future__ import annotations

import errno
import os

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
            "error: permission denied at /a; check the permissions, or write somewhere else\n",
        ),
        (
            OSError(errno.ENAMETOOLONG, "", "/a"),
            "error: file name too long at /a; check the permissions, or write somewhere else\n",
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


def test_a_defect_keeps_its_traceback() -> None:
    @click.command()
    def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_command(broken, args=[])


def test_a_file_that_vanished_is_a_defect_too() -> None:
    @click.command()
    def broken() -> None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "x")

    with pytest.raises(FileNotFoundError):
        run_command(broken, args=[])


def test_an_error_without_a_file_is_described() -> None:
    assert describe_os_error(OSError(errno.EDQUOT, "")).startswith("the disk is full; ")
    assert describe_os_error(OSError("odd")).startswith("odd; ")
