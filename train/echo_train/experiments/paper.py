"""The paper's four experiments, trained one after the other, and its table 1 with our results.

`echo-train --preset all` calls `repeat`. The paper validates on its test images after each epoch,
so the table holds the metrics of the last epoch on training and validation frames.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from echo_common.cli.settings import replace, to_table, to_toml
from echo_common.errors import RunError, SettingsError
from echo_common.output_folder import OutputFolder
from echo_common.paper import CURVES, PRESETS, PUBLISHED
from echo_common.store.reader import EchoStore
from echo_common.tables import csv_table, markdown_table
from echo_train.data.frame_set import read_frame_set
from echo_train.data.splits import split_frames
from echo_train.experiments.presets import choose_for_preset, differences
from echo_train.experiments.settings import ALL, WorkerSettings, refuse_automatic
from echo_train.experiments.sweep import choose_base, train_each
from echo_train.reporting.plots import experiment_png
from echo_train.runs import run_folder
from echo_train.runs.summary import read_summary
from echo_train.training.preparation import Say
from echo_train.training.resume import check_settings, explain_interruption
from echo_train.training.settings import TrainSettings

_WORKERS = [field.name for field in dataclasses.fields(WorkerSettings)]

TABLE = "table1"
"""Stem of table1.md and table1.csv."""

FIRST_FIGURE = 9
"""Number of the paper's figure of experiment 1; the others follow in order."""


def repeat(given: Mapping[str, Any], say: Say = lambda line: None, quiet: bool = True) -> Path:
    """Train each experiment that is not finished, and compare all with the paper.

    Parameters
    ----------
    given : mapping
        Settings by field that take precedence over every experiment's own. `run` is the folder of
        all experiments; with `resume`, finished experiments are kept and an interrupted one is
        resumed.
    say, quiet
        As `echo_train.training.train.train` takes them.

    Returns
    -------
    folder : Path
        Holds a run folder for each experiment, config.toml, table1.md, table1.csv and figure-9.png
        to figure-12.png.

    Raises
    ------
    SettingsError, StoreError, RunError
        As `echo_train.training.train.train` does.
    """
    runs = experiments(given)
    workers = WorkerSettings(**{name: given[name] for name in _WORKERS if name in given})
    workers.check()
    for line in _check(list(runs.values()), given):
        say(line)
    run, resume = given.get("run"), given.get("resume", False)
    base = choose_base(run, resume, "paper")
    stores = [settings.selection.store for settings in runs.values()]
    with (
        explain_interruption(base, f"--config {base / run_folder.CONFIG} "),
        run_folder.open_run_folder(base, resume, stores) as output,
    ):
        if resume:
            output.adopt(run_folder.CONFIG, *_results(runs))
        output.claim(*_results(runs))
        if not resume:
            output.write_text(run_folder.CONFIG, _config(given))
        for name, settings in runs.items():
            if (base / name / run_folder.SUMMARY).exists():
                _check_finished(base / name, settings)
        train_each(base, runs, say, quiet, workers)
        write_report(output, list(runs))
    return base


def experiments(given: Mapping[str, Any]) -> dict[str, TrainSettings]:
    """Settings of each experiment by its name, without a run folder.

    Raises
    ------
    SettingsError
        If several seeds or folds are asked for too, or a size is ``auto``.
    """
    if given.get("seeds", 1) > 1 or any(given.get(name) for name in ("folds", "grid", "search")):
        raise SettingsError(
            "--preset all trains each experiment once; leave out --seeds and --folds, --grid and "
            "--search"
        )
    own = {name: value for name, value in given.items() if name not in ("run", "resume")}
    own = _of_runs(own)
    runs = {name: replace(TrainSettings(), **{**preset, **own}) for name, preset in PRESETS.items()}
    refuse_automatic(runs.values())
    return runs


def write_report(output: OutputFolder, names: list[str]) -> None:
    """Write table1.md, table1.csv and a figure for each of some finished experiments.

    Parameters
    ----------
    output : OutputFolder
        Of all experiments.
    """
    base, rows = output.folder, []
    for name in names:
        history = run_folder.read_metrics(base / name)
        summary = read_summary(base / name)
        rows.append(table_row(name, history, summary))
        figure = experiment_png(
            history,
            PUBLISHED[name],
            CURVES.get(name),
            PRESETS[name]["epochs"],
            title=f"Experiment {_number(name)}: {summary['choice']}",
        )
        output.write_bytes(_figure(name), figure)
    table = [list(rows[0]), *(list(row.values()) for row in rows)]
    output.write_text(f"{TABLE}.csv", csv_table(table))
    output.write_text(f"{TABLE}.md", describe(rows))


