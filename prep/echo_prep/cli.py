"""The command `echo-prep`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from echo_common import progress
from echo_common.command import run_command
from echo_common.settings import click_options

from echo_prep.build import BuildReport, build
from echo_prep.config import BuildSettings
from echo_prep.rejects import count_reasons, rejects_path
from echo_prep.synth.archive import synthesize
from echo_prep.synth.settings import SynthSettings


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="echo-lv-segmentation")
def cli() -> None:
    """Turn an echocardiography archive into a dataset cache, once."""


@cli.command("build")
@click_options(BuildSettings)
def build_command(**values: Any) -> None:
    """Build a store from a data set, or add to one, or finish one that was stopped.

    Makes exactly what is missing or stale. A video or trace that is not sound
    is left out and listed with its reason in STORE.rejects.csv.
    """
    report = build(BuildSettings(**values), progress.show)
    for line in describe(report):
        click.echo(line)


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
    if report.made:
        lines = [f"made {', '.join(report.made)}"]
        if report.kept:
            lines.append(f"already there: {', '.join(report.kept)}")
    else:
        lines = [f"nothing to do: {report.store} already holds {', '.join(report.kept)}"]
    if report.rejects:
        lines.append(
            f"left out: {count_reasons(report.rejects)}; each with its reason in "
            f"{rejects_path(report.store)}"
        )
    lines.append(
        f"{report.store}: {report.rows} of {report.traced} traced frames kept, from "
        f"{report.videos} videos; {report.bytes / 1e6:.1f} MB, {report.seconds:.1f} s, "
        f"{report.videos / report.seconds:.0f} videos/s"
    )
    return lines


def main() -> None:
    """Run the command; the console script's entry point."""
    run_command(cli)
