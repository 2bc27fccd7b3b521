"""The command `echo-prep`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import click

from echo_common.cli import progress
from echo_common.cli.command import run_command
from echo_common.cli.settings import click_options, given_options
from echo_common.paper import BUILD as PAPER
from echo_prep.build.build import build
from echo_prep.build.dry_run import describe_forecast, forecast
from echo_prep.build.reuse import BuildReport
from echo_prep.dataset.rejects import count_reasons, rejects_path
from echo_prep.preview.panels import PreviewSettings
from echo_prep.preview.preview import preview
from echo_prep.settings import BuildSettings
from echo_prep.store.convert import convert
from echo_prep.store.info import describe_info, store_info
from echo_prep.store.verify import describe_fault, verify
from echo_prep.synth.archive import synthesize
from echo_prep.synth.settings import SynthSettings


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="echo-lv-segmentation")
def cli() -> None:
    """Turn an echocardiography archive into a dataset cache, once."""


@cli.command("build")
@click_options(BuildSettings)
@click.option(
    "--paper",
    is_flag=True,
    envvar="ECHO_PAPER",
    help="Take the paper's own values for all that is not set otherwise.",
)
@click.option(
    "--dry-run", is_flag=True, help="Say what would be made, and about how long it takes."
)
@click.pass_context
def build_command(ctx: click.Context, /, paper: bool, dry_run: bool, **values: Any) -> None:
    """Build a store from a data set, or add to one, or finish one that was stopped.

    Makes exactly what is missing or stale. A video or trace that is not sound
    is left out and listed with its reason in STORE.rejects.csv.
    """
    if paper:
        values |= {**PAPER, **given_options(ctx, values)}
    settings = BuildSettings(**values)
    lines = (
        describe_forecast(forecast(settings))
        if dry_run
        else describe(build(settings, progress.show))
    )
    for line in lines:
        click.echo(line)


@cli.command("info")
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the same as JSON.")
def info_command(store: Path, as_json: bool) -> None:
    """Say what STORE holds, from what and when it was made, and how large it is."""
    info = store_info(store)
    click.echo(json.dumps(info, indent=1) if as_json else "\n".join(describe_info(info)))


@cli.command("verify")
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the faults as a JSON list.")
def verify_command(store: Path, as_json: bool) -> int:
    """Read all of STORE, and name each damaged, missing or surplus chunk.

    Ends with exit code 1 if there is one; the next build mends it.
    """
    faults = verify(store)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(fault) for fault in faults], indent=1))
        return 1 if faults else 0
    for fault in faults:
        click.echo(describe_fault(fault))
    if faults:
        click.echo(
            f"{store}: {len(faults)} faults; run the same echo-prep build again to mend them"
        )
        return 1
    click.echo(f"{store}: whole")
    return 0


@cli.command("preview")
@click.argument("store", type=click.Path(path_type=Path))
@click_options(PreviewSettings)
def preview_command(store: Path, **values: Any) -> None:
    """Draw frames of STORE, with all that it holds of them, on a sheet to look at.

    Contours, masks, border bands, landmarks by their channel's number, and
    heatmaps, each the largest over its landmarks.
    """
    settings = PreviewSettings(**values)
    frames, panels = preview(store, settings)
    click.echo(f"{settings.out}: {frames} frames of {store}, {panels} panels each")


@cli.command("convert")
@click.argument("source", metavar="SRC", type=click.Path(path_type=Path))
@click.argument("target", metavar="DST", type=click.Path(path_type=Path))
def convert_command(source: Path, target: Path) -> None:
    """Write the store SRC anew as DST: HDF5 where DST ends in .h5 or .hdf5, else Zarr."""
    convert(source, target, progress.show)
    click.echo(f"{target}: the same store as {source}")


@cli.command("synth")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click_options(SynthSettings)
def synth_command(folder: Path, **values: Any) -> None:
    """Make a synthetic data set in EchoNet-Dynamic's own format.

    Apical four-chamber studies with speckle, motion and tracings, for trying
    everything out without patients' data. The same seed makes the same files.
    """
    settings = SynthSettings(**values)
    made = synthesize(folder, settings, progress.show)
    what = f"{settings.videos} synthetic videos of seed {settings.seed}"
    click.echo(f"{folder}: {what}" if made else f"nothing to do: {folder} already holds {what}")


def describe(report: BuildReport) -> list[str]:
    """Say in a few lines what a build did."""
    if report.made or report.dropped:
        told = {"made": report.made, "dropped": report.dropped, "already there:": report.kept}
        lines = [f"{what} {', '.join(names)}" for what, names in told.items() if names]
    else:
        lines = [f"nothing to do: {report.store} already holds {', '.join(report.kept)}"]
    if report.rejects:
        lines.append(
            f"left out: {count_reasons(report.rejects)}; each with its reason in "
            f"{rejects_path(report.store)}"
        )
    lines += [f"{count} traces: {note}" for note, count in report.notes.items()]
    lines.append(
        f"{report.store}: {report.rows} of {report.traced} traced frames kept, from "
        f"{report.videos} videos; {report.bytes / 1e6:.1f} MB, {report.seconds:.1f} s, "
        f"{report.videos / report.seconds:.0f} videos/s"
    )
    return lines


def main() -> None:
    """Run the command; the console script's entry point."""
    run_command(cli)
