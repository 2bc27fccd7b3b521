"""Sweeps: each run equals one trained alone, and the comparison covers all runs."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

from echo_common.cli.command import run_command
from echo_common.cli.settings import replace
from echo_common.errors import RunError, SettingsError
from echo_common.store.reader import EchoStore
from echo_train.commands.train import cli
from echo_train.data.resident import SharedArrays
from echo_train.experiments import sweep as sweeps
from echo_train.experiments.settings import SweepSettings
from echo_train.experiments.sweep import best_run, compare, describe, sweep
from echo_train.runs.run_folder import read_metrics
from echo_train.training.settings import TrainSettings
from echo_train.training.train import train
from support.training import assert_same_states, checkpoint, open_loader, stopped_before, tiny


def small_sweep(store: Path, run: Path | None, **changes: Any) -> SweepSettings:
    return replace(
        SweepSettings(),
        **{
            "store": store,
            "run": run,
            "width": 2,
            "epochs": 2,
            "batch_size": 4,
            "learning_rate": 0.01,
            "device": "cpu",
            "precision": "fp32",
            **changes,
        },
    )


def read(folder: Path, name: str) -> dict[str, Any]:
    return json.loads((folder / name).read_text())


def test_each_seed_has_its_own_run(small_store: Path, tmp_path: Path) -> None:
    folder = sweep(small_sweep(small_store, tmp_path / "sweep", seed=3, seeds=2))
    assert sorted(path.name for path in folder.iterdir()) == [
        ".echo",
        "config.toml",
        "seed-3",
        "seed-4",
        "sweep.json",
    ]
    alone = train(tiny(small_store, tmp_path / "alone", seed=4))
    assert_same_states(
        checkpoint(alone / "last.pt")["network"],
        checkpoint(folder / "seed-4" / "last.pt")["network"],
    )
    table = read(folder, "sweep.json")
    summaries = [read(folder / name, "summary.json") for name in table["runs"]]
    for metric in ("pooled", "mean"):
        values = [summary["test"]["dice"][metric] for summary in summaries]
        compared = table["test"][f"dice.{metric}"]
        assert compared["values"] == values
        assert compared["mean"] == pytest.approx(statistics.mean(values))
        assert compared["spread"] == pytest.approx(statistics.stdev(values))


def test_a_sweep_reads_the_store_once(small_store: Path, tmp_path: Path) -> None:
    read_array, arrays = EchoStore.read, []

    def read(self: EchoStore, path: str) -> Any:
        arrays.append(path)
        return read_array(self, path)

    settings = small_sweep(
        small_store, tmp_path / "sweep", folds=2, seeds=2, epochs=1, loader="resident"
    )
    with mock.patch.object(EchoStore, "read", read):
        sweep(settings)
    assert arrays.count("frames") == 1 and arrays.count("masks/chords") == 1


def test_only_the_arrays_of_the_latest_run_are_kept(small_store: Path) -> None:
    store, cpu = EchoStore(small_store), torch.device("cpu")
    frames = open_loader(tiny(small_store))[1].frames
    shared = SharedArrays()
    paths = {"images": "frames", "masks": "masks/chords"}
    first = shared.read(store, frames, paths, cpu)
    again = shared.read(store, frames, {"images": "frames"}, cpu)
    assert again["images"] is first["images"]
    assert shared.size(cpu) == len(frames) * 112 * 112


@pytest.mark.parametrize(("widths", "resets"), [((2, 2, 2), 1), ((2, 3, 3), 2)])
def test_compiled_networks_are_dropped_when_the_shape_changes(
    tmp_path: Path, widths: tuple[int, ...], resets: int
) -> None:
    runs = {
        f"{number}": replace(TrainSettings(), width=width, seed=number)
        for number, width in enumerate(widths)
    }
    with (
        mock.patch.object(sweeps, "train"),
        mock.patch.object(torch._dynamo, "reset") as reset,
    ):
        sweeps.train_each(tmp_path, runs, lambda line: None, True)
    assert reset.call_count == resets


def test_folds_validate_on_every_video_once(small_store: Path, tmp_path: Path) -> None:
    folder = sweep(small_sweep(small_store, tmp_path / "sweep", folds=3, epochs=1))
    assert read(folder, "sweep.json")["runs"] == ["fold-1", "fold-2", "fold-3"]
    held_out: list[str] = []
    for fold in ("fold-1", "fold-2", "fold-3"):
        lines = [line.split(",") for line in (folder / fold / "frames.csv").read_text().split()]
        video, split = lines[0].index("video"), lines[0].index("split")
        held_out += sorted({line[video] for line in lines[1:] if line[split] == "VAL"})
        assert len({line[video] for line in lines[1:] if line[split] == "TEST"}) == 3
    assert len(held_out) == len(set(held_out)) == 9


def test_folds_and_seeds_together_are_all_pairs(small_store: Path) -> None:
    runs = small_sweep(small_store, None, folds=2, seeds=2).runs()
    assert list(runs) == ["fold-1-seed-0", "fold-1-seed-1", "fold-2-seed-0", "fold-2-seed-1"]
    last = runs["fold-2-seed-1"]
    assert (last.data.splits.fold, last.training.seed) == (2, 1)


def test_an_interrupted_sweep_is_resumed(small_store: Path, tmp_path: Path) -> None:
    expected = sweep(small_sweep(small_store, tmp_path / "whole", seeds=2))
    parts = small_sweep(small_store, tmp_path / "parts", seeds=2)
    with (
        stopped_before(2),
        pytest.raises(KeyboardInterrupt, match=f"--resume --run {parts.folder.run}$"),
    ):
        sweep(parts)
    said: list[str] = []
    again = small_sweep(small_store, tmp_path / "parts", seeds=2, resume=True)
    sweep(again, said.append)
    for name in ("seed-0", "seed-1"):
        assert_same_states(
            checkpoint(tmp_path / "parts" / name / "last.pt")["network"],
            checkpoint(expected / name / "last.pt")["network"],
        )
    before = checkpoint(tmp_path / "parts" / "seed-0" / "last.pt")
    sweep(again, said.append)
    assert said.count(f"{tmp_path / 'parts' / 'seed-0'} is finished already") == 1
    assert_same_states(checkpoint(tmp_path / "parts" / "seed-0" / "last.pt"), before)


@pytest.mark.parametrize(
    ("change", "message"), [({"seeds": 3}, "seeds was 2 and is 3"), ({"width": 3}, "width was 2")]
)
def test_a_sweep_with_other_settings_is_refused(
    small_store: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    folder = sweep(small_sweep(small_store, tmp_path / "sweep", seeds=2, epochs=1))
    with pytest.raises(RunError, match="is not empty"):
        sweep(small_sweep(small_store, folder, seeds=2, epochs=1))
    with pytest.raises(RunError, match=message):
        changed = {"seeds": 2, "epochs": 1, "resume": True, **change}
        sweep(small_sweep(small_store, folder, **changed))


def test_settings_are_checked_before_a_folder_is_made(small_store: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--loss spatial-ce"):
        sweep(small_sweep(small_store, tmp_path / "sweep", seeds=2, loss="spatial-ce"))
    with pytest.raises(SettingsError, match="at least two folds"):
        sweep(small_sweep(small_store, tmp_path / "sweep", folds=1))
    with pytest.raises(SettingsError, match="give --fold as well"):
        train(tiny(small_store, tmp_path / "run", folds=2))
    assert not list(tmp_path.iterdir())


def test_a_metric_that_a_run_lacks_is_not_averaged() -> None:
    runs = [
        {"val": {"dice": {"mean": 0.5, "es": None}}},
        {"val": {"dice": {"mean": 0.75, "es": 1}}},
    ]
    assert compare(runs) == {
        "val": {
            "dice.mean": {"mean": 0.625, "spread": pytest.approx(0.1767767), "values": [0.5, 0.75]}
        }
    }


def test_the_command_prints_mean_and_spread(
    small_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "sweep"
    with pytest.raises(SystemExit) as end:
        run_command(
            cli,
            args=f"--store {small_store} --run {folder} --seeds 2 --width 2 --epochs 1 "
            "--batch-size 4 --device cpu".split(),
        )
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert describe(folder) in out
    numbers = read(folder, sweeps.SWEEP)["val"]["pixel_accuracy.mean"]
    (line,) = (line for line in out.splitlines() if line.startswith("val pixel_accuracy.mean"))
    values = [numbers["mean"], numbers["spread"], *numbers["values"]]
    assert line.split()[2:] == [f"{value:.4f}" for value in values]
    names = ("seed-0", "seed-1")
    best = folder / max(
        names, key=lambda n: read(folder / n, "summary.json")["val"]["dice"]["mean"]
    )
    assert out.splitlines()[-1] == (
        f"best on the validation frames: {best}; next: echo-predict {best} VIDEO; echo-report "
        f"{folder}"
    )


def test_a_grid_is_a_run_for_each_combination(small_store: Path, tmp_path: Path) -> None:
    grid = ("loss=bce,dice", "width=1,2", "seed=0..1")
    settings = small_sweep(small_store, tmp_path / "grid", grid=grid, epochs=1)
    folder = sweep(settings)
    table = read(folder, "sweep.json")
    assert len(table["runs"]) == 8
    group = table["groups"]["loss-dice-width-2"]
    assert group["runs"] == ["loss-dice-width-2-seed-0", "loss-dice-width-2-seed-1"]
    values = [read(folder / name, "summary.json")["test"]["dice"]["mean"] for name in group["runs"]]
    assert group["test"]["dice.mean"]["mean"] == pytest.approx(statistics.mean(values))
    alone = train(tiny(small_store, tmp_path / "alone", loss="dice", seed=1, epochs=1))
    assert_same_states(
        checkpoint(alone / "last.pt")["network"],
        checkpoint(folder / "loss-dice-width-2-seed-1" / "last.pt")["network"],
    )
    header, _, *lines = describe(folder).splitlines()
    assert header.split()[:5] == ["run", "runs", "loss", "width", "split"]
    # The floor of the table follows the groups.
    assert sorted(line.split()[0] for line in lines[:4]) == sorted(table["groups"])
    best = max(table["runs"], key=lambda n: read(folder / n, "summary.json")["val"]["dice"]["mean"])
    assert best_run(folder) == folder / best


@pytest.mark.parametrize("backend", ["processes", "dask"])
def test_runs_at_once_equal_runs_in_turn(small_store: Path, tmp_path: Path, backend: str) -> None:
    if backend == "dask":
        pytest.importorskip("distributed", reason="the extra dask is not installed")
    grid = ("width=1,2", "seed=0..1")
    expected = sweep(small_sweep(small_store, tmp_path / "turn", grid=grid, epochs=1))
    said: list[str] = []
    at_once = small_sweep(
        small_store, tmp_path / "once", grid=grid, epochs=1, jobs=2, backend=backend
    )
    folder = sweep(at_once, said.append)
    assert len(said) == 4 and said[-1].startswith("4 of 4: ")
    for name in read(expected, "sweep.json")["runs"]:
        assert_same_states(
            checkpoint(folder / name / "last.pt")["network"],
            checkpoint(expected / name / "last.pt")["network"],
        )
    # The workers are no part of the settings that a resumed sweep has to share.
    said.clear()
    sweep(small_sweep(small_store, folder, grid=grid, epochs=1, resume=True), said.append)
    assert len(said) == 4 and all(line.endswith("is finished already") for line in said)


def test_a_run_that_fails_does_not_stop_the_others(small_store: Path, tmp_path: Path) -> None:
    grid = ("learning-rate=1e30,0.01",)
    settings = small_sweep(small_store, tmp_path / "grid", grid=grid, epochs=1)
    with pytest.raises(
        RunError, match=r"1 of 2 runs failed, learning-rate-1e\+30 first: the .*--resume"
    ):
        sweep(settings)
    assert (tmp_path / "grid" / "learning-rate-0.01" / "summary.json").exists()
    assert not (tmp_path / "grid" / "sweep.json").exists()


@pytest.mark.parametrize(
    ("number", "to_workers"),
    [(signal.SIGINT, False), (signal.SIGTERM, False), (signal.SIGINT, True)],
)
def test_a_signal_ends_runs_at_once_with_their_state(
    small_store: Path, tmp_path: Path, number: signal.Signals, to_workers: bool
) -> None:
    """A scheduler sends the signal to the command alone, a terminal to its workers as well."""
    folder = tmp_path / "grid"
    changes = {"width": 2, "batch-size": 1, "schedule": "constant", "precision": "fp32"}
    changes |= {"epochs": 100_000, "jobs": 2, "grid": "seed=0..3", "store": small_store}
    words = [word for name, value in changes.items() for word in (f"--{name}", str(value))]
    process = subprocess.Popen(
        [sys.executable, "-m", "echo_train", *words, "--run", str(folder), "--device", "cpu"],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    while process.poll() is None and len(list(folder.glob("*/last.pt"))) < 2:
        time.sleep(0.1)
    if to_workers:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 130
    assert error.splitlines()[-1].endswith(f"--resume --run {folder}")
    assert "Traceback" not in error
    for seed in range(2):
        run = folder / f"seed-{seed}"
        state = checkpoint(run / "last.pt")
        done = len(state["history"])
        unfinished = state["unfinished"]["losses"]["losses"] if state["unfinished"] else ()
        assert state["optimiser"]["state"][0]["step"] == 12 * done + len(unfinished)
        assert state["history"] == [dataclasses.asdict(row) for row in read_metrics(run)]
