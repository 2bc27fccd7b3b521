"""The command `echo-report`."""

from __future__ import annotations

from pathlib import Path

import click
import cloup

from echo_common.cli.command import CONTEXT, DISTRIBUTION, run_command
from echo_common.cli.start import importing
from echo_common.cli.values import PathText
from echo_common.errors import SettingsError
from echo_common.outputs import refuse_inputs, replace_file
from echo_train.runs.settings import FORCE_HELP

REPORT = "report.html"


@cloup.command(context_settings=CONTEXT)
@click.version_option(package_name=DISTRIBUTION)
@click.argument("runs", nargs=-1, required=True, type=PathText())
@click.option("--sort", help="Setting or metric to sort by, such as test.dice; -KEY reverses it.")
@click.option(
    "--filter",
    "terms",
    multiple=True,
    metavar="TERM",
    help="Keep runs with a setting or metric, such as width=16, loss=bce,dice or test.dice>0.9; "
    "several options all apply.",
)
@click.option(
    "--baseline",
    type=PathText(),
    help="Run that the others are compared with, frame by frame; default: the first.",
)
@click.option(
    "--average",
    is_flag=True,
    help="Show runs that differ only in seed or fold as one row: mean ± standard deviation.",
)
@click.option("--csv", "csv_path", type=PathText(dir_okay=False), help="Write the table as CSV.")
@click.option(
    "--out",
    type=PathText(dir_okay=False),
    help="The page; by default report.html in the folder of the run, or that of several runs.",
)
@click.option("--force", is_flag=True, help=FORCE_HELP)
def cli(
    runs: tuple[Path, ...],
    sort: str | None,
    terms: tuple[str, ...],
    baseline: Path | None,
    average: bool,
    csv_path: Path | None,
    out: Path | None,
    force: bool,
) -> None:
    """Compare finished runs: print a table, and write a page with curves, pictures and settings.

    The folder of a sweep, or of an evaluation of several runs, means all runs in it.
    """
    with importing("report"):
        from echo_train.reporting.html_page import MARK, report_page
        from echo_train.reporting.paired_difference import compare_rows
        from echo_train.reporting.run_rows import average_rows, filter_rows, make_rows, sort_rows
        from echo_train.reporting.run_table import (
            CSV_MARK,
            describe,
            find_runs,
            report_csv,
        )
        from echo_train.runs.run_folder import FILES
        from echo_train.runs.run_names import common_folder
        from echo_train.runs.summary import read_summary
    folders = find_runs(runs)
    if baseline is not None and baseline.resolve() not in [path.resolve() for path in folders]:
        folders.insert(0, baseline)
    path = out or common_folder(folders) / REPORT
    outputs = [path, *([csv_path] if csv_path else [])]
    for output in outputs:
        refuse_inputs(output, [folder / name for folder in folders for name in FILES])
    rows = make_rows(folders, [read_summary(folder) for folder in folders])
    if average:
        rows = average_rows(rows)
    first = next(
        row
        for row in rows
        if baseline is None or baseline.resolve() in [path.resolve() for path in row.folders]
    )
    kept = filter_rows(rows, terms)
    if not kept:
        raise SettingsError(f"no run of {len(folders)} matches {' and '.join(terms)}")
    # The baseline stays, so that the differences have their reference in the table.
    kept = [row for row in rows if row in kept or (row is first and baseline is not None)]
    if first not in kept:
        first = kept[0]
    if sort is not None:
        kept = sort_rows(kept, sort)
    differences = compare_rows(kept, first)
    click.echo(describe(kept, differences))
    if any(differences):
        click.echo(f"\ndifference: Dice minus that of {first.name}, on the same frames")
    page = report_page(kept, differences, first, path.absolute().parent)
    replace_file(path, page, mark=MARK, force=force)
    if csv_path is not None:
        replace_file(csv_path, report_csv(kept, differences).encode(), mark=CSV_MARK, force=force)
        click.echo(f"\n{csv_path}")
    click.echo(f"\n{path}")


def main() -> None:
    """Run the command; the console script's entry point."""
    run_command(cli)
