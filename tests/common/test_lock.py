"""One build of a store at a time, and no lock of the dead."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from echo_common.errors import OutputError, StoreLockedError
from echo_common.lock import build_lock, lock_path

HOLDER = """
import sys, time
from pathlib import Path
from echo_common.lock import build_lock
with build_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_the_second_process_is_told_which_one_holds_the_lock(tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    with (
        build_lock(store),
        pytest.raises(StoreLockedError, match=f"being built by process {os.getpid()} on "),
        build_lock(store),
    ):
        pass
    with build_lock(store), build_lock(tmp_path / "b.zarr"):
        pass


def test_the_lock_is_released_when_the_build_fails(tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    with pytest.raises(ZeroDivisionError), build_lock(store):
        raise ZeroDivisionError
    with build_lock(store):
        pass


def test_a_killed_process_holds_no_lock(tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    command = [sys.executable, "-c", HOLDER, str(store)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StoreLockedError, match=f"process {holder.pid} "), build_lock(store):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert f"process {holder.pid} " in lock_path(store).read_text()
    started = time.monotonic()
    with build_lock(store):
        assert lock_path(store).read_text().startswith(f"process {os.getpid()} on ")
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("length", range(20))
def test_a_process_killed_while_writing_its_name_holds_no_lock(tmp_path: Path, length: int) -> None:
    store = tmp_path / "a.zarr"
    lock_path(store).write_text("process 12 on host\n"[:length])
    with build_lock(store):
        pass


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(handle: int, operation: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", refuse)
    store = tmp_path / "a.zarr"
    with (
        build_lock(store),
        pytest.raises(StoreLockedError, match="being built by process"),
        build_lock(store),
    ):
        pass
    with build_lock(store):
        pass


def test_a_foreign_file_is_left_unchanged(tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    lock_path(store).write_text("my notes\n")
    with pytest.raises(OutputError, match="not a lock of this software"), build_lock(store):
        pass
    assert lock_path(store).read_text() == "my notes\n"
    lock_path(store).unlink()
    os.mkfifo(lock_path(store))
    with pytest.raises(OutputError, match="not a lock of this software"), build_lock(store):
        pass