def table_row(
    name: str, history: list[run_folder.EpochRow], summary: Mapping[str, Any]
) -> dict[str, Any]:
    """A row of table1.csv: metrics of one experiment's last epoch, with the paper's values.

    Parameters
    ----------
    name : str
        Of the preset.
    summary : mapping
        From summary.json; the paper's test images are the validation split.

    Raises
    ------
    RunError
        If the summary has no floor.
    """
    last, published, settings = history[-1], PUBLISHED[name], summary["settings"]
    try:
        floor = summary["val"]["floor"]
        black, mean_mask = floor["black"], floor["mean_mask"]
    except KeyError as error:
        raise RunError(
            f"the {run_folder.SUMMARY} of {name} has no floor; train the experiment again in a new "
            "folder"
        ) from error
    return {
        "experiment": name,
        "trained_on": summary["choice"],
        "network": settings["network"],
        "width": settings["width"],
        "split_by": settings["split_by"],
        "epochs": len(history),
        "train_pixel_accuracy": round(last.train_pixel_accuracy, 4),
        "paper_train_dice": published.train_dice,
        "test_pixel_accuracy": round(last.val_pixel_accuracy, 4),
        "paper_test_dice": published.test_dice,
        "black_pixel_accuracy": round(black["pixel_accuracy"]["mean"], 4),
        "mean_mask_pixel_accuracy": round(mean_mask["pixel_accuracy"]["mean"], 4),
        "train_foreground_dice": round(last.train_dice, 4),
        "test_foreground_dice": round(last.val_dice, 4),
        "mean_mask_foreground_dice": round(mean_mask["dice"]["mean"], 4),
        "train_loss": round(last.train_loss, 4),
        "paper_train_loss": published.train_loss,
        "test_loss": round(last.val_loss, 4),
        "paper_test_loss": published.test_loss,
        "seconds": round(summary["seconds"], 1),
        "paper_seconds": published.seconds,
        "device": summary["device"],
    }


def describe(rows: list[dict[str, Any]]) -> str:
    """Lay out the table as Markdown: our values, and the paper's in brackets."""
    widths = sorted({row["width"] for row in rows})
    splits = sorted({row["split_by"] for row in rows})
    table = [
        [
            "",
            "training Dice as in the paper",
            "test Dice as in the paper",
            "of an all-black mask",
            "of the mean training mask",
            "training foreground Dice",
            "test foreground Dice",
            "of the mean training mask",
            "training loss",
            "test loss",
            "seconds",
        ]
    ]
    table += [
        [
            f"Experiment {_number(row['experiment'])}",
            f"{row['train_pixel_accuracy']:.4f} ({row['paper_train_dice']:.4f})",
            f"{row['test_pixel_accuracy']:.4f} ({row['paper_test_dice']:.4f})",
            f"{row['black_pixel_accuracy']:.4f}",
            f"{row['mean_mask_pixel_accuracy']:.4f}",
            f"{row['train_foreground_dice']:.4f}",
            f"{row['test_foreground_dice']:.4f}",
            f"{row['mean_mask_foreground_dice']:.4f}",
            f"{row['train_loss']:.4f} ({row['paper_train_loss']:.4f})",
            f"{row['test_loss']:.4f} ({row['paper_test_loss']:.4f})",
            f"{row['seconds']:.0f} ({row['paper_seconds']})",
        ]
        for row in rows
    ]
    return (
        f"{markdown_table(table)}\n\n"
        "In brackets: the paper's values. Except in experiment 3, its Dice is the pixel accuracy "
        "of both classes; docs/paper.md explains why.\n"
        f"Split by {' and '.join(splits)}; width {', '.join(map(str, widths))}; last epoch; "
        f"{rows[0]['device']}.\n"
    )


def _figure(experiment: str) -> str:
    return f"figure-{FIRST_FIGURE + list(PRESETS).index(experiment)}.png"


def _results(experiments: Iterable[str]) -> list[str]:
    return [f"{TABLE}.csv", f"{TABLE}.md", *map(_figure, experiments)]


def _number(experiment: str) -> str:
    return experiment.removeprefix("experiment-")


def _check(runs: list[TrainSettings], given: Mapping[str, Any]) -> list[str]:
    """Check all experiments before the first is trained; note masks unlike the paper's."""
    notes: dict[str, None] = {}
    # Landmarks first: the build that adds them adds their masks as well.
    for settings in sorted(runs, key=lambda settings: settings.selection.target != "landmarks"):
        settings.check()
        choice = choose_for_preset(settings, given)
        store = EchoStore(settings.selection.store)
        split_frames(read_frame_set(store, choice), settings.data.splits)
        notes |= dict.fromkeys(differences(store, choice))
    return list(notes)


def _config(given: Mapping[str, Any]) -> str:
    """The given settings as a file that ``--config`` takes."""
    shown = replace(TrainSettings(), **_of_runs(given))
    unset = to_table(shown).keys() - given.keys()
    return f'preset = "{ALL}"\n' + to_toml(shown, leave_out=(*unset, "run", "resume"))


def _of_runs(given: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is said of several runs together."""
    return {
        name: value
        for name, value in given.items()
        if name not in ("seeds", "grid", "search", "trials", *_WORKERS)
    }


def _check_finished(folder: Path, settings: TrainSettings) -> None:
    """Check that a finished experiment has these settings; those it chose itself are its own."""
    before = run_folder.read_config(folder)
    resolved = {"loss": settings.loss(), "loader": before.get("loader", settings.data.loader)}
    check_settings(before, to_table(settings) | resolved, folder)
