"""Axes of a grid, and its runs by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from echo_common.cli.settings import replace, to_toml
from echo_common.errors import SettingsError
from echo_train.commands import train as command
from echo_train.experiments import sweep as sweeps
from echo_train.experiments.grid import parse_axis
from echo_train.experiments.settings import SweepSettings
from echo_train.training.settings import TrainSettings


@pytest.mark.parametrize(
    ("text", "field", "values"),
    [
        ("loss=bce,lovasz", "loss", ("bce", "lovasz")),
        ("seed=0..4", "seed", (0, 1, 2, 3, 4)),
        ("seed=7,10..12", "seed", (7, 10, 11, 12)),
        ("learning-rate = 1e-3, 0.01", "learning_rate", (0.001, 0.01)),
        ("learning_rate=1", "learning_rate", (1.0,)),
        ("compile=true,false", "compile", (True, False)),
        ("store=a.zarr,b.zarr", "store", (Path("a.zarr"), Path("b.zarr"))),
    ],
)
def test_an_axis_has_the_values_of_its_setting(
    text: str, field: str, values: tuple[Any, ...]
) -> None:
    axis = parse_axis(text)
    assert axis.values == values
    replace(TrainSettings(), **{axis.field: values[0]})
    assert axis.option == field.replace("_", "-")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("width", "not of the form loss=bce,lovasz"),
        ("widht=8", "no setting 'widht' to vary; did you mean width?"),
        ("run=a,b", "no setting 'run' to vary"),
        ("width=8,x", "'x' is not a valid integer"),
        ("width=", "'' is not a valid integer"),
        ("width=8,8", "has a value twice"),
        ("learning-rate=0.1,1e-1", "has a value twice"),
        ("seed=4..0", "4..0 is no range"),
        ("seed=0..99999", "0..99999 is no range"),
        ("target=mask,heart", "'heart' is not one of"),
    ],
)
def test_a_wrong_axis_is_one_message(text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_axis(text)


def test_the_runs_are_all_combinations() -> None:
    settings = SweepSettings(grid=("loss=bce,lovasz", "learning-rate=0.001,0.01"), seeds=2)
    runs = replace(settings, folds=2, seed=5, width=4).runs()
    assert len(runs) == 2 * 2 * 2 * 2
    assert list(runs)[:3] == [
        "fold-1-loss-bce-learning-rate-0.001-seed-5",
        "fold-1-loss-bce-learning-rate-0.001-seed-6",
        "fold-1-loss-bce-learning-rate-0.01-seed-5",
    ]
    last = runs["fold-2-loss-lovasz-learning-rate-0.01-seed-6"]
    assert (last.data.splits.fold, last.losses.loss, last.training.seed) == (2, "lovasz", 6)
    assert (last.optimiser.learning_rate, last.architecture.width) == (0.01, 4)


def test_names_of_runs_are_names_of_folders() -> None:
    runs = SweepSettings(grid=("store=a/b.zarr,a_b.zarr",)).runs()
    assert len(runs) == 2 and all("/" not in name for name in runs)
    assert {run.selection.store for run in runs.values()} == {Path("a/b.zarr"), Path("a_b.zarr")}


def test_an_axis_twice_and_too_many_runs_are_refused() -> None:
    with pytest.raises(SettingsError, match="seed is an axis of the grid twice"):
        SweepSettings(grid=("seed=0..4",), seeds=3).runs()
    with pytest.raises(SettingsError, match="the grid has 1000000 runs"):
        SweepSettings(grid=("seed=0..999", "width=1..1000")).runs()


def test_a_file_of_settings_has_the_same_axes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Option, variable and file each give the grid; a file is what `to_toml` writes."""
    seen: list[SweepSettings] = []

    def keep(settings: SweepSettings, **others: Any) -> Path:
        seen.append(settings)
        raise SettingsError("stop")

    monkeypatch.setattr(sweeps, "sweep", keep)
    axes = ("loss=bce,lovasz", "seed=0..4")
    path = tmp_path / "grid.toml"
    path.write_text(to_toml(SweepSettings(grid=axes)))
    CliRunner().invoke(command.cli, ["--grid", axes[0], "--grid", axes[1]])
    CliRunner().invoke(command.cli, ["--config", str(path)])
    CliRunner().invoke(command.cli, [], env={"ECHO_GRID": " ".join(axes)})
    path.write_text('grid = "seed=0..4"\n')
    CliRunner().invoke(command.cli, ["--config", str(path)])
    assert [settings.grid for settings in seen] == [axes] * 3 + [axes[1:]]
