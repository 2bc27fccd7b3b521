"""Sweeps: each run equals one trained alone, and the comparison covers all runs."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch

from echo_common.cli.settings import replace
from echo_common.errors import RunError, SettingsError
from echo_common.store.reader import EchoStore
from echo_train.data.resident import SharedArrays
from echo_train.experiments import sweep as sweeps
from echo_train.experiments.comparison import best_run, describe
from echo_train.experiments.sweep import sweep
from echo_train.training.settings import TrainSettings
from echo_train.training.train import train
from support.training import (
    assert_same_states,
    checkpoint,
    open_loader,
    read_json,
    small_sweep,
    stopped_before,
    tiny,
)


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
    table = read_json(folder / "sweep.json")
    summaries = [read_json(folder / name / "summary.json") for name in table["runs"]]
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
    assert read_json(folder / "sweep.json")["runs"] == ["fold-1", "fold-2", "fold-3"]
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


def test_a_grid_is_a_run_for_each_combination(small_store: Path, tmp_path: Path) -> None:
    grid = ("loss=bce,dice", "width=1,2", "seed=0..1")
    settings = small_sweep(small_store, tmp_path / "grid", grid=grid, epochs=1)
    folder = sweep(settings)
    table = read_json(folder / "sweep.json")
    assert len(table["runs"]) == 8
    group = table["groups"]["loss-dice-width-2"]
    assert group["runs"] == ["loss-dice-width-2-seed-0", "loss-dice-width-2-seed-1"]
    values = [
        read_json(folder / name / "summary.json")["test"]["dice"]["mean"] for name in group["runs"]
    ]
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
    best = max(
        table["runs"], key=lambda n: read_json(folder / n / "summary.json")["val"]["dice"]["mean"]
    )
    assert best_run(folder) == folder / best
