"""Feed the readers of AVI and CSV files with what a coverage-guided fuzzer makes up.

    python tests/faults/fuzz_readers.py --seconds 120

needs the package atheris, which no extra of this project asks for. What ends
in anything but a sound result or an error with a message is written beside
`corpus/`, as `found-READER-…`; whoever mends it moves the file into `corpus/`,
which `test_readers.py` reads at each run of the tests. With ``--keep``, so are
the inputs that reach code which none of the corpus reaches.
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
"""Bytes of an input: a sound one has about half as many."""

WORDS = {
    "avi": r"RIFF AVI\x20 LIST hdrl strl strh strf vids auds MJPG FFV1 movi rec\x20 idx1 JUNK 00dc "
    r"01dc 00db \xff\xd8 \xff\xd9 \xff\xc0",
    "csv": r"FileName Frame Split X1 .avi TRAIN NaN inf 1e308 .. / ==== \" \x00 \xef\xbb\xbf \xe9 "
    r"\x0d\x0a -1 2147483648",
}
"""What the files of each reader are made of, as libFuzzer writes it in a dictionary."""


def main() -> None:
    """Run each reader in a process of its own, as a fuzzer ends its own."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=int, default=120, help="how long for each reader")
    parser.add_argument("--reader", choices=sorted(WORDS), help="one of them alone")
    parser.add_argument("--keep", action="store_true", help="add to the corpus what is new")
    parser.add_argument("--fuzz", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.fuzz is not None:
        fuzz(given.reader, given.fuzz)
        return
    chosen = [given.reader] if given.reader else sorted(WORDS)
    sys.exit(max([run(reader, given.seconds, given.keep) for reader in chosen]))


def run(reader: str, seconds: int, keep: bool) -> int:
    """Fuzz one reader; gives the fuzzer's exit code, 0 where it found nothing."""
    _, seeds = readers()[reader]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "words").write_text("".join(f'"{word}"\n' for word in WORDS[reader].split()))
        made = folder / "made"
        made.mkdir()
        for number, seed in enumerate(seeds()):
            (made / f"seed-{number}").write_bytes(seed)
        options = [f"-max_total_time={seconds}", f"-max_len={LONGEST}", "-timeout=20"]
        options += [f"-dict={folder / 'words'}", f"-artifact_prefix={HERE}/found-{reader}-"]
        code = child(reader, [*options, str(made), str(CORPUS / reader)])
        if keep and code == 0:
            keep_new(reader, [file.read_bytes() for file in made.iterdir()], folder)
    return code


def readers() -> dict[str, Any]:
    """Import what is fuzzed, from beside this folder."""
    sys.path.insert(0, str(HERE.parent))
    from support.fuzz import READERS

    return READERS


def keep_new(reader: str, contents: list[bytes], folder: Path) -> None:
    """Add to the corpus what goes a way through the code that nothing before it went."""
    read, seeds = readers()[reader]
    known = [*seeds(), *(file.read_bytes() for file in (CORPUS / reader).iterdir())]
    gone = set().union(*(ways(read, content, folder) for content in known))
    for content in sorted(contents, key=lambda content: (len(content), content)):
        new = ways(read, content, folder) - gone
        if new:
            (CORPUS / reader / hashlib.sha1(content).hexdigest()[:16]).write_bytes(content)
            gone |= new


def ways(read: Any, content: bytes, folder: Path) -> set[tuple[str, int, int]]:
    """Each step from line to line of the preparation's code that a reader takes."""
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


def child(reader: str, options: list[str]) -> int:
    """Call this script again, to fuzz."""
    command = [sys.executable, __file__, "--reader", reader, "--fuzz", *options]
    return subprocess.run(command, check=False).returncode


def fuzz(reader: str, options: list[str]) -> None:
    """Hand the reader to the fuzzer, which ends the process."""
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
