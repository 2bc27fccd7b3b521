"""The paper's four experiments trained one after the other, and its table 1 beside ours.

`echo-train --preset all` calls `repeat`. The split that the paper tests on is
what its experiments validate on after each epoch, so the table has the figures
of the last epoch on training and validation frames.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from echo_common import atomic
from echo_common.cli.settings import to_toml
from echo_common.errors import SettingsError
from echo_common.store import schema
from echo_common.store.reader import EchoStore
from echo_train.data.frame_set import read_frame_set
from echo_train.data.splits import draw
from echo_train.experiments.presets import ALL, PRESETS, choose_for_preset, with_preset
from echo_train.reporting.plots import draw_experiment
from echo_train.runs import run_folder
from echo_train.runs.resume import check_same, resumable
from echo_train.settings import TrainSettings
from echo_train.training.train import Say, train

TABLE = "table1"
"""Name of the table's two files, table1.md and table1.csv."""

FIRST_FIGURE = 9
"""Number of the paper's figure of experiment 1; the others follow."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Published:
    """A row of the paper's table 1.

    Attributes
    ----------
    train_dice, test_dice : float
        The share of pixels that are classed rightly, but for experiment 3; see
        docs/paper.md.
    train_loss, test_loss : float
    seconds : int
    """

    train_dice: float
    train_loss: float
    test_dice: float
    test_loss: float
    seconds: int


PUBLISHED: Mapping[str, Published] = {
    "experiment-1": Published(
        train_dice=0.9946, train_loss=0.0136, test_dice=0.9862, test_loss=0.0465, seconds=4257
    ),
    "experiment-2": Published(
        train_dice=0.9848, train_loss=0.3118, test_dice=0.9828, test_loss=0.3111, seconds=436
    ),
    "experiment-3": Published(
        train_dice=0.0672, train_loss=0.0611, test_dice=0.2194, test_loss=0.0655, seconds=1294
    ),
    "experiment-4": Published(
        train_dice=0.9909, train_loss=0.2008, test_dice=0.9796, test_loss=0.2148, seconds=409
    ),
}


def repeat(given: Mapping[str, Any], say: Say = lambda line: None, quiet: bool = True) -> Path:
    """Train each experiment that is not finished, and set them beside the paper's.

    Parameters
    ----------
    given : mapping
        Settings by field that win over every experiment's own. `run` is the
        folder of all; with `resume`, experiments that are finished are kept
        and one that was stopped goes on.
    say : callable
        Takes each line that a person should read.
    quiet : bool
        No progress on stderr.

    Returns
    -------
    folder : Path
        Holds a run folder for each experiment, config.toml, table1.md,
        table1.csv and figure-9.png to figure-12.png.

    Raises
    ------
    SettingsError, StoreError, RunError
        As `echo_train.training.train.train` does.
    """
    runs = experiments(given)
    for line in _check(list(runs.values()), given):
        say(line)
    shared = TrainSettings(run=given.get("run"), resume=given.get("resume", False))
    if shared.resume and shared.run is None:
        raise SettingsError("--resume needs --run, the folder of the experiments to go on with")
    base = run_folder.open_folder(shared.run, shared.resume, "paper")
    with run_folder.run_lock(base), resumable(base, f"--config {base / run_folder.CONFIG} "):
        if not shared.resume:
            atomic.write_text(base / run_folder.CONFIG, _config(given))
        for name, one in runs.items():
            folder = base / name
            if (folder / run_folder.SUMMARY).exists():
                _check_finished(folder, one)
                say(f"{folder} is finished already")
                continue
            say(f"{name}: {folder}")
            begun = (folder / run_folder.CONFIG).exists()
            train(dataclasses.replace(one, run=folder, resume=begun), say, quiet)
        write_report(base, list(runs))
    return base


def experiments(given: Mapping[str, Any]) -> dict[str, TrainSettings]:
    """Settings of each experiment by its name; their folders are left open.

    Raises
    ------
    SettingsError
        If several seeds or folds are asked for too.
    """
    if given.get("seeds", 1) > 1 or given.get("folds"):
        raise SettingsError(
            "--preset all trains each experiment once; leave out --seeds and --folds"
        )
    own = {name: value for name, value in given.items() if name not in ("seeds", "run", "resume")}
    return {name: TrainSettings(**with_preset(name, own)) for name in PRESETS}


def write_report(base: Path, names: list[str]) -> None:
    """Write table1.md, table1.csv and a figure for each of some finished experiments."""
    rows = []
    for name in names:
        history, summary = (
            run_folder.read_metrics(base / name),
            run_folder.read_summary(base / name),
        )
        height, width = EchoStore(Path(summary["settings"]["store"])).shape(schema.FRAMES)[1:]
        black = black_accuracy(base / name, height * width)
        rows.append(table_row(name, history, summary, black))
        number = FIRST_FIGURE + list(PRESETS).index(name)
        published = PUBLISHED[name]
        draw_experiment(
            base / f"figure-{number}.png",
            history,
            (published.train_dice, published.test_dice),
            (published.train_loss, published.test_loss),
            title=f"Experiment {name.removeprefix('experiment-')}: {summary['choice']}",
        )
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    atomic.write_text(base / f"{TABLE}.csv", text.getvalue())
    atomic.write_text(base / f"{TABLE}.md", describe(rows))


def black_accuracy(folder: Path, pixels: int) -> float:
    """Pixel accuracy of an all-black mask on a run's test frames, mean over frames.

    Parameters
    ----------
    folder : Path
        The run.
    pixels : int
        Of an image.
    """
    with (folder / run_folder.FRAMES).open(newline="", encoding="utf-8") as file:
        true = [int(row["true_pixels"]) for row in csv.DictReader(file)]
    return 1 - sum(true) / (len(true) * pixels)


def table_row(
    name: str, history: list[run_folder.EpochRow], summary: Mapping[str, Any], black: float
) -> dict[str, Any]:
    """Figures of one experiment's last epoch, with the paper's own.

    Parameters
    ----------
    name : str
        Of the preset.
    history : list of EpochRow
    summary : mapping
        From summary.json.
    black : float
        From `black_accuracy`.

    Returns
    -------
    row : dict
        A row of table1.csv.
    """
    last, published, settings = history[-1], PUBLISHED[name], summary["settings"]
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
        "black_pixel_accuracy": round(black, 4),
        "train_foreground_dice": round(last.train_dice, 4),
        "test_foreground_dice": round(last.val_dice, 4),
        "train_loss": round(last.train_loss, 4),
        "paper_train_loss": published.train_loss,
        "test_loss": round(last.val_loss, 4),
        "paper_test_loss": published.test_loss,
        "seconds": round(summary["seconds"], 1),
        "paper_seconds": published.seconds,
        "device": summary["device"],
    }


def describe(rows: list[dict[str, Any]]) -> str:
    """Lay the table out as Markdown: what was measured, and in brackets the paper's value."""
    first = rows[0]
    widths = sorted({row["width"] for row in rows})
    splits = sorted({row["split_by"] for row in rows})
    lines = [
        "| | training Dice as in the paper | test Dice as in the paper | of an all-black mask "
        "| training foreground Dice | test foreground Dice | training loss | test loss | seconds |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        cells = [
            f"Experiment {row['experiment'].removeprefix('experiment-')}",
            f"{row['train_pixel_accuracy']:.4f} ({row['paper_train_dice']:.4f})",
            f"{row['test_pixel_accuracy']:.4f} ({row['paper_test_dice']:.4f})",
            f"{row['black_pixel_accuracy']:.4f}",
            f"{row['train_foreground_dice']:.4f}",
            f"{row['test_foreground_dice']:.4f}",
            f"{row['train_loss']:.4f} ({row['paper_train_loss']:.4f})",
            f"{row['test_loss']:.4f} ({row['paper_test_loss']:.4f})",
            f"{row['seconds']:.0f} ({row['paper_seconds']})",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "In brackets: the paper's own values. Its Dice is the pixel accuracy of both classes, "
        "except in experiment 3; docs/paper.md says why.",
        f"Split by {' and '.join(splits)}; width {', '.join(map(str, widths))}; last epoch; "
        f"{first['device']}.",
    ]
    return "\n".join(lines) + "\n"


