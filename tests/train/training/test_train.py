"""Training: the effect of each setting on the weights, and the errors that stop a run."""

from __future__ import annotations

import copy
import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from torch import Tensor, nn
from torch.nn import functional

from echo_common.cli.settings import replace
from echo_common.errors import RunError, SettingsError
from echo_common.output_folder import RECORD_FOLDER, OutputFolder
from echo_common.store.reader import EchoStore
from echo_train.reporting.plots import curves_png
from echo_train.runs import background_writer
from echo_train.runs.run_folder import EpochRow
from echo_train.runtime import device as devices
from echo_train.training.optimiser import WeightEMA, make_optimiser
from echo_train.training.progress_bar import ProgressBar
from echo_train.training.settings import TrainSettings
from echo_train.training.train import train, train_epochs
from echo_train.training.trainer import STATISTICS_BATCHES, Trainer
from echo_train.transforms.batch import epoch_order
from support.training import checkpoint, open_loader, stopped_before, tiny

CPU = torch.device("cpu")


def make_trainer(settings: TrainSettings) -> Trainer:
    return Trainer(settings, *open_loader(settings), CPU)


def test_prior_weighs_the_loss_or_is_left_to_the_network(small_store: Path) -> None:
    prior = {"prior": "box", "prior_box": (0, 0, 111, 55), "prior_weight": 3.0}
    weights = make_trainer(tiny(small_store, **prior)).target.state()["pixel_weights"]
    assert weights[0, 0] / weights[111, 0] == 4 and weights.mean() == pytest.approx(1)
    seen = make_trainer(tiny(small_store, **prior, prior_use="channel"))
    assert seen.target.state() == {}


def losses_of(folder: Path) -> list[float]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [float(row["train_loss"]) for row in csv.DictReader(file)]


def test_an_epoch_equals_a_plain_training_loop(small_store: Path, tmp_path: Path) -> None:
    """The weights of `train` against a loop with torch's Adam."""
    settings = tiny(small_store, tmp_path / "run", schedule="constant", epochs=2, augment="none")
    trainer = make_trainer(settings)
    network = copy.deepcopy(trainer.network).train()
    adam = torch.optim.Adam(network.parameters(), lr=settings.optimiser.learning_rate)
    store = EchoStore(small_store)
    images, masks = (torch.from_numpy(store.read(path)) for path in ("frames", "masks/chords"))
    means = []
    for epoch in (1, 2):
        order = epoch_order(trainer.frames.indices("TRAIN"), settings.training.seed, epoch)
        total = 0.0
        for index in torch.from_numpy(order).split(settings.training.batch_size):
            logits = network(images[index][:, None].float() / 255)[:, 0]
            loss = functional.binary_cross_entropy_with_logits(logits, masks[index].float())
            adam.zero_grad()
            loss.backward()
            adam.step()
            total += loss.item() * len(index)
        means.append(total / len(order))
    folder = train(settings)
    # The running statistics are computed again; the next test is theirs.
    for name, value in network.named_parameters():
        found = checkpoint(folder / "last.pt")["network"][name]
        torch.testing.assert_close(found, value.data, rtol=1e-4, atol=1e-5)
    assert losses_of(folder) == pytest.approx(means, rel=1e-4)


@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_a_short_run_is_validated_with_statistics_of_its_last_weights(
    small_store: Path, ema: float
) -> None:
    trainer = make_trainer(tiny(small_store, ema=ema, augment="none", batch_size=3))
    trainer.train_epoch(1, ProgressBar(1, 0, 1, quiet=True))
    network = copy.deepcopy(trainer.evaluated_network).train()
    inputs: dict[str, list[Tensor]] = {}
    norms = {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, nn.BatchNorm2d)
    }
    for name, module in norms.items():

        def keep(module: nn.Module, given: tuple[Tensor], name: str = name) -> None:
            inputs.setdefault(name, []).append(given[0])

        module.register_forward_pre_hook(keep)
    order = trainer.loader.order(trainer.frames.indices("TRAIN"), 1)
    images = torch.from_numpy(EchoStore(small_store).read("frames"))[:, None].float() / 255
    rows = trainer.frames.rows[order]
    for start in range(0, min(len(rows), STATISTICS_BATCHES * 3), 3):
        network(images[rows[start : start + 3]])
    expected = dict(trainer.evaluated_network.named_modules())
    for name in norms:
        for statistic, function in (("running_mean", torch.mean), ("running_var", torch.var)):
            values = torch.stack([function(given, dim=(0, 2, 3)) for given in inputs[name]])
            found = getattr(expected[name], statistic)
            torch.testing.assert_close(found, values.mean(dim=0), rtol=1e-3, atol=1e-5)


def test_training_learns(small_store: Path, tmp_path: Path) -> None:
    losses = losses_of(train(tiny(small_store, tmp_path / "run", epochs=8)))
    assert losses[-1] < 0.8 * losses[0]


