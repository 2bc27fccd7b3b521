"""Standard streams and Ctrl-C of a console script, in processes of their own."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from echo_common.cli.start import importing

CLOSED = """
import os, sys
from echo_common.cli.start import open_streams
open_streams()
file = os.open(sys.argv[1], os.O_CREAT | os.O_WRONLY)
assert file > 2, file
os.write(2, b"a library's warning")
print("said", file=sys.stderr)
print("told")
sys.stdout.flush()
os._exit(0)
"""


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_a_closed_stream_is_never_a_file(closed: str, tmp_path: Path) -> None:
    words = [sys.executable, "-c", CLOSED, str(tmp_path / "store")]
    quoted = " ".join(f"'{word}'" if "\n" not in word else '"$CODE"' for word in words)
    done = subprocess.run(
        ["sh", "-c", f"{quoted} {closed}"], env={"CODE": CLOSED}, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "store").read_bytes() == b""


def test_messages_without_a_reader_stop_nothing() -> None:
    code = (
        "import sys; from echo_common.cli.start import open_streams; open_streams(); "
        "sys.stdin.read(); [print('x' * 100, file=sys.stderr) for _ in range(10000)]; print('end')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin and process.stdout and process.stderr
    process.stderr.close()
    process.stdin.close()
    assert process.stdout.read() == b"end\n"
    assert process.wait() == 0


def test_control_characters_are_spelled_out() -> None:
    text = "a\x1b[31mred\x07\r\u202eb\tc\x9bd é\udcff"
    code = (
        "import sys; from echo_common.cli.start import open_streams; open_streams(); "
        f"print({text!r}); print({text!r}, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", code], capture_output=True, text=True
    )
    wanted = "a\\x1b[31mred\\x07\\x0d\\u202eb\tc\\x9bd é\\udcff\n"
    assert (done.stdout, done.stderr) == (wanted, wanted)


SLOW = """
import time
print("importing", flush=True)
time.sleep({seconds})
def main():
    print("done", flush=True)
"""


def _interrupt_while_importing(folder: Path, ignored: bool, seconds: float) -> tuple[int, bytes]:
    (folder / "slow.py").write_text(SLOW.format(seconds=seconds))
    before = signal.SIG_IGN if ignored else signal.default_int_handler
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; sys.path.insert(0, sys.argv[1]); "
            "from echo_common.cli.start import start; start('slow')",
            str(folder),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, before),
    )
    assert process.stdout
    assert process.stdout.readline() == b"importing\n"
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[0]
    return process.returncode, said


def test_ctrl_c_while_importing_is_one_line(tmp_path: Path) -> None:
    assert _interrupt_while_importing(tmp_path, False, 60) == (130, b"\ninterrupted\n")


def test_a_background_job_goes_on(tmp_path: Path) -> None:
    assert _interrupt_while_importing(tmp_path, True, 0.2) == (0, b"done\n")


def test_native_windows_is_told_what_it_needs() -> None:
    code = (
        "import os; os.name = 'nt'; from echo_common.cli.start import start; start('antigravity')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: on Windows") and "WSL2" in line


def test_a_deleted_working_folder_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    with pytest.raises(SystemExit, match="the working folder was deleted"), importing("train"):
        raise AssertionError("torch would be imported")
    with importing():
        pass
