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
@click.argument("run", type=PathText())
@click.argument("videos", nargs=-1, required=True, type=click.Path(path_type=Path))
@click_options(PredictSettings)
def cli(run: Path, videos: tuple[Path, ...], **values: Any) -> None:
    """Segment the left ventricle in videos, or in all videos of a folder, with a run's model.

    Writes for each video NAME.npz with the masks, and the landmarks of a landmark model; NAME.csv
    with the area in every frame; and NAME.mp4 with the contours drawn over the frames.
    """
    with importing("train"):
        from echo_train.prediction.predict import predict_videos
    predict_videos(run, videos, PredictSettings(**values), say=click.echo, progress=show)


def main() -> None:
    """Run the command; the console script's entry point."""
    run_command(cli)
