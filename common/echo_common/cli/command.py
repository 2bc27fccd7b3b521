"""How every command ends: one message and an exit code, never a traceback.

Exit codes: 0 done, 1 failed, 2 wrong usage (click's own), 130 interrupted.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import Any

import click

from echo_common.errors import EchoError

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended, as shells have it: 128 + SIGINT."""

_OF_THE_MACHINE = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EPERM, errno.EIO, errno.EMFILE}
    | {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.ELOOP}
)
"""Errors of the operating system that say something of the disk or of a path given."""


def run_command(command: click.Command, **context: Any) -> None:
    """Run a click command as a console script does, and exit.

    Errors that are the user's to mend (`EchoError`, a full disk, a path
    that cannot be used) become one line on stderr. Anything else is a defect of this
    software and keeps its traceback.
    """
    try:
        outcome = command.main(standalone_mode=False, **context)
    except click.exceptions.Abort as abort:
        # click turns Ctrl-C into this; whoever caught it first may have said how to go on.
        said = str(abort.__cause__ or "")
        _end(f"interrupted: {said}" if said else "interrupted", INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except EchoError as error:
        _end(f"error: {error}", 1)
    except OSError as error:
        if error.errno not in _OF_THE_MACHINE:
            raise
        _end(f"error: {describe_os_error(error)}", 1)
    sys.exit(outcome if isinstance(outcome, int) else 0)


def describe_os_error(error: OSError) -> str:
    """Say in a sentence what the operating system refused, where, and what to do."""
    where = f" at {error.filename}" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full{where}; free some space and run the same command again"
    reason = os.strerror(error.errno) if error.errno else str(error)
    return f"{reason.lower()}{where}; check the permissions, or write somewhere else"


def _end(message: str, code: int) -> None:
    click.echo(message, err=True)
    sys.exit(code)
