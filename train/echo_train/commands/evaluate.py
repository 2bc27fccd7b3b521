"""The command `echo-eval`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import cloup

from echo_common import atomic
from echo_common.cli.command import CONTEXT, DISTRIBUTION, run_command
from echo_common.cli.options import click_options
from echo_common.cli.progress import show
from echo_common.cli.start import importing
from echo_common.cli.values import PathText
from echo_train.evaluation.settings import EvaluateSettings

ROBUSTNESS_TABLE = "noise.csv"
ROBUSTNESS_PICTURE = "noise.png"


@cloup.command(context_settings=CONTEXT)
@click.version_option(package_name=DISTRIBUTION)
@click.argument("runs", nargs=-1, required=True, type=PathText())
@click_options(EvaluateSettings)
def cli(runs: tuple[Path, ...], **values: Any) -> None:
    """Measure trained runs on any split, on another store, or under corruptions of the images.

    Writes summary.json, frames.csv and overlay.png; of several runs, each has its own folder in
    --out. With --noise, also writes noise.csv and noise.png, which compare all of the runs.
    """
    with importing("train"):
        from echo_train.evaluation.evaluate import evaluate
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
        from echo_train.runtime.memory import explain_full_memory
    settings = EvaluateSettings(**values)
    names = distinct_names(folder.resolve().name for folder in runs)
    base = settings.out or common_folder(runs) / f"eval-{settings.split}"
    named = dict(zip(names, runs, strict=True))
    outs = {name: base / name if len(named) > 1 else base for name in named}
    robustness: dict[str, list[RobustnessRow]] = {}
    device = devices.pick_device(settings.device, say=click.echo)
    with explain_full_memory(device, lambda: "choose --device cpu, or a store of fewer frames"):
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
