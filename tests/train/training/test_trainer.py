"""The trainer: its steps equal those of a plain loop, and a loss that is not finite ends it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from echo_common.errors import RunError
from echo_common.output_folder import RECORD_FOLDER, OutputFolder
from echo_common.store.reader import EchoStore
from echo_train.training.progress_bar import ProgressBar
from echo_train.training.train import train, train_epochs
from echo_train.training.trainer import STATISTICS_BATCHES, Trainer
from echo_train.transforms.batch import epoch_order
from support.training import checkpoint, losses_of, make_trainer, tiny


def test_prior_weighs_the_loss_or_is_left_to_the_network(small_store: Path) -> None:
    prior = {"prior": "box", "prior_box": (0, 0, 111, 55), "prior_weight": 3.0}
    weights = make_trainer(tiny(small_store, **prior)).target.state()["pixel_weights"]
    assert weights[0, 0] / weights[111, 0] == 4 and weights.mean() == pytest.approx(1)
    seen = make_trainer(tiny(small_store, **prior, prior_use="channel"))
    assert seen.target.state() == {}


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
