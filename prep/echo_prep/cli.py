"""The command `echo-prep`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import click
import cloup

from echo_common.cli import progress
from echo_common.cli.command import CONTEXT, DISTRIBUTION, run_command
from echo_common.cli.options import click_options, given_options
from echo_common.cli.settings import replace
from echo_common.cli.start import importing
from echo_common.cli.values import PathText
from echo_common.paper import BUILD as PAPER
from echo_prep.preview.settings import PreviewSettings
from echo_prep.settings import BuildSettings
from echo_prep.synth.settings import SynthSettings


@cloup.group(context_settings=CONTEXT)
@click.version_option(package_name=DISTRIBUTION)
def cli() -> None:
    """Build and inspect stores: dataset caches of echocardiography archives."""


@cli.command("build")
@click_options(BuildSettings)
@click.option(
    "--paper",
    is_flag=True,
    envvar="ECHO_PAPER",
    help="Use the paper's values for everything that is not set otherwise.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Print what would be made and an estimate of the time; build nothing.",
)
@click.pass_context
def build_command(ctx: click.Context, /, paper: bool, dry_run: bool, **values: Any) -> None:
    """Build a store from a data set, extend one, or finish an interrupted build.

    Makes exactly what is missing or out of date. Faulty videos and traces are
    left out and listed with the reason in STORE.rejects.csv.
    """
    with importing():
        from echo_prep.build.build import build, forecast
        from echo_prep.build.report import describe_forecast, describe_report
    if paper:
        values |= {**PAPER, **given_options(ctx, values)}
    settings = replace(BuildSettings(), **values)
    lines = (
        describe_forecast(forecast(settings))
        if dry_run
        else describe_report(build(settings, progress.show))
    )
    for line in lines:
        click.echo(line)


@cli.command("info")
@click.argument("store", type=PathText())
@click.option("--json", "as_json", is_flag=True, help="Print the same as JSON.")
@click.option(
    "--check-ef",
    is_flag=True,
    help="Compare the ejection fraction of each video's tracings with the archive's list instead.",
)
def info_command(store: Path, as_json: bool, check_ef: bool) -> None:
    """Print the contents of STORE, its source, its date and its size."""
    with importing():
        from echo_prep.store.ef_check import compare_ef, describe_ef
        from echo_prep.store.info import describe_info, store_info
    info = compare_ef(store) if check_ef else store_info(store)
    lines = describe_ef(info) if check_ef else describe_info(info)
    click.echo(json.dumps(info, indent=1) if as_json else "\n".join(lines))


@cli.command("verify")
@click.argument("store", type=PathText())
@click.option("--json", "as_json", is_flag=True, help="Print the faults as a JSON list.")
def verify_command(store: Path, as_json: bool) -> int:
    """Read all of STORE, and list each damaged, missing or surplus chunk.

    Exits with code 1 if there is one; the next build repairs it.
    """
    with importing():
        from echo_prep.store.verify import damage_path, describe_fault, is_damage_list, verify
    faults = verify(store)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(fault) for fault in faults], indent=1))
        return 1 if faults else 0
    for fault in faults:
        click.echo(describe_fault(fault))
    if faults:
        # Without the list, which a read-only folder or a running build prevents.
        damaged = any(fault.chunk and fault.state == "damaged" for fault in faults)
        check = " with --check" if damaged and not is_damage_list(damage_path(store)) else ""
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        click.echo(f"{store}: {count}; run the same echo-prep build again{check} to repair")
        return 1
    click.echo(f"{store}: whole")
    return 0


@cli.command("preview")
@click.argument("store", type=PathText())
@click_options(PreviewSettings)
def preview_command(store: Path, **values: Any) -> None:
    """Draw frames of STORE and everything that it contains about them on a contact sheet.

    Shows contours, masks, border bands, landmarks with the number of their
    channel, and heatmaps, each as the maximum over its landmarks.
    """
    with importing():
        from echo_prep.preview.preview import preview
    settings = PreviewSettings(**values)
    frames, panels = preview(store, settings)
    click.echo(f"{settings.out}: {frames} frames of {store}, {panels} panels each")


@cli.command("convert")
@click.argument("source", metavar="SRC", type=PathText())
@click.argument("target", metavar="DST", type=PathText())
def convert_command(source: Path, target: Path) -> None:
    """Convert the store SRC to DST: HDF5 if DST ends in .h5 or .hdf5, else Zarr."""
    with importing():
        from echo_prep.store.convert import convert
    convert(source, target, progress.show)
    click.echo(f"{target}: the same store as {source}")


@cli.command("synth")
@click.argument("folder", metavar="DIR", type=PathText())
@click_options(SynthSettings)
def synth_command(folder: Path, **values: Any) -> None:
    """Make a synthetic data set in the format of EchoNet-Dynamic.

    Apical four-chamber studies with speckle, motion and tracings, to try
    everything without patient data. The same seed makes the same files.
    """
    with importing():
        from echo_prep.synth.archive import synthesize
    settings = SynthSettings(**values)
    made = synthesize(folder, settings, progress.show)
    what = f"{settings.videos} synthetic videos of seed {settings.seed}, look {settings.look}"
    click.echo(f"{folder}: {what}" if made else f"nothing to do: {folder} already holds {what}")


def main() -> None:
    """Run the command; the console script's entry point."""
    run_command(cli)
