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
from echo_train.reporting.robustness_report import (
    RobustnessRow,
    describe_robustness,
    draw_robustness,
    robustness_csv,
)
from echo_train.reporting.run_table import describe
from echo_train.runs.run_folder import read_summary
from echo_train.runs.run_names import common_folder, distinct_names
from echo_train.runtime import device as devices

ROBUSTNESS_TABLE = "noise.csv"
ROBUSTNESS_PICTURE = "noise.png"


def out_folder(runs: Sequence[Path], settings: EvaluateSettings) -> Path:
    """Folder for the results: `--out`, or a folder in that of the run or of several runs."""
    if settings.out is not None:
        return settings.out
    return common_folder(runs) / f"eval-{settings.split}"


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="echo-lv-segmentation")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click_options(EvaluateSettings)
def cli(runs: tuple[Path, ...], **values: Any) -> None:
    """Measure trained runs on any split, on another store, or under corruptions of the images.

    Writes summary.json, frames.csv and overlay.png; of several runs, each has its own folder in
    --out. With --noise, also writes noise.csv and noise.png, which compare all of the runs.
    """
    settings = EvaluateSettings(**values)
    names = distinct_names(folder.resolve().name for folder in runs)
    base, named = out_folder(runs, settings), dict(zip(names, runs, strict=True))
    outs = {name: base / name if len(named) > 1 else base for name in named}
    robustness: dict[str, list[RobustnessRow]] = {}
    device = devices.pick_device(settings.device)
    with devices.explain_full_memory(device, "choose --device cpu, or a store of fewer frames"):
        for name, folder in named.items():
            robustness[name] = evaluate(folder, outs[name], settings, device, progress=show)
    click.echo(describe([(out, read_summary(out)) for out in outs.values()], every_split=True))
    if settings.noise:
        atomic.write_text(base / ROBUSTNESS_TABLE, robustness_csv(robustness))
        draw_robustness(base / ROBUSTNESS_PICTURE, robustness)
        click.echo(f"\n{describe_robustness(robustness)}\n\n  {base / ROBUSTNESS_PICTURE}")


def main() -> None:
    """Run the command; the console script's entry point."""
    run_command(cli)
