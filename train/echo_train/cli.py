"""The command `echo-train`."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import click
from echo_common.command import run_command
from echo_common.settings import click_options, from_toml, given_options

from echo_train.config import TrainSettings
from echo_train.distributed import from_environment
from echo_train.loop import train
from echo_train.report import describe
from echo_train.run import CONFIG, read_summary


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="echo-lv-segmentation")
@click_options(TrainSettings)
@click.pass_context
def cli(ctx: click.Context, /, **values: Any) -> None:
    """Train a left-ventricle segmentation from a store, and measure it."""
    settings = TrainSettings(**values)
    if settings.resume and settings.run is not None:
        # A run that goes on keeps its own settings, but for what is said anew.
        begun = from_toml(TrainSettings, settings.run / CONFIG)
        settings = dataclasses.replace(begun, **given_options(ctx, values))
    ranks = from_environment(os.environ)
    folder = train(settings, say=click.echo, quiet=False, ranks=ranks)
    if ranks.first:
        click.echo(describe([(folder, read_summary(folder))]))


def main() -> None:
    """Run the command; the console script's entry point."""
    run_command(cli)
