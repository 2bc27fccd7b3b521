"""Runs at once: they equal runs in turn, and end with their state."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from echo_common.errors import RunError
from echo_train.experiments.sweep import sweep
from echo_train.runs.run_folder import read_metrics
from support.training import assert_same_states, checkpoint, read_json, small_sweep


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
    for name in read_json(expected / "sweep.json")["runs"]:
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
