"""CPU time that each command takes to print its help, its version and a completion.

    python benchmarks/startup.py

A row holds the median over several processes, user and system time together,
next to that of a Python that does nothing. docs/benchmarks.md has the results.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path

import click
from helpers import describe_machine, print_row

COMMANDS = (
    ("echo-prep",),
    *(("echo-prep", name) for name in ("build", "info", "verify", "preview", "convert", "synth")),
    ("echo-train",),
    ("echo-eval",),
    ("echo-predict",),
    ("echo-report",),
)


@click.command()
@click.option("--runs", default=7, show_default=True, help="Processes per row.")
def main(runs: int) -> None:
    """Measure the start-up of every command."""
    print(f"machine: {describe_machine()}\n")
    print_row("python -c pass", seconds([sys.executable, "-c", "pass"], runs))
    for name, *subcommand in COMMANDS:
        words = [str(Path(sys.executable).with_name(name)), *subcommand]
        label = " ".join([name, *subcommand])
        print_row(f"{label} --help", seconds([*words, "--help"], runs))
        if not subcommand:
            print_row(f"{label} --version", seconds([*words, "--version"], runs))
            variable = f"_{name.upper().replace('-', '_')}_COMPLETE"
            typed = {variable: "bash_complete", "COMP_WORDS": f"{name} --", "COMP_CWORD": "1"}
            print_row(f"{label}, completion of --", seconds(words, runs, typed))


def seconds(words: list[str], runs: int, variables: dict[str, str] | None = None) -> str:
    """CPU time of a process as text: the median over some runs, after one that is not counted."""
    times = []
    for _ in range(runs + 1):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            words, check=True, stdout=subprocess.DEVNULL, env={**os.environ, **(variables or {})}
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    return f"{statistics.median(times[1:]):.2f} s"


if __name__ == "__main__":
    main()