def test_the_ema_is_the_weighted_sum_of_all_weights() -> None:
    network = nn.Linear(3, 2)
    average = WeightEMA(network, 0.5)
    expected = network.weight.detach().clone().double()
    for step, decay in enumerate([2 / 11, 3 / 12, 4 / 13, 5 / 14], start=1):
        with torch.no_grad():
            network.weight += step
        average.update(network)
        expected = decay * expected + (1 - decay) * network.weight.detach().double()
    torch.testing.assert_close(average.network.weight.double(), expected, rtol=1e-6, atol=1e-6)
    constant = WeightEMA(network, 0.05)
    before = constant.network.bias.clone()
    with torch.no_grad():
        network.bias += 1
    constant.update(network)
    torch.testing.assert_close(constant.network.bias, before + 0.95)


def test_the_ema_is_validated_and_saved(small_store: Path, tmp_path: Path) -> None:
    folder = train(tiny(small_store, tmp_path / "run", epochs=1, ema=0.9))
    best, last = checkpoint(folder / "best.pt"), checkpoint(folder / "last.pt")
    averaged = last["average"]["network"]
    assert all(torch.equal(best["network"][name], averaged[name]) for name in averaged)
    assert not torch.equal(averaged["head.weight"], last["network"]["head.weight"])


def test_weight_decay_applies_to_filters_only() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    before = copy.deepcopy(network)
    optimiser = make_optimiser(network, learning_rate=0.1, weight_decay=0.5, device=CPU)
    for values in network.parameters():
        values.grad = torch.zeros_like(values)
    optimiser.step()
    torch.testing.assert_close(network[0].weight, before[0].weight * (1 - 0.1 * 0.5))
    for name in ("0.bias", "1.weight", "1.bias"):
        assert torch.equal(network.get_parameter(name), before.get_parameter(name))


@pytest.mark.parametrize("limit", [1e-3, 1e9])
def test_clipping_limits_the_norm_of_the_gradients(small_store: Path, limit: float) -> None:
    trainer = make_trainer(tiny(small_store, clip_norm=limit))
    (batch,) = trainer.loader.batches(trainer.frames.indices("TRAIN")[:4], 4)
    trainer.network.train()
    trainer._step(100 * trainer.network(batch.images).square().mean(), 0, 1)
    norm = (
        torch.stack([weights.grad.norm() for weights in trainer.network.parameters()]).norm().item()
    )
    assert norm == pytest.approx(limit) if limit < 1 else 1e-3 < norm < limit


def test_patience_ends_a_run_without_improvement(small_store: Path, tmp_path: Path) -> None:
    # At a learning rate of 0 only the running statistics change; every Dice is 0 and the first
    # epoch stays the best.
    settings = tiny(small_store, tmp_path / "run", epochs=9, learning_rate=0.0, patience=3)
    folder = train(settings)
    state = checkpoint(folder / "last.pt")
    assert state["best"]["epoch"] == 1
    assert len(state["history"]) == 4


class Poison:
    """Makes the loss of one batch invalid."""

    def __init__(self, trainer: Trainer, call: int, loss: float) -> None:
        self._real, self._call, self._loss = trainer.target.loss, call, loss
        self.calls = 0
        self.index = np.empty(0, dtype=np.int64)

    def __call__(self, logits: Tensor, batch: Any) -> Tensor:
        self.calls += 1
        loss = self._real(logits, batch)
        if self.calls == self._call:
            self.index = batch.index.numpy()
            return loss * self._loss
        return loss


@pytest.mark.parametrize(("loss", "word"), [(np.nan, "NaN"), (np.inf, "infinite")])
def test_the_error_of_an_invalid_loss_names_its_frames(
    small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loss: float, word: str
) -> None:
    trainer = make_trainer(tiny(small_store, tmp_path / "run"))
    poison = Poison(trainer, call=2, loss=loss)
    monkeypatch.setattr(trainer.target, "loss", poison)
    with (
        OutputFolder(tmp_path) as output,
        pytest.raises(RunError, match=f"the loss of epoch 1, step 2 is {word}") as error,
    ):
        train_epochs(trainer, output, EchoStore(small_store))
    assert len(poison.index) == 4
    for frame in poison.index:
        name = f"{trainer.frames.video[frame]} frame {trainer.frames.number[frame]}"
        assert name in str(error.value)
    others = set(trainer.frames.video) - set(trainer.frames.video[poison.index])
    assert not any(video in str(error.value) for video in others)
    assert [path.name for path in tmp_path.iterdir()] == [RECORD_FOLDER]


def test_an_exploding_loss_advises_a_lower_learning_rate(small_store: Path, tmp_path: Path) -> None:
    settings = tiny(small_store, tmp_path, learning_rate=1e30, schedule="constant", epochs=5)
    trainer = make_trainer(settings)
    with (
        OutputFolder(tmp_path) as output,
        pytest.raises(RunError, match="lower --learning-rate"),
    ):
        train_epochs(trainer, output, EchoStore(small_store))


def test_weights_that_fail_in_the_last_step_are_no_result(
    small_store: Path, tmp_path: Path
) -> None:
    # One step an epoch: the training loss is that of the first weights.
    settings = tiny(small_store, tmp_path / "run", learning_rate=1e30, batch_size=64, epochs=1)
    with pytest.raises(RunError, match="the validation loss of epoch 1 is nan"):
        train(settings)
    assert not (tmp_path / "run" / "summary.json").exists()


