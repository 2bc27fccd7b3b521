"""The comparison of runs: metrics that all of them have, and the table that is printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from echo_common.cli.command import run_command
from echo_train.commands.train import cli
from echo_train.experiments.comparison import SWEEP, compare, describe
from support.training import read_json


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
    numbers = read_json(folder / SWEEP)["val"]["pixel_accuracy.mean"]
    (line,) = (line for line in out.splitlines() if line.startswith("val pixel_accuracy.mean"))
    values = [numbers["mean"], numbers["spread"], *numbers["values"]]
    assert line.split()[2:] == [f"{value:.4f}" for value in values]
    names = ("seed-0", "seed-1")
    best = folder / max(
        names, key=lambda n: read_json(folder / n / "summary.json")["val"]["dice"]["mean"]
    )
    assert out.splitlines()[-1] == (
        f"best on the validation frames: {best}; next: echo-predict {best} VIDEO; echo-report "
        f"{folder}"
    )
