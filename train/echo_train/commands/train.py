"""The command `echo-train`."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import cloup

from echo_common.cli.command import CONTEXT, DISTRIBUTION, run_command
from echo_common.cli.options import click_options, given_options
from echo_common.cli.settings import from_toml, replace
from echo_common.cli.start import INTERRUPTED, importing
from echo_common.errors import SettingsError
from echo_common.paper import PRESETS
from echo_train.experiments.settings import ALL, SweepSettings


@cloup.command(context_settings=CONTEXT)
@click.version_option(package_name=DISTRIBUTION)
@click_options(SweepSettings)
@click.option(
    "--preset",
    type=click.Choice([*PRESETS, ALL]),
    envvar="ECHO_PRESET",
    help="Defaults from the paper's experiment; all: run the four experiments and make table 1.",
)
@click.option(
    "--dry-run",
    is_flag=True,
    help="Print memory, parameters, steps and a forecast of the time; train and write nothing.",
)
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    envvar="ECHO_PROCESSES",
    help="Processes of this machine that train one network, each on a GPU of its own.",
)
@click.pass_context
def cli(
    ctx: click.Context, /, preset: str | None, dry_run: bool, processes: int, **values: Any
) -> None:
    """Train a left-ventricle segmentation on a store, and measure it.

    With --grid, train a run for each combination of settings, and with --seeds or --folds one for
    each seed or fold. To train one network on several machines, use torchrun with -m -- echo_train
    and the same options.
    """
    with importing("train"):
        from torch.distributed.elastic.multiprocessing.errors import record

        from echo_common.store.reader import EchoStore
        from echo_train.experiments.comparison import SWEEP, best_run
        from echo_train.experiments.comparison import describe as describe_sweep
        from echo_train.experiments.paper import TABLE, experiments, repeat
        from echo_train.experiments.presets import choose_for_preset, differences
        from echo_train.experiments.search import search
        from echo_train.experiments.sweep import sweep
        from echo_train.networks.architecture import network_settings
        from echo_train.reporting.run_rows import make_rows
        from echo_train.reporting.run_table import describe
        from echo_train.runs.run_folder import CONFIG, read_config
        from echo_train.runs.summary import read_summary
        from echo_train.runtime.distributed import Process
        from echo_train.runtime.launch import launch
        from echo_train.training.resume import initial_model
        from echo_train.training.train import dry_run as run_dry
        from echo_train.training.train import train
    process = Process.from_environment(os.environ)
    if processes > 1 and process.world_size == 1:
        sys.exit(launch(processes, "echo_train", sys.argv[1:]))
    given = given_options(ctx, values)
    if dry_run and given.get("resume"):
        raise SettingsError("--dry-run is for a new run; omit --resume")
    if preset == ALL:
        if process.world_size > 1:
            raise SettingsError("--preset all trains in one process; start without torchrun")
        if dry_run:
            for name, settings in experiments(given).items():
                click.echo(f"{name}:")
                run_dry(settings, click.echo)
            return
        folder = repeat(given, say=click.echo, quiet=False)
        click.echo(f"{(folder / TABLE).with_suffix('.md').read_text(encoding='utf-8')}\n{folder}")
        return
    said = {**PRESETS.get(preset or "", {}), **given}
    settings = replace(SweepSettings(), **said)
    if settings.folder.resume and settings.folder.run is not None:
        # A resumed run keeps its settings, except for those that are given again.
        begun = from_toml(SweepSettings, settings.folder.run / CONFIG)
        # An empty file would be a run of the defaults.
        read_config(settings.folder.run)
        settings = replace(begun, **said)
    elif initial := initial_model(settings):
        followed = {
            **network_settings(initial.network),
            "phase_channel": initial.settings.data.phase_channel,
        }
        settings = replace(settings, **{**followed, **said})
    if preset is not None:
        choice = choose_for_preset(settings, given)
        for note in differences(EchoStore(settings.selection.store), choice):
            if process.is_first:
                click.echo(note)
    if dry_run:
        runs = list(settings.runs().values())
        if len(runs) > 1:
            click.echo(f"the first of {len(runs)} runs:")
        run_dry(runs[0], click.echo, process)
        return
    if settings.axes() or settings.search:
        if process.world_size > 1:
            raise SettingsError(
                "--grid, --seeds, --folds and --search train each run in one process; start "
                "without torchrun"
            )
        run_all = search if settings.search else sweep
        folder = run_all(settings, say=click.echo, quiet=False)
        click.echo(f"{describe_sweep(folder)}\n\n{folder / SWEEP}")
        click.echo(f"\n{_next_commands(best_run(folder), folder)}")
        return
    # torchrun repeats the message of the process that failed first.
    run: Callable[..., Any] = train if process.world_size == 1 else record(train)
    try:
        folder = run(settings.single_run(), say=click.echo, quiet=False, process=process)
    except KeyboardInterrupt:
        if process.is_first:
            raise
        sys.exit(INTERRUPTED)
    if process.is_first:
        click.echo(describe(make_rows([folder], [read_summary(folder)])))
        click.echo(f"\n{_next_commands(folder, folder)}")


def _next_commands(best: Path, report: Path) -> str:
    run = shlex.quote(str(best))
    which = "next" if best == report else f"best on the validation frames: {best}; next"
    return f"{which}: echo-predict {run} VIDEO; echo-report {shlex.quote(str(report))}"


def main() -> None:
    """Run the command; the console script's entry point."""
    try:
        run_command(cli)
    except SystemExit as end:
        distributed = sys.modules.get("echo_train.runtime.distributed")
        if distributed is not None:
            distributed.leave(end.code)
        raise
