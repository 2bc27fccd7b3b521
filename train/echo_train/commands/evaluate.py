"""The command `echo-eval`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from echo_common import atomic
from echo_common.cli.command import run_command
from echo_common.cli.progress import show
from echo_common.cli.settings import click_options
from echo_train.evaluation.evaluate import EvaluateSettings, evaluate
from echo_train.reporting.plots import draw_noise
from echo_train.reporting.robustness_table import NoiseRow, describe_noise, noise_table
from echo_train.reporting.run_table import describe
from echo_train.runs.run_folder import read_summary
from echo_train.runs.run_names import common_folder, distinct_names
from echo_train.runtime import device as devices

NOISE_TABLE = "noise.csv"
NOISE_PICTURE = "noise.png"


def out_folder(runs: Sequence[Path], settings: EvaluateSettings) -> Path:
    """Where the results go: `--out`, or a folder in the run or, of several, beside them."""
    if settings.out is not None:
        return settings.out
    return common_folder(runs) / f"eval-{settings.split}"


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="echo-lv-segmentation")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click_options(EvaluateSettings)
def cli(runs: tuple[Path, ...], **values: Any) -> None:
    """Measure trained runs on any split, on another store, or under corruptions of the images.

    Each run's results are a summary.json, a frames.csv and an overlay.png; of several runs, each
    has a folder of its own in --out. With --noise there are a noise.csv and a noise.png of all
    of them.
    """
    settings = EvaluateSettings(**values)
    names = distinct_names(folder.resolve().name for folder in runs)
    base, named = out_folder(runs, settings), dict(zip(names, runs, strict=True))
    outs = {name: base / name if len(named) > 1 else base for name in named}
    noise: dict[str, list[NoiseRow]] = {}
    device = devices.pick_device(settings.device)
    with devices.explain_full_memory(device, "choose --device cpu, or a store of fewer frames"):
        for name, folder in named.items():
            noise[name] = evaluate(folder, outs[name], settings, device, progress=show)
    click.echo(describe([(out, read_summary(out)) for out in outs.values()], every_split=True))
    if settings.noise:
        atomic.write_text(base / NOISE_TABLE, noise_table(noise))
        draw_noise(base / NOISE_PICTURE, noise)
        click.echo(f"\n{describe_noise(noise)}\n\n  {base / NOISE_PICTURE}")


def main() -> None:
    """Run the command; the console script's entry point."""
    run_command(cli)
