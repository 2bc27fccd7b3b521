"""Commands as their console scripts run them, in this process."""

from __future__ import annotations

import csv
from pathlib import Path

import click
import pytest

from echo_common.cli.command import run_command


def exit_code(command: click.Command, *arguments: str | Path) -> int:
    """Run a command with arguments, and return its exit code."""
    with pytest.raises(SystemExit) as end:
        run_command(command, args=[str(argument) for argument in arguments])
    return int(end.value.code or 0)


def csv_rows(path: Path) -> list[dict[str, str]]:
    """Read the rows of a CSV file."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
