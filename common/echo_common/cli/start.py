"""How every console script starts: sound streams, a quiet Ctrl-C, then the command itself.

Nothing here imports a package that is not of this software, so that Ctrl-C in the
first second, while packages are imported, finds its handler in place.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from echo_common.errors import SettingsError

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended, as shells have it: 128 + SIGINT."""

_KEPT = "\n\t"
_CONTROLS = {
    code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
    # C0, DEL and C1 steer a terminal; the rest turns the direction of the text around.
    for code in (*range(32), *range(127, 160), 0x200E, 0x200F, *range(0x202A, 0x202F),
                 *range(0x2066, 0x206A))
    if chr(code) not in _KEPT
}  # fmt: skip


_EXTRAS = {
    "report": ("matplotlib", "jinja2"),
    "train": ("torch", "torchmetrics", "matplotlib", "jinja2"),
}
"""Packages that only an extra of this distribution installs, by the extra."""


def start(module: str) -> None:
    """Import the module of a command and run its `main`."""
    if os.name == "nt":
        # Python cannot flush a folder there, which makes replaced files durable.
        sys.exit("error: on Windows this software needs WSL2, which `wsl --install` sets up")
    open_streams()
    with exits_at_once():
        command = importlib.import_module(module)
    command.main()


@contextlib.contextmanager
def importing(extra: str = "") -> Iterator[None]:
    """Import what a command works with, which its ``--help`` does without.

    Ctrl-C ends the process at once. A missing package of an extra ends it with
    how to install the extra.

    Parameters
    ----------
    extra : str
        The extra of this distribution that the command is part of.
    """
    if extra == "train":
        try:
            # Without it MKL, which torch loads, ends the process with a message of its own.
            Path.cwd()
        except FileNotFoundError:
            sys.exit("error: the working folder was deleted; change to one that exists")
    with exits_at_once():
        try:
            yield
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package not in _EXTRAS.get(extra, ()):
                raise
            print(
                f"error: {package} is not installed; install it with: "
                f"pip install 'echo-lv-segmentation[{extra}]'",
                file=sys.stderr,
            )
            sys.exit(1)


def import_extra(option: str, module: str, extra: str, package: str = "") -> Any:
    """Import a module that an option needs and only an extra of this distribution installs.

    Raises
    ------
    SettingsError
        If its package, by default the module itself, is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise SettingsError(
            f"{option} needs the package {package or module}; install it with: "
            f"pip install 'echo-lv-segmentation[{extra}]'"
        ) from error


@contextlib.contextmanager
def exits_at_once() -> Iterator[None]:
    """Let Ctrl-C end the process at once with one line, while packages are imported.

    An exception in the middle of an import would show a traceback, or be
    swallowed by a package that tries something else.
    """
    try:
        before = signal.getsignal(signal.SIGINT)
        # A shell's background jobs ignore Ctrl-C, and go on ignoring it.
        if before is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, _leave)
    except ValueError:
        # Not the main thread, where signals do not arrive.
        yield
        return
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)


def open_streams() -> None:
    """Give the process three open standard streams, and make what it prints plain text.

    A closed stream (``2>&-``) would fail at the first message, and its number
    would be given to the next file that is opened, so that a library's warning
    could land in a store. A reader that went away is no reason to stop work.
    Control characters in names from files are spelled out, so that they cannot
    steer a terminal.
    """
    for handle in range(3):
        try:
            os.fstat(handle)
        except OSError:
            # The lowest free number is taken, which is this one.
            os.open(os.devnull, os.O_RDWR)
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = _stream(1, sys.stdout, unfailing=False)
    sys.stderr = _stream(2, sys.stderr, unfailing=True)


class _Unfailing(io.FileIO):
    """A file that forgets what cannot be written."""

    def write(self, content: bytes, /) -> int:  # type: ignore[override]
        try:
            return super().write(content)
        except OSError:
            return len(content)


class _PlainText(io.TextIOWrapper):
    """A text stream that spells control characters out."""

    def write(self, text: str, /) -> int:
        super().write(text.translate(_CONTROLS))
        return len(text)


def _stream(handle: int, before: TextIO | None, unfailing: bool) -> TextIO:
    raw = (_Unfailing if unfailing else io.FileIO)(handle, "w", closefd=False)
    return _PlainText(
        io.BufferedWriter(raw),
        encoding=before.encoding if before else "utf-8",
        errors="backslashreplace",
        line_buffering=unfailing or raw.isatty(),
    )


def _leave(number: int, frame: FrameType | None) -> None:
    with contextlib.suppress(OSError):
        os.write(2, b"\ninterrupted\n")
    os._exit(INTERRUPTED)
