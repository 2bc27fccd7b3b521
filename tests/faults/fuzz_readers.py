"""Test the readers of AVI and CSV files with a coverage-guided fuzzer.

    python tests/faults/fuzz_readers.py --seconds 120

This needs the package atheris, which is not among the project's extras. Inputs
that give neither a sound result nor an error with a message are written next to
`corpus/` as `found-READER-…`. After the defect is fixed, move the file into
`corpus/`, which `test_readers.py` reads. With ``--keep``, inputs that reach code
that the corpus does not reach are added to it.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import Any

HERE = Path(__file__).resolve().parent
CORPUS = HERE / "corpus"

LONGEST = 6000
"""Largest size of an input in bytes; sound inputs have about half of it."""

WORDS = {
    "avi": r"RIFF AVI\x20 LIST hdrl strl strh strf vids auds MJPG FFV1 movi rec\x20 idx1 JUNK 00dc "
    r"01dc 00db \xff\xd8 \xff\xd9 \xff\xc0",
    "csv": r"FileName Frame Split X1 .avi TRAIN NaN inf 1e308 .. / ==== \" \x00 \xef\xbb\xbf \xe9 "
    r"\x0d\x0a -1 2147483648",
}
"""Words of each reader's files, in the syntax of libFuzzer's dictionaries."""


def main() -> None:
    """Fuzz each reader in a separate process, since the fuzzer ends its process."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=int, default=120, help="seconds per reader")
    parser.add_argument("--reader", choices=sorted(WORDS), help="fuzz only this reader")
    parser.add_argument(
        "--keep", action="store_true", help="add inputs that reach new code to the corpus"
    )
    parser.add_argument("--fuzz", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.fuzz is not None:
        fuzz(options.reader, options.fuzz)
        return
    chosen = [options.reader] if options.reader else sorted(WORDS)
    sys.exit(max([run(reader, options.seconds, options.keep) for reader in chosen]))


def run(reader: str, seconds: int, keep: bool) -> int:
    """Fuzz one reader; returns the fuzzer's exit code, 0 if it found nothing."""
    _, seeds = readers()[reader]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "words").write_text("".join(f'"{word}"\n' for word in WORDS[reader].split()))
        generated = folder / "generated"
        generated.mkdir()
        for number, seed in enumerate(seeds()):
            (generated / f"seed-{number}").write_bytes(seed)
        options = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", "-timeout=20"]
        options += [f"-dict={folder / 'words'}", f"-artifact_prefix={HERE}/found-{reader}-"]
        code = run_fuzzer(reader, [*options, str(generated), str(CORPUS / reader)])
        if keep and code == 0:
            keep_new(reader, [file.read_bytes() for file in generated.iterdir()], folder)
    return code


def readers() -> dict[str, Any]:
    """Import the checks from the folder tests/support."""
    sys.path.insert(0, str(HERE.parent))
    from support.fuzz import READERS

    return READERS


def keep_new(reader: str, contents: list[bytes], folder: Path) -> None:
    """Add the inputs to the corpus that take a step through the code that no earlier one takes."""
    read, seeds = readers()[reader]
    known = [*seeds(), *(file.read_bytes() for file in (CORPUS / reader).iterdir())]
    covered = set().union(*(line_steps(read, content, folder) for content in known))
    for content in sorted(contents, key=lambda content: (len(content), content)):
        new = line_steps(read, content, folder) - covered
        if new:
            (CORPUS / reader / hashlib.sha1(content).hexdigest()[:16]).write_bytes(content)
            covered |= new


def line_steps(read: Any, content: bytes, folder: Path) -> set[tuple[str, int, int]]:
    """Steps from line to line that a reader takes through the code of echo_prep."""
    taken: set[tuple[str, int, int]] = set()

    def follow(frame: FrameType, event: str, argument: object) -> Any:
        if "echo_prep" not in frame.f_code.co_filename:
            return None
        before = frame.f_lineno

        def step(frame: FrameType, event: str, argument: object) -> Any:
            nonlocal before
            taken.add((frame.f_code.co_filename, before, frame.f_lineno))
            before = frame.f_lineno
            return step

        return step

    sys.settrace(follow)
    try:
        read(content, folder)
    finally:
        sys.settrace(None)
    return taken


def run_fuzzer(reader: str, options: list[str]) -> int:
    """Run this script again as the process that fuzzes."""
    command = [sys.executable, __file__, "--reader", reader, "--fuzz", *options]
    return subprocess.run(command, check=False).returncode


def fuzz(reader: str, options: list[str]) -> None:
    """Start the fuzzer, which ends the process."""
    import atheris

    with atheris.instrument_imports(include=["echo_prep"]):
        read, _ = readers()[reader]
    with tempfile.TemporaryDirectory() as name:

        def attempt(content: bytes) -> None:
            try:
                read(content, Path(name))
            except Exception:
                digest = hashlib.sha1(content).hexdigest()
                (HERE / f"found-{reader}-{digest}").write_bytes(content)
                raise

        atheris.Setup([sys.argv[0], *options], attempt)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
