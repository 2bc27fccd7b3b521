"""The forecast of a run: it changes nothing, its arithmetic, and its advice."""

from __future__ import annotations

import re
from pathlib import Path
from unittest import mock

import pytest
import torch

from echo_common.cli.settings import replace
from echo_common.errors import RunError
from echo_common.store.reader import EchoStore
from echo_train.runtime.distributed import ONLY_PROCESS, Process
from echo_train.training import forecast
from echo_train.training.forecast import (
    USABLE,
    Pace,
    advise_smaller,
    describe_forecast,
    describe_size,
    duration,
    measure_pace,
    run_seconds,
    settings_bytes,
)
from echo_train.training.train import dry_run, train
from echo_train.training.trainer import Trainer
from support.training import assert_same_states, checkpoint, make_trainer, tiny

CPU = torch.device("cpu")


@pytest.mark.parametrize("target", ["mask", "landmarks"])
@pytest.mark.parametrize("loader", ["resident", "stream"])
def test_a_forecast_changes_no_bit_of_the_run(
    small_store: Path, tmp_path: Path, target: str, loader: str
) -> None:
    folders = [tmp_path / name for name in ("silent", "forecast")]
    changes = {"target": target, "loader": loader, "augment": "strong", "ema": 0.5}
    for folder in folders:
        with mock.patch.object(forecast, "LONG_SECONDS", 0.0):
            train(tiny(small_store, folder, **changes), quiet=folder == folders[0])
    for name in ("last.pt", "best.pt"):
        states = [checkpoint(folder / name) for folder in folders]
        for part in ("network", "average", "optimiser"):
            assert_same_states(states[0].get(part), states[1].get(part))


def test_timing_changes_neither_weights_nor_random_numbers(small_store: Path) -> None:
    trainer = make_trainer(tiny(small_store, ema=0.5))
    before = {name: values.clone() for name, values in trainer.network.state_dict().items()}
    numbers = torch.get_rng_state()
    for width in (None, 3):
        pace = measure_pace(trainer, width)
        assert pace.training > 0 and pace.evaluation > 0
    assert_same_states(before, dict(trainer.network.state_dict()))
    assert torch.equal(torch.get_rng_state(), numbers)
    assert not trainer.optimiser.state
    assert all(weights.grad is None for weights in trainer.network.parameters())


def test_the_forecast_adds_up_the_images_of_the_run(small_store: Path) -> None:
    trainer = make_trainer(tiny(small_store, epochs=7))
    train_count, val, test = (
        len(trainer.frames.indices(split)) for split in ("TRAIN", "VAL", "TEST")
    )
    epoch = 3.0 * train_count + 0.25 * val
    seconds = run_seconds(trainer, Pace(training=3.0, evaluation=0.25))
    assert seconds == (pytest.approx(7 * epoch + 0.25 * (val + test)), pytest.approx(epoch))


def test_a_long_run_on_a_cpu_is_told_a_width_that_takes_two_minutes(small_store: Path) -> None:
    trainer = make_trainer(tiny(small_store, width=64, epochs=10))
    images = 10 * len(trainer.frames.indices("TRAIN"))

    def pace(trainer: Trainer, width: int | None = None) -> Pace:
        # Width 64 takes 60 minutes, and half the width a quarter of it.
        return Pace(training=3600 / images * ((width or 64) / 64) ** 2, evaluation=0.0)

    with mock.patch.object(forecast, "measure_pace", pace):
        # 64 * (2 / 60) ** 0.5 is 11.7.
        assert describe_forecast(trainer) == (
            "forecast: about 60 min, 6 min for each of 10 epochs; --width 12 would take about 2.1 "
            "min"
        )
        with mock.patch.object(forecast, "LONG_SECONDS", 3601.0):
            assert "width" not in describe_forecast(trainer)
    with mock.patch.object(
        forecast, "measure_pace", lambda *_: Pace(training=3600 / images, evaluation=0.0)
    ):
        assert describe_forecast(trainer).endswith(
            " would take about 60 min; lower --epochs as well"
        )
        narrow = make_trainer(tiny(small_store, width=4, epochs=10))
        assert describe_forecast(narrow).endswith(
            "; lower --epochs or --train-images for a shorter run"
        )


def test_memory_and_steps_are_counted(small_store: Path) -> None:
    trainer = make_trainer(tiny(small_store, epochs=3, loader="resident"))
    store = EchoStore(small_store)
    lines = describe_size(trainer, store).splitlines()
    frames = len(trainer.frames) * 2 * 112 * 112
    assert f"{frames / 1e9:.2f} GB for the frames" in lines[0]
    steps = -(-len(trainer.frames.indices("TRAIN")) // 4)
    assert lines[1] == f"steps: {steps} per epoch, {3 * steps} in 3 epochs"


def test_a_dry_run_prints_the_size_and_writes_nothing(
    small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    dry_run(tiny(small_store, tmp_path / "run"), said.append)
    text = "\n".join(said)
    network = make_trainer(tiny(small_store)).network
    parameters = sum(weights.numel() for weights in network.parameters())
    assert f"{parameters / 1e6:.2f} million parameters" in text
    assert re.search(r"^memory: .* GB to train in batches of 4", text, re.MULTILINE)
    assert re.search(r"^steps: 3 per epoch, 6 in 2 epochs$", text, re.MULTILINE)
    assert re.search(r"^forecast: about .* for each of 2 epochs$", text, re.MULTILINE)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.034, "0.034 s"),
        (9.97, "10 s"),
        (119, "119 s"),
        (121, "2 min"),
        (7199, "120 min"),
        (7300, "2 h"),
        (172_000, "48 h"),
        (180_000, "2.1 days"),
    ],
)
def test_a_duration_has_two_digits(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_highest_batch_size_that_fits_is_named(
    small_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tiny(small_store, batch_size=64, width=8)
    for batch_size in (32, 4):
        size = settings_bytes(replace(settings, batch_size=batch_size), (112, 112), CPU)
        monkeypatch.setattr(forecast, "free_memory", lambda device, size=size: size / USABLE)
        advice = advise_smaller(settings, CPU, ONLY_PROCESS)
        assert advice == f"lower --batch-size to {batch_size} (it is 64)"


def test_a_lower_width_is_named_if_no_batch_fits(
    small_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tiny(small_store, batch_size=2, width=64)
    size = settings_bytes(replace(settings, width=16), (112, 112), CPU)
    monkeypatch.setattr(forecast, "free_memory", lambda device: size / USABLE)
    assert advise_smaller(settings, CPU, ONLY_PROCESS) == "lower --width to 16 (it is 64)"
    monkeypatch.setattr(forecast, "free_memory", lambda device: 0)
    assert "use another --device" in advise_smaller(settings, CPU, ONLY_PROCESS)


def test_processes_share_a_batch(small_store: Path) -> None:
    settings = tiny(small_store, batch_size=8, width=8)
    own = settings_bytes(settings, (112, 112), CPU, Process(world_size=4))
    assert own == settings_bytes(replace(settings, batch_size=2), (112, 112), CPU)


def test_a_network_that_is_too_large_leaves_no_folder(small_store: Path, tmp_path: Path) -> None:
    width = 1 << 20
    with pytest.raises(
        RunError, match=rf"memory of cpu.* is full; lower --width to \d+ \(it is {width}\)"
    ):
        train(tiny(small_store, tmp_path / "run", width=width))
    assert not (tmp_path / "run").exists()
