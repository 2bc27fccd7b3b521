"""The command `echo-report`."""

from __future__ import annotations

from pathlib import Path

import click
import cloup

from echo_common.cli.command import CONTEXT, DISTRIBUTION, run_command
from echo_common.cli.start import importing
from echo_common.cli.values import PathText
from echo_common.outputs import refuse_inputs, replace_file
from echo_train.runs.settings import FORCE_HELP

REPORT = "report.html"


@cloup.command(context_settings=CONTEXT)
@click.version_option(package_name=DISTRIBUTION)
@click.argument("runs", nargs=-1, required=True, type=PathText())
@click.option(
    "--out",
    type=PathText(dir_okay=False),
    help="The page; by default report.html in the folder of the run, or that of several runs.",
)
@click.option("--force", is_flag=True, help=FORCE_HELP)
def cli(runs: tuple[Path, ...], out: Path | None, force: bool) -> None:
    """Compare finished runs: print a table, and write a page with curves, pictures and settings.

    The folder of a sweep, or of an evaluation of several runs, stands for all runs in it.
    """
    with importing("report"):
        from echo_train.reporting.html_page import MARK, report_page
        from echo_train.reporting.paired_difference import compare_runs
        from echo_train.reporting.run_table import describe, find_runs
        from echo_train.runs.run_folder import FILES
        from echo_train.runs.run_names import common_folder
        from echo_train.runs.summary import read_summary
    folders = find_runs(runs)
    summaries = [read_summary(folder) for folder in folders]
    click.echo(describe(list(zip(folders, summaries, strict=True))))
    for sentence in compare_runs(folders, summaries):
        click.echo(f"\n{sentence}")
    path = out or common_folder(folders) / REPORT
    refuse_inputs(path, [folder / name for folder in folders for name in FILES])
    replace_file(path, report_page(folders, summaries), mark=MARK, force=force)
    click.echo(f"\n{path}")


def main() -> None:
    """Run the command; the console script's entry point."""
    run_command(cli)