def _check(runs: list[TrainSettings], given: Mapping[str, Any]) -> list[str]:
    """Check all experiments before the first is trained, and say where the store is not theirs."""
    notes = {}
    # Landmarks first: the build that adds them adds their masks as well.
    for one in sorted(runs, key=lambda one: one.target != "landmarks"):
        one.check()
        choice = choose_for_preset(one, given)
        store = EchoStore(one.store)
        draw(read_frame_set(store, choice), one.split_by, one.train_images)
        masks = schema.mask_path(choice.method)
        if not store.manifests[masks].parameters.get("truncate"):
            notes[masks] = (
                f"note: {masks} is of rounded coordinates, and the paper's code cuts them; "
                "echo-prep build --paper does too"
            )
    return list(notes.values())


def _config(given: Mapping[str, Any]) -> str:
    """What was given, as a file that ``--config`` takes."""
    own = [field.name for field in dataclasses.fields(TrainSettings) if field.name not in given]
    shown = TrainSettings(**{name: value for name, value in given.items() if name != "seeds"})
    return f'preset = "{ALL}"\n' + to_toml(shown, leave_out=(*own, "run", "resume"))


def _check_finished(folder: Path, settings: TrainSettings) -> None:
    """Check that a finished experiment is of these settings; what was left open is as it chose."""
    before = run_folder.read_config(folder)
    loss, loader = settings.loss_name(), before.get("loader", settings.loader)
    check_same(before, dataclasses.replace(settings, loss=loss, loader=loader), folder)
