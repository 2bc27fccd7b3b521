"""How every command ends: one message and an exit code, never a traceback.

Exit codes: 0 done, 1 failed, 2 wrong usage (click's own), 70 internal error,
130 interrupted.
"""

from __future__ import annotations

import errno
import os
import platform
import shlex
import sys
import tempfile
import traceback
from typing import Any

import click

from echo_common.cli.start import INTERRUPTED
from echo_common.cli.variables import unknown_variables
from echo_common.errors import EchoError

DISTRIBUTION = "echo-lv-segmentation"

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
"""Settings of click's context that every command has."""

_NO_MEMORY = (
    "can't start new thread",
    "failed to map segment",
    "annot allocate memory",
    "Insufficient memory",
)
"""What Python, the loader of libraries, the system and OpenCV say if there is too little memory."""

INTERNAL = 70
"""Exit code of a defect of this software: EX_SOFTWARE of sysexits.h."""


def run_command(command: click.Command, **context: Any) -> None:
    """Run a click command as a console script does, and exit.

    Errors that the user can mend (`EchoError`, a full disk, a path that cannot
    be used, too little memory) become one line on stderr. Anything else is a
    defect: its traceback goes to a file, which the message names.
    """
    for line in unknown_variables(command, os.environ):
        click.echo(line, err=True)
    try:
        outcome = command.main(standalone_mode=False, **context)
        sys.stdout.flush()
    except click.exceptions.Abort as abort:
        # click turns Ctrl-C into this; whoever caught it first may have said how to resume.
        said = str(abort.__cause__ or "")
        _end(f"interrupted: {said}" if said else "interrupted", INTERRUPTED)
    except KeyboardInterrupt:
        _end("interrupted", INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except EchoError as error:
        _end(f"error: {error}", 1)
    except BrokenPipeError:
        # The reader of the output went away, as `head` does: there is nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(1)
    except OSError as error:
        if error.errno is None:
            _end(_keep_traceback(error), INTERNAL)
        _end(f"error: {describe_os_error(error)}", 1)
    except MemoryError as error:
        _end(f"error: {describe_memory_error(error)}", 1)
    except Exception as error:
        if any(text in str(error) for text in _NO_MEMORY):
            _end(f"error: {describe_memory_error(error)}", 1)
        _end(_keep_traceback(error), INTERNAL)
    sys.exit(outcome if isinstance(outcome, int) else 0)


def describe_os_error(error: OSError) -> str:
    """Say in a sentence what the operating system refused, where, and what to do."""
    where = f" at {error.filename}" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full{where}; free some space and run the same command again"
    if error.errno == errno.ENOMEM:
        return describe_memory_error(error)
    reason = os.strerror(error.errno) if error.errno else str(error)
    if error.errno == errno.EFBIG:
        return f"{reason.lower()}{where}: no file may grow that large here; see ulimit -f"
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return f"{reason.lower()}{where}; allow more with ulimit -n, or use fewer --jobs"
    return f"{reason.lower()}{where}; check the path and its permissions, or use another one"


def describe_memory_error(error: BaseException) -> str:
    """Say in a sentence that memory ran out, and what to do."""
    detail = f" ({error})" if str(error) else ""
    return (
        f"out of memory{detail}; use fewer --jobs or a smaller --batch-size, or allow the process "
        "more (ulimit -v, the container's limit)"
    )


def _keep_traceback(error: BaseException) -> str:
    """Write the traceback to a file; gives the message that names it."""
    command = shlex.join(sys.argv)
    summary = f"{type(error).__name__}: {error}".splitlines()[0][:300]
    text = "".join(traceback.format_exception(error))
    try:
        handle, path = tempfile.mkstemp(prefix="echo-error-", suffix=".txt")
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{command}\n{platform.platform()}, Python {sys.version}\n\n{text}")
    except OSError:
        path = ""
    where = f"the traceback is in {path}" if path else f"the traceback could not be kept: {text}"
    return (
        f"internal error: {summary}; this is a defect of echo-lv-segmentation, please report it. "
        f"The command was: {command}; {where}"
    )


def _end(message: str, code: int) -> None:
    click.echo(message, err=True)
    sys.exit(code)
