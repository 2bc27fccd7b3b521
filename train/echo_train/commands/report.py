"""The command `echo-report`."""

from __future__ import annotations

from pathlib import Path

import click
import cloup

from echo_common.cli.command import CONTEXT, DISTRIBUTION, run_command
from echo_common.cli.start import importing
from echo_common.cli.values import PathText

REPORT = "report.html"


@cloup.command(context_settings=CONTEXT)
@click.version_option(package_name=DISTRIBUTION)
@click.argument("runs", nargs=-1, required=True, type=PathText())
@click.option(
    "--out",
    type=PathText(dir_okay=False),
    help="The page; by default report.html in the folder of the run, or that of several runs.",
)
def cli(runs: tuple[Path, ...], out: Path | None) -> None:
    """Compare finished runs: print a table, and write a page with curves, pictures and settings.

    The folder of a sweep, or of an evaluation of several runs, stands for all runs in it.
    """
    with importing("report"):
        from echo_train.reporting.html_page import write_page
        from echo_train.reporting.paired_difference import compare_runs
        from echo_train.reporting.run_table import describe, find_runs
        from echo_train.runs.run_folder import read_summary
        from echo_train.runs.run_names import common_folder
    folders = find_runs(runs)
    summaries = [read_summary(folder) for folder in folders]
    click.echo(describe(list(zip(folders, summaries, strict=True))))
    for sentence in compare_runs(folders, summaries):
        click.echo(f"\n{sentence}")
    path = out or common_folder(folders) / REPORT
    write_page(path, folders, summaries)
    click.echo(f"\n{path}")


def main() -> None:
    """Run the command; the console script's entry point."""
    run_command(cli)
