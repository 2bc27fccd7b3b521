"""The command `echo-predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import cloup

from echo_common.cli.command import CONTEXT, DISTRIBUTION, run_command
from echo_common.cli.options import click_options
from echo_common.cli.progress import show
from echo_common.cli.start import importing
from echo_common.cli.values import PathText
from echo_train.prediction.settings import PredictSettings


@cloup.command(context_settings=CONTEXT)
@click.version_option(package_name=DISTRIBUTION)
@click.argument(
    "paths", nargs=-1, required=True, metavar="[RUN...] CLIP|FOLDER...", type=PathText()
)
@click_options(PredictSettings)
def cli(paths: tuple[Path, ...], **values: Any) -> None:
    """Segment the left ventricle in clips, or in all clips of a folder, and measure it.

    A folder that contains config.toml is a run, and so are a weights file and the names
    synthetic-landmarks and synthetic-mask; the predictions of several runs are averaged. Without a
    run, synthetic-landmarks segments, whose weights have seen no real heart. Writes measures.csv
    with a row for each clip, and for each clip NAME.csv with the measures of every frame, NAME.png
    with its curves and its ED and ES frames, NAME.mp4 with the contours over the frames, NAME.json
    with the contours, and NAME.npz with the masks. For research use only.
    """
    with importing("train"):
        from echo_train.prediction.predict import predict_clips
    predict_clips(paths, PredictSettings(**values), say=click.echo, progress=show)


def main() -> None:
    """Run the command; the console script's entry point."""
    run_command(cli)
