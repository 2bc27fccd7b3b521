"""The plan of `--width auto` and `--batch-size auto`."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from echo_common.cli.settings import from_toml, replace, to_toml
from echo_common.errors import RunError, SettingsError
from echo_train.commands.train import cli
from echo_train.experiments.paper import experiments
from echo_train.experiments.search import search
from echo_train.experiments.settings import SweepSettings
from echo_train.runtime.distributed import Process
from echo_train.training import preparation
from echo_train.training.forecast import Pace
from echo_train.training.preparation import (
    WIDTHS,
    Trial,
    choose_sizes,
    plan_sizes,
    with_sizes,
)
from echo_train.training.settings import TrainSettings
from echo_train.training.train import train
from echo_train.training.trainer import Trainer
from support.commands import exit_code
from support.training import assert_same_states, checkpoint, open_loader, tiny

AUTO = 0
CPU = torch.device("cpu")
SIZES = (4, 8, 16, 32)


def measured(rate: Callable[[int, int], float], images: int = 1000) -> Callable[[int, int], Trial]:
    """Trials of a machine that takes `rate` seconds an image."""
    return lambda width, batch: Trial(
        image_seconds=rate(width, batch), run_seconds=images * rate(width, batch), memory=0
    )


def needs(width: int, batch: int) -> float:
    return 1000.0 * width * batch


def quadratic(width: int, batch: int) -> float:
    """One second a step of overhead, and 16 times it for an image of width 64."""
    return 1 / batch + (width / 16) ** 2


@pytest.mark.parametrize(
    ("memory", "seconds", "expected"),
    [
        # 1000 images at width 24 take 2312.5 s in batches of 16, 2375 s of 8, and 2500 s of 4.
        (math.inf, 2500, (24, 4)),
        (math.inf, 2400, (24, 8)),
        (math.inf, 2312, (16, 8)),
        # In time with batches of 16 alone: 1062.5 s, against 1125 s and 1250 s.
        (math.inf, 1070, (16, 16)),
        # The memory holds 8 images of width 32, and 16 of width 16.
        (256_000, math.inf, (16, 8)),
        # Too little time for any width: the narrowest, in the batches of the fastest images.
        (math.inf, 1, (4, 32)),
        (math.inf, math.inf, (64, 4)),
        # Not even 16 images of width 4 fit: the largest batch that does.
        (40_000, math.inf, (4, 8)),
    ],
)
def test_the_widest_network_that_fits_memory_and_time_is_chosen(
    memory: float, seconds: float, expected: tuple[int, int]
) -> None:
    trial = measured(quadratic)
    assert choose_sizes(WIDTHS, SIZES, needs, trial, memory, seconds) == expected


def test_only_what_is_open_is_chosen() -> None:
    trial = measured(quadratic)
    assert choose_sizes((8,), SIZES, needs, trial, math.inf, math.inf) == (8, 32)
    assert choose_sizes(WIDTHS, (64,), needs, trial, math.inf, 2300) == (24, 64)


def test_what_is_estimated_or_measured_as_too_large_is_not_used() -> None:
    tried: list[tuple[int, int]] = []

    def trial(width: int, batch: int) -> Trial:
        tried.append((width, batch))
        # Width 12 takes twice its estimate.
        memory = needs(width, batch) * (2 if width == 12 else 1)
        return Trial(image_seconds=1 / batch, run_seconds=1, memory=memory)

    assert choose_sizes(WIDTHS, (16,), needs, trial, 200_000, math.inf) == (8, 16)
    assert tried == [(4, 16), (8, 16), (12, 16)]
    tried.clear()
    assert choose_sizes((12,), SIZES, needs, trial, 200_000, math.inf) == (12, 8)
    assert (12, 32) not in tried
    with pytest.raises(RunError, match=r"width 4 in batches of 4 does not fit into 0\.00 GB"):
        choose_sizes(WIDTHS, SIZES, needs, trial, 15_999, math.inf)


def test_sizes_are_planned_from_the_time_and_memory_of_steps(
    small_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of ten epochs that takes a millisecond an image and channel, in at most 2 seconds."""
    settings = tiny(small_store, width=AUTO, batch_size=AUTO, epochs=10, minutes=2 / 60)
    choice, loader = open_loader(settings)
    images = len(loader.frames.indices("TRAIN"))
    assert images == 12

    def pace(trainer: Trainer) -> Pace:
        width = trainer.settings.architecture.width
        if width == 24:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return Pace(training=1e-3 * width, evaluation=0.0)

    monkeypatch.setattr(preparation, "measure_pace", pace)
    said: list[str] = []
    found = plan_sizes(settings, choice, loader, CPU, Process(), said.append)
    # 120 images take 1.92 s at width 16. A twentieth of 12 images is less than the smallest batch.
    assert (found.architecture.width, found.training.batch_size) == (16, 4)
    assert found.training.minutes is None and not found.automatic()
    assert said[0].startswith("plan: width 4 in batches of 4: 0.004 s an image, about 0.48 s in")
    assert said[-2] == "plan: width 24 in batches of 4: the memory is full"
    assert said[-1].startswith("plan: --width 16 --batch-size 4, chosen for ")
    assert said[-1].endswith(" GB of memory and 2 s")
    slow = replace(settings, epochs=20)
    narrower = plan_sizes(slow, choice, loader, CPU, Process(), said.append)
    assert narrower.architecture.width == 8
    steps = replace(settings, steps=15, width=8)
    # 15 steps are 5 epochs of 3 batches.
    plan_sizes(steps, choice, loader, CPU, Process(), said.append)
    assert "about 0.48 s in all" in said[-2]


