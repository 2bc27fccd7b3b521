"""The command `echo-eval`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import click
import cloup

from echo_common.cli.command import CONTEXT, DISTRIBUTION, run_command
from echo_common.cli.options import click_options
from echo_common.cli.progress import show
from echo_common.cli.start import importing
from echo_common.cli.values import PathText
from echo_common.errors import OutputError
from echo_common.output_folder import OutputFolder
from echo_common.outputs import output_name
from echo_train.evaluation.settings import EvaluateSettings
from echo_train.runs.run_folder import CONFIG

ROBUSTNESS_TABLE = "noise.csv"
ROBUSTNESS_PICTURE = "noise.png"


@cloup.command(context_settings=CONTEXT)
@click.version_option(package_name=DISTRIBUTION)
@click.argument("runs", nargs=-1, required=True, type=PathText())
@click_options(EvaluateSettings)
def cli(runs: tuple[Path, ...], **values: Any) -> None:
    """Measure trained runs on any split, on another store, or under corruptions of the images.

    A run is a run folder or a weights file, which needs --store.
    Writes summary.json, frames.csv, videos.csv and pictures; of several runs, each has its own
    folder in --out. With --noise, also writes noise.csv and noise.png, which compare all of the
    runs.
    """
    with importing("train"):
        from echo_train.evaluation.evaluate import evaluate
        from echo_train.evaluation.measured_files import MEASURED
        from echo_train.reporting.robustness_report import (
            describe_robustness,
            robustness_csv,
            robustness_png,
        )
        from echo_train.reporting.run_rows import make_rows
        from echo_train.reporting.run_table import describe
        from echo_train.runs.run_names import common_folder, distinct_names
        from echo_train.runs.summary import read_summary
        from echo_train.runs.weights_file import model_inputs, results_folder
        from echo_train.runtime import device as devices
        from echo_train.runtime.memory import explain_full_memory
    settings = EvaluateSettings(**values)
    names = distinct_names(output_name(folder.resolve().name) for folder in runs)
    kind = "ensemble" if settings.ensemble else "eval"
    base = settings.out or common_folder([*map(results_folder, runs)]) / f"{kind}-{settings.split}"
    named = dict(zip(names, runs, strict=True))
    others = runs[1:] if settings.ensemble else ()
    if settings.ensemble:
        named = {kind: runs[0]}
    inputs = [path for folder in runs for path in model_inputs(folder)]
    inputs += [settings.store] if settings.store else []
    device = devices.pick_device(settings.device, say=click.echo)
    with (
        explain_full_memory(device, lambda: "choose --device cpu, or a store of fewer frames"),
        contextlib.ExitStack() as stack,
    ):
        shared = stack.enter_context(_open(base, inputs, settings.force))
        outputs = {
            name: stack.enter_context(_open(base / name, inputs, settings.force))
            if len(named) > 1
            else shared
            for name in named
        }
        for output in outputs.values():
            output.claim(*MEASURED)
        if settings.noise:
            shared.claim(ROBUSTNESS_TABLE, ROBUSTNESS_PICTURE)
        robustness = {
            name: evaluate(folder, outputs[name], settings, device, show, others)
            for name, folder in named.items()
        }
        folders = [output.folder for output in outputs.values()]
        rows = make_rows(folders, [read_summary(folder) for folder in folders])
        click.echo(describe(rows, every_split=True))
        if settings.noise:
            shared.write_text(ROBUSTNESS_TABLE, robustness_csv(robustness))
            shared.write_bytes(ROBUSTNESS_PICTURE, robustness_png(robustness))
            click.echo(f"\n{describe_robustness(robustness)}\n\n  {base / ROBUSTNESS_PICTURE}")


def _open(folder: Path, inputs: list[Path], force: bool) -> OutputFolder:
    if (folder / CONFIG).exists():
        raise OutputError(
            f"{folder} holds a run, whose files would be replaced; give another --out"
        )
    return OutputFolder(folder, inputs=inputs, force=force)


def main() -> None:
    """Run the command; the console script's entry point."""
    run_command(cli)
