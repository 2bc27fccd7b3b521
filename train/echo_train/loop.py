"""The training loop: from settings to a run folder. `echo-train` calls `train`."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from echo_common import atomic
from echo_common.errors import NotInStoreError
from echo_common.settings import to_toml
from echo_common.store import EchoStore
from torch import Tensor, nn

from echo_train import device as devices
from echo_train import distributed, run
from echo_train.average import Average
from echo_train.config import TrainSettings
from echo_train.distributed import ALONE, Ranks
from echo_train.events import make_events
from echo_train.finish import finish
from echo_train.frames import Choice, choose
from echo_train.live import Live
from echo_train.loader import Loader, make_loader, pick_loader
from echo_train.losslog import LossLog
from echo_train.networks import Architecture
from echo_train.optimiser import make_optimiser, set_rate
from echo_train.prior import make_prior
from echo_train.results import Results
from echo_train.resume import resumable, save, take_up
from echo_train.schedule import rate_factor
from echo_train.targets import Target, make_target

Say = Callable[[str], None]

EVALUATION_BATCH = 64
"""Frames a batch where no gradient is kept."""


def train(
    settings: TrainSettings,
    say: Say = lambda line: None,
    quiet: bool = True,
    ranks: Ranks = ALONE,
) -> Path:
    """Train a network on a store, and measure it on the splits.

    Parameters
    ----------
    settings : TrainSettings
    say : callable
        Takes each line that a person should read.
    quiet : bool
        No progress on stderr.
    ranks : Ranks
        Which of the processes that train together this one is.

    Returns
    -------
    folder : Path
        The run folder.

    Raises
    ------
    SettingsError
        If the settings contradict each other.
    StoreError
        If the store is not there, is damaged, or lacks what is asked for.
    RunError
        If the run folder cannot be used, or the loss is no number any more.
    """
    settings.check()
    started = time.perf_counter()
    device = devices.pick_device(settings.device, ranks.local)
    with distributed.joined(ranks, device), devices.memory_explained(device, _advice(settings)):
        store = EchoStore(settings.store)
        choice = choose(store, settings)
        source = distributed.done_by_first(
            lambda: pick_loader(store, choice, settings, device), ranks
        )
        settings = dataclasses.replace(settings, loader=source)
        loader = make_loader(store, choice, settings, device)
        _check_splits(store, loader, settings, ranks)
        folder = distributed.done_by_first(lambda: run.open_folder(settings), ranks)
        settings = _resolve(settings, choice, folder)
        trainer = Trainer(settings, choice, loader, device, ranks)
        with run.held(folder, ranks.first), resumable(folder):
            if settings.resume:
                take_up(trainer, folder, store)
            elif ranks.first:
                atomic.write_text(
                    folder / run.CONFIG, to_toml(settings, leave_out=("run", "resume"))
                )
            if ranks.first:
                say(
                    f"{choice}; {len(loader.frames.indices('TRAIN'))} training frames; "
                    f"{settings.network} of width {settings.width}, "
                    f"{trainer.parameters() / 1e6:.2f} million parameters; "
                    f"{devices.describe_use(device, settings.compile, settings.bf16)}"
                )
                say(f"ready after {time.perf_counter() - started:.1f} s; run folder {folder}")
            trainer.fit(folder, store, quiet or not ranks.first)
            distributed.leave()
            if ranks.first:
                trainer.ranks = ALONE
                finish(trainer, folder, store)
    return folder


class Trainer:
    """A network, its optimiser and the frames that it learns from.

    Parameters
    ----------
    settings : TrainSettings
    choice : Choice
    loader : Loader
    device : torch.device
    ranks : Ranks
        Which of the processes that train together this one is.
    """

    def __init__(
        self,
        settings: TrainSettings,
        choice: Choice,
        loader: Loader,
        device: torch.device,
        ranks: Ranks = ALONE,
    ) -> None:
        self.settings = settings
        self.choice = choice
        self.loader = loader
        self.frames = loader.frames
        self.device = device
        self.ranks = ranks
        prior = make_prior(settings, loader)
        self.target: Target = make_target(settings, choice, loader, prior)
        seen = prior is not None and settings.prior_use == "channel"
        self.architecture = Architecture(
            network=settings.network,
            out_channels=self.target.channels,
            width=settings.width,
            prior_shape=loader.frames.shape if seen else None,
        )
        torch.manual_seed(settings.seed)
        network = self.architecture.make(prior)
        network = distributed.synchronise_normalisation(network, ranks, device)
        # Convolutions are faster with the channels last, on the CPU as on a GPU.
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = Average(self.network, settings.ema) if settings.ema else None
        self.optimiser = make_optimiser(
            self.network, settings.learning_rate, settings.weight_decay, device
        )
        learner = distributed.in_parallel(self.network, ranks, device)
        self._learner = devices.compiled(learner, device, settings.compile)
        self.history: list[run.EpochRow] = []
        self.best: run.EpochRow | None = None

    def parameters(self) -> int:
        """Number of the network's parameters."""
        return sum(values.numel() for values in self.network.parameters())

    @property
    def judged(self) -> nn.Module:
        """The network that is validated: with the average of the weights, where one is kept."""
        return self.average.network if self.average else self.network

    def fit(self, folder: Path, store: EchoStore, quiet: bool = True) -> None:
        """Train the epochs that are left, and keep the last and the best state of each."""
        images = len(self.frames.indices("TRAIN"))
        done, epochs = len(self.history), self.settings.epochs
        events = make_events(self.settings.tensorboard and self.ranks.first, folder, done)
        with Live(epochs * images, done * images, epochs, quiet) as live:
            for epoch in range(done + 1, epochs + 1):
                if self._stands_still():
                    break
                row = self._epoch(epoch, live)
                live.epoch(row)
                self.history.append(row)
                better = run.is_better(row, self.best)
                if better:
                    self.best = row
                if self.ranks.first:
                    save(self, folder, store, better)
                    events.epoch(row)
        events.close()
        if self.ranks.first:
            run.write_metrics(folder, self.history)

    def evaluate(self, order: np.ndarray) -> tuple[Results, float]:
        """Predict some frames; gives the results and the mean loss."""
        network, collector = self.judged.eval(), self.target.collector(self.frames, self.device)
        losses = []
        with torch.inference_mode():
            # Nothing is exchanged in a step, so the processes need not keep step.
            own = order[self.ranks.rank :: self.ranks.count]
            for batch in self.loader.batches(own, EVALUATION_BATCH):
                logits = self._forward(network, batch.images)
                losses.append(self.target.loss(logits, batch) * len(batch.index))
                collector.update(logits, batch)
        total = distributed.summed(float(torch.stack(losses).sum()), self.ranks, self.device)
        return collector.results(), total / len(order)

    def _epoch(self, epoch: int, live: Live) -> run.EpochRow:
        started = time.perf_counter()
        order = self.loader.order(self.frames.indices("TRAIN"), epoch)
        collector = self.target.collector(self.frames, self.device)
        losses = LossLog(self.frames, epoch)
        self.network.train()
        whole = self.settings.batch_size
        own = self.ranks.share(order, whole)
        steps = math.ceil(len(order) / whole)
        batches = self.loader.batches(own, self.ranks.batch_size(whole), epoch)
        for step, batch in enumerate(batches):
            size = min(whole, len(order) - step * whole)
            # A compiled network is for whole batches; another size would compile it again.
            network = self._learner if size == whole or self.ranks.count > 1 else self.network
            logits = self._forward(network, batch.images)
            loss = self.target.loss(logits, batch)
            self._move(loss * self.ranks.weight(size), (epoch - 1) * steps + step, steps)
            counts = self.ranks.counts(size)
            recent = losses.add(loss, batch.index, counts)
            if counts:
                collector.update(logits.detach(), batch)
            live.images(size, recent)
        devices.synchronise(self.device)
        trained = time.perf_counter() - started
        train_loss = distributed.summed(losses.total(), self.ranks, self.device) / len(order)
        learnt = collector.results()
        results, val_loss = self.evaluate(self.frames.indices("VAL"))
        return run.EpochRow(
            epoch=epoch,
            train_loss=train_loss,
            train_dice=float(learnt.dice().mean()),
            val_loss=val_loss,
            val_dice=float(results.dice().mean()),
            train_pixel_accuracy=float(learnt.pixel_accuracy().mean()),
            val_pixel_accuracy=float(results.pixel_accuracy().mean()),
            seconds=time.perf_counter() - started,
            images_per_second=len(order) / trained,
        )

    def _move(self, loss: Tensor, step: int, steps_per_epoch: int) -> None:
        """Take one step of the optimiser."""
        settings = self.settings
        steps = settings.epochs * steps_per_epoch
        factor = rate_factor(step, steps, settings.schedule, settings.warm_up)
        set_rate(self.optimiser, settings.learning_rate * factor)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if settings.clip_norm:
            nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip_norm)
        self.optimiser.step()
        if self.average:
            self.average.update(self.network)

    def _forward(self, network: nn.Module, images: Tensor) -> Tensor:
        with devices.autocast(self.device, self.settings.bf16):
            logits: Tensor = network(images.contiguous(memory_format=torch.channels_last))
        return logits.float()

    def _stands_still(self) -> bool:
        """Whether the last epochs, as many as `patience`, were no better than one before."""
        if not self.settings.patience:
            return False
        best = self.best.epoch if self.best else 0
        return len(self.history) - best >= self.settings.patience


def _check_splits(store: EchoStore, loader: Loader, settings: TrainSettings, ranks: Ranks) -> None:
    frames = {split: len(loader.frames.indices(split)) for split in ("TRAIN", "VAL")}
    for split, count in frames.items():
        if not count:
            raise NotInStoreError(
                f"{store.path} has no readable frame of the split {split}; the column Split of "
                "FileList.csv says which videos are for training, validation and test"
            )
    distributed.check(ranks, settings.batch_size, frames)


def _advice(settings: TrainSettings) -> str:
    return f"lower --batch-size (it is {settings.batch_size}) or --width (it is {settings.width})"


def _resolve(settings: TrainSettings, choice: Choice, folder: Path) -> TrainSettings:
    """Put what was chosen in the place of what was left open, so that a run says all of it."""
    return dataclasses.replace(
        settings,
        run=folder,
        method=choice.method,
        identity=choice.landmarks.identity if choice.landmarks else None,
        falloff=choice.falloff,
        loss=settings.loss_name(),
    )