def test_a_planned_run_is_that_of_its_numbers_and_resumes(
    small_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ("--store", small_store, "--device", "cpu", "--precision", "fp32", "--epochs", "1")
    auto = ("--width", "auto", "--batch-size", "auto", "--minutes", "0.0001")
    folders = [tmp_path / name for name in ("auto", "numbers")]
    assert exit_code(cli, *base, *auto, "--run", folders[0]) == 0
    said = capsys.readouterr().out
    # No run takes 6 ms, so it is the narrowest one.
    assert "plan: --width 4 --batch-size 4, chosen for" in said
    run = folders[0]
    assert said.splitlines()[-1] == f"next: echo-predict {run} VIDEO; echo-report {run}"
    config = tomllib.loads((folders[0] / "config.toml").read_text())
    assert (config["width"], config["batch_size"]) == (4, 4) and "minutes" not in config
    numbers = ("--width", "4", "--batch-size", "4")
    assert exit_code(cli, *base, *numbers, "--run", folders[1]) == 0
    states = [checkpoint(folder / "last.pt") for folder in folders]
    assert_same_states(states[0]["network"], states[1]["network"])
    capsys.readouterr()
    resumed = ("--resume", "--run", folders[0], *auto, "--epochs", "2", "--store", small_store)
    assert exit_code(cli, *resumed) == 0
    assert "plan:" not in capsys.readouterr().out
    again = tomllib.loads((folders[0] / "config.toml").read_text())
    assert again == config | {"epochs": 2}


def test_auto_is_written_as_a_word(tmp_path: Path, small_store: Path) -> None:
    settings = replace(TrainSettings(), width=AUTO, minutes=5.0)
    path = tmp_path / "settings.toml"
    path.write_text(to_toml(settings))
    assert 'width = "auto"' in path.read_text()
    assert from_toml(TrainSettings, path) == settings
    kept = with_sizes(settings, width=12, batch_size=3)
    # The batch size was given.
    assert (kept.architecture.width, kept.training.batch_size) == (12, 16)
    assert kept.training.minutes is None
    for text in ("width = 0", "width = true", 'epochs = "auto"'):
        path.write_text(text)
        with pytest.raises(SettingsError):
            from_toml(TrainSettings, path)


def test_auto_is_for_one_run_of_one_process(
    small_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    auto = tiny(small_store, width=AUTO)
    with pytest.raises(SettingsError, match="--width auto is for one process"):
        plan_sizes(auto, *open_loader(auto), CPU, Process(world_size=2), print)
    sweep = replace(SweepSettings(), store=small_store)
    for changes in ({"width": AUTO, "seeds": 2}, {"grid": ("width=8,auto",)}):
        with pytest.raises(SettingsError, match="--width auto is for a single run"):
            replace(sweep, **changes).runs()
    with pytest.raises(SettingsError, match="--batch-size auto is for a single run"):
        experiments({"batch_size": AUTO})
    pytest.importorskip("optuna")
    with pytest.raises(SettingsError, match="--width auto is for a single run"):
        search(replace(sweep, width=AUTO, search=("learning-rate=1e-4..1e-2",)))
    with pytest.raises(SettingsError, match="--minutes limits --width auto"):
        train(tiny(small_store, tmp_path / "run", minutes=1.0))
    assert exit_code(cli, "--store", small_store, "--width", "0") == 2
    assert "0 is not in the range 1<=x<=1024" in capsys.readouterr().err
