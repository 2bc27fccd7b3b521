"""A store that tests damage, and every command that reads it."""

from __future__ import annotations

import contextlib
import io
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from echo_common.cli.command import run_command
from echo_common.errors import EchoError
from echo_prep.cli import cli
from support.stores import build_in_small_chunks, chunks_of, copy_store, file_bytes, read_all

SECONDS = 60
"""Time after which a command counts as hanging; it takes less than one."""


def commands(data: Path, store: Path, out: Path) -> dict[str, tuple[str, ...]]:
    build = ("build", "--data", str(data), "--store", str(store), "--jobs", "1")
    return {
        "verify": ("verify", str(store)),
        "info": ("info", str(store)),
        "preview": ("preview", str(store), "--out", str(out / "sheet.png"), "--force"),
        "convert": ("convert", str(store), str(out / "other.h5")),
        "dry run": (*build, "--dry-run"),
        "build": build,
        "check": (*build, "--check"),
    }


@contextlib.contextmanager
def no_hang(seconds: int = SECONDS) -> Iterator[None]:
    def stop(*arguments: object) -> None:
        # Not an Exception, which the command would end with a message of its own.
        pytest.fail(f"it hangs for {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def run(words: tuple[str, ...]) -> tuple[int, str]:
    """Run a command in this process; returns its exit code and its messages on stderr."""
    messages, output = io.StringIO(), io.StringIO()
    with (
        no_hang(),
        chunks_of(4),
        contextlib.redirect_stderr(messages),
        contextlib.redirect_stdout(output),
        pytest.raises(SystemExit) as stop,
    ):
        run_command(cli, args=list(words))
    assert isinstance(stop.value.code, int)
    return stop.value.code, messages.getvalue()


class Bench:
    """A sound store, its copy that is damaged, and a folder that must not change."""

    def __init__(self, data: Path, root: Path, suffix: str) -> None:
        self.data, self.root = data, root
        self.sound = root / "sound" / f"s.{suffix}"
        build_in_small_chunks(data, self.sound)
        self.expected = file_bytes(self.sound)
        self.cache, self.out, self.victim = root / "cache", root / "out", root / "victim"
        for path in (self.cache, self.out, self.victim):
            path.mkdir()
        (self.victim / "precious").write_text("somebody else's")
        self.store = self.cache / self.sound.name

    def check_all(self, damage: Callable[[Path], None], repaired: bool = True) -> None:
        """Damage a fresh copy, then run every command on it, the last of which may repair it."""
        copy_store(self.sound, self.cache)
        damage(self.store)
        for name, words in commands(self.data, self.store, self.out).items():
            code, messages = run(words)
            said = f"{name}: exit {code}: {messages[-600:]}"
            assert code in (0, 1), said
            errors = [line for line in messages.splitlines() if not line.startswith("building")]
            assert len(errors) == code or (name, errors) == ("verify", []), said
            assert all(line.startswith("error: ") for line in errors), said
            assert [path.name for path in self.victim.iterdir()] == ["precious"], said
            assert (self.victim / "precious").read_text() == "somebody else's", said
            shutil.rmtree(self.out)
            self.out.mkdir()
        with no_hang(), contextlib.suppress(EchoError, MemoryError):
            read_all(self.store)
        if code == 0 and repaired:
            assert file_bytes(self.store) == self.expected