def test_the_cpu_does_not_compile() -> None:
    network = nn.Linear(1, 1)
    assert devices.compile_on_cuda(network, CPU, enabled=True) is network


def test_a_compiled_network_takes_the_same_steps(
    small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on CUDA, with a backend that needs no compiler; the last batch is smaller."""
    shapes = []

    def compile_on_cpu(function: Any, device: torch.device, enabled: bool) -> Any:
        faster = torch.compile(function, dynamic=False, backend="aot_eager")
        if isinstance(function, nn.Module):
            faster.register_forward_pre_hook(lambda _, images: shapes.append(images[0].shape[0]))
        return faster

    changes = {"batch_size": 5, "learning_rate": 1e-3, "ema": 0.5}
    plain = train(tiny(small_store, tmp_path / "plain", **changes))
    monkeypatch.setattr(devices, "compile_on_cuda", compile_on_cpu)
    fast = train(tiny(small_store, tmp_path / "fast", **changes))
    # The first batch is the attempt, before the run folder is opened.
    assert shapes == [5] + [5, 5] * 2
    assert losses_of(fast) == pytest.approx(losses_of(plain), rel=1e-4)
    assert checkpoint(fast / "last.pt")["network"].keys() == (
        checkpoint(plain / "last.pt")["network"].keys()
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "spatial-ce"}, "--loss spatial-ce is no loss for --target mask"),
        ({"target": "landmarks", "loss": "bce"}, "--loss bce is no loss for --target landmarks"),
        ({"ema": 1.0}, "--ema 1 would keep the initial weights"),
        ({"folds": 1, "fold": 1}, "at least two folds"),
        ({"folds": 3, "fold": 4}, "--fold 4 of --folds 3"),
        ({"fold": 1}, "--fold 1 of --folds 0"),
        ({"device": "abacus"}, "device 'abacus' is not available"),
    ],
)
def test_contradictory_settings_are_refused(
    small_store: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        train(tiny(small_store, tmp_path / "run", **changes))
    assert not (tmp_path / "run").exists()


def test_tensorboard_events_equal_metrics_csv(small_store: Path, tmp_path: Path) -> None:
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = train(tiny(small_store, tmp_path / "run", epochs=2, tensorboard=True))
    events = accumulators.EventAccumulator(str(folder))
    events.Reload()
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for tag, column in (("loss/train", "train_loss"), ("dice/val", "val_dice")):
        scalars = events.Scalars(tag)
        assert [event.step for event in scalars] == [1, 2]
        expected = [float(row[column]) for row in rows]
        assert [event.value for event in scalars] == pytest.approx(expected)


def test_the_message_tells_how_to_install_tensorboard(
    small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(SettingsError, match=r"pip install 'echo-lv-segmentation\[tensorboard\]'"):
        train(tiny(small_store, tmp_path / "run", tensorboard=True))


def test_a_new_run_is_named_by_what_is_not_a_default(
    small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = replace(
        TrainSettings(),
        store=small_store,
        epochs=1,
        width=2,
        learning_rate=0.01,
        loss="dice",
        device="cpu",
    )
    expected = "mask-epochs-1-learning-rate-0.01-width-2-loss-dice"
    assert train(settings) == Path("runs", expected)
    assert train(settings) == Path("runs", f"{expected}-2")


@pytest.mark.parametrize("steps", [1, 7, 13])
def test_steps_take_the_place_of_epochs(small_store: Path, tmp_path: Path, steps: int) -> None:
    frames = open_loader(tiny(small_store))[1].frames
    each = -(-len(frames.indices("TRAIN")) // 4)
    folder = train(tiny(small_store, tmp_path / "run", steps=steps, epochs=99))
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == -(-steps // each)
    assert (
        checkpoint(folder / "last.pt")["optimiser"]["state"][0]["step"] == len(rows) * each >= steps
    )


def test_the_curves_are_drawn_while_a_run_goes_on(
    small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    histories: list[list[int]] = []

    def draw(history: Sequence[EpochRow]) -> bytes:
        histories.append([row.epoch for row in history])
        return curves_png(history)

    monkeypatch.setattr("echo_train.training.resume.curves_png", draw)
    folder = tmp_path / "run"
    with (
        mock.patch.object(background_writer, "INTERVAL", 0),
        stopped_before(4),
        pytest.raises(KeyboardInterrupt),
    ):
        train(tiny(small_store, folder, epochs=5))
    assert imread(folder / "curves.png").ndim == 3 and not (folder / "summary.json").exists()
    # One point is no curve.
    assert histories == [[1, 2], [1, 2, 3]]
    # Within the interval between two writes they are drawn once, at the end.
    for epochs in (1, 3):
        histories.clear()
        train(tiny(small_store, tmp_path / str(epochs), epochs=epochs))
        assert histories == [list(range(1, epochs + 1))]


def test_a_short_training_is_told_of(small_store: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    train(tiny(small_store, tmp_path / "run", epochs=1), lines.append, quiet=False)
    assert any("steps in all are few" in line and "--steps 500" in line for line in lines)
