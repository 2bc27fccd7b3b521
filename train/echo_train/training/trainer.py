"""The trainer: epochs and steps of one network; `echo_train.training.train` runs it."""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from echo_common.cli.settings import to_table
from echo_common.errors import RunError
from echo_common.store.reader import EchoStore
from echo_train.data.frame_set import Choice
from echo_train.data.loader import Loader
from echo_train.data.location_prior import make_prior
from echo_train.losses.mask_losses import pixel_weights
from echo_train.metrics.results import Results
from echo_train.networks.architecture import Architecture
from echo_train.runs import run_folder
from echo_train.runs.checkpoint import load_checkpoint, save_checkpoint
from echo_train.runs.resume import check_same, store_keys
from echo_train.runtime import device as devices
from echo_train.runtime import distributed
from echo_train.runtime.distributed import ONLY_PROCESS, Process
from echo_train.targets.base import Target
from echo_train.targets.factory import make_target
from echo_train.training.ema import WeightEMA
from echo_train.training.loss_log import LossLog
from echo_train.training.optimiser import make_optimiser, set_rate
from echo_train.training.progress_bar import ProgressBar
from echo_train.training.schedule import rate_factor
from echo_train.training.settings import TrainSettings
from echo_train.training.tensorboard import TensorBoard
from echo_train.transforms.batch import EVALUATION_BATCH


class Trainer:
    """A network, its optimiser and the frames that it learns from.

    Parameters
    ----------
    settings : TrainSettings
    choice : Choice
    loader : Loader
    device : torch.device
    process : Process
        This process among those that train together.
    """

    def __init__(
        self,
        settings: TrainSettings,
        choice: Choice,
        loader: Loader,
        device: torch.device,
        process: Process = ONLY_PROCESS,
    ) -> None:
        self.settings = settings
        self.choice = choice
        self.loader = loader
        self.frames = loader.frames
        self.device = device
        self.process = process
        location, wanted = settings.location_prior, settings.architecture
        prior, weights = make_prior(location, loader), None
        if prior is not None and location.prior_use == "weight":
            weights = pixel_weights(prior, location.prior_weight)
        self.target: Target = make_target(
            settings.losses, settings.decoding, choice, loader, weights
        )
        seen = prior is not None and location.prior_use == "channel"
        self.architecture = Architecture(
            network=wanted.network,
            out_channels=self.target.channels,
            width=wanted.width,
            prior_shape=loader.frames.shape if seen else None,
        )
        torch.manual_seed(settings.training.seed)
        network = self.architecture.make(prior)
        distributed.synchronise_batch_norm(network, process, device)
        # Convolutions are faster with the channels last, on the CPU as on a GPU.
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        decay = settings.training.ema
        self.average = WeightEMA(self.network, decay) if decay else None
        self.optimiser = make_optimiser(
            self.network,
            settings.optimiser.learning_rate,
            settings.optimiser.weight_decay,
            device,
        )
        learner = distributed.data_parallel(self.network, process, device)
        self._learner = devices.compile_on_cuda(learner, device, settings.hardware.compile)
        self.history: list[run_folder.EpochRow] = []
        self.best: run_folder.EpochRow | None = None

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
        done, epochs = len(self.history), self.settings.training.epochs
        events = (
            TensorBoard(folder, done)
            if self.settings.folder.tensorboard and self.process.is_first
            else None
        )
        with ProgressBar(epochs * images, done * images, epochs, quiet) as progress:
            for epoch in range(done + 1, epochs + 1):
                if self._stands_still():
                    break
                row = self._epoch(epoch, progress)
                progress.show_epoch(row)
                self.history.append(row)
                better = run_folder.is_better(row, self.best)
                if better:
                    self.best = row
                if self.process.is_first:
                    save(self, folder, store, better)
                    if events:
                        events.write(row)
        if events:
            events.close()
        if self.process.is_first:
            run_folder.write_metrics(folder, self.history)

    def evaluate(self, order: np.ndarray) -> tuple[Results, float]:
        """Predict some frames; gives the results and the mean loss."""
        network, collector = self.judged.eval(), self.target.collector(self.frames, self.device)
        losses = []
        with torch.inference_mode():
            # Nothing is exchanged in a step, so the processes need not keep step.
            own = order[self.process.rank :: self.process.world_size]
            for batch in self.loader.batches(own, EVALUATION_BATCH):
                logits = self._forward(network, batch.images)
                losses.append(self.target.loss(logits, batch) * len(batch.index))
                collector.update(logits, batch)
        total = distributed.sum_over_processes(
            float(torch.stack(losses).sum()), self.process, self.device
        )
        return collector.results(), total / len(order)

    def _epoch(self, epoch: int, progress: ProgressBar) -> run_folder.EpochRow:
        started = time.perf_counter()
        order = self.loader.order(self.frames.indices("TRAIN"), epoch)
        losses = LossLog(self.frames, epoch)
        self.network.train()
        whole = self.settings.training.batch_size
        own = self.process.share(order, whole)
        collector = self.target.collector(self.frames, self.device, own)
        steps = math.ceil(len(order) / whole)
        batches = self.loader.batches(own, self.process.batch_size(whole), epoch)
        for step, batch in enumerate(batches):
            size = min(whole, len(order) - step * whole)
            # A compiled network is for whole batches; another size would compile it again.
            network = (
                self._learner if size == whole or self.process.world_size > 1 else self.network
            )
            logits = self._forward(network, batch.images)
            loss = self.target.loss(logits, batch)
            self._move(loss * self.process.loss_weight(size), (epoch - 1) * steps + step, steps)
            counts = self.process.reports(size)
            recent = losses.add(loss, batch.index, counts)
            if counts:
                collector.update(logits.detach(), batch)
            progress.advance(size, recent)
        devices.synchronise(self.device)
        trained = time.perf_counter() - started
        train_loss = distributed.sum_over_processes(
            losses.total(), self.process, self.device
        ) / len(order)
        learnt = collector.results()
        results, val_loss = self.evaluate(self.frames.indices("VAL"))
        return run_folder.EpochRow(
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
        settings = self.settings.optimiser
        steps = self.settings.training.epochs * steps_per_epoch
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
        return devices.forward(network, images, self.device, self.settings.hardware.bf16)

    def _stands_still(self) -> bool:
        """Whether the last epochs, as many as `patience`, were no better than one before."""
        if not self.settings.training.patience:
            return False
        best = self.best.epoch if self.best else 0
        return len(self.history) - best >= self.settings.training.patience


def save(trainer: Trainer, folder: Path, store: EchoStore, better: bool) -> None:
    """Save the state after an epoch: the best weights where they are better, then the last.

    In this order, and metrics.csv after both: a run that is killed in between
    goes on from the last checkpoint, and comes by the same best weights again.
    """
    told = {
        "history": [dataclasses.asdict(row) for row in trainer.history],
        "best": dataclasses.asdict(trainer.best) if trainer.best else None,
        "store": store_keys(store, trainer.choice),
        "target": trainer.target.state(),
        "architecture": dataclasses.asdict(trainer.architecture),
        "shape": list(trainer.frames.shape),
    }
    if better:
        save_checkpoint(folder / run_folder.BEST, {"network": trainer.judged.state_dict(), **told})
    state = {
        "network": trainer.network.state_dict(),
        "average": trainer.average.state_dict() if trainer.average else None,
        "optimiser": trainer.optimiser.state_dict(),
        **told,
    }
    save_checkpoint(folder / run_folder.LAST, state)
    run_folder.write_metrics(folder, trainer.history)


def take_up(trainer: Trainer, folder: Path, store: EchoStore) -> None:
    """Give a trainer the state after the last complete epoch of a run; there may be none yet.

    Raises
    ------
    RunError
        If the run is of other settings or another store, or its checkpoint
        cannot be read.
    """
    # A store may have been moved: what it holds is compared, and not where it is.
    check_same(run_folder.read_config(folder), to_table(trainer.settings), folder, free=["store"])
    if trainer.process.is_first:
        run_folder.remove_unfinished(folder)
    if not (folder / run_folder.LAST).exists():
        return
    state = load_checkpoint(folder / run_folder.LAST, trainer.device)
    before, now = state.get("store", {}), store_keys(store, trainer.choice)
    changed = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    if changed:
        raise RunError(
            f"{store.path} is not the store that {folder} was begun with, or was built anew since: "
            f"other {', '.join(changed)}; give a new --run, or the store of then"
        )
    try:
        _load(trainer, state)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).strip().split("\n")[-1].strip()
        raise RunError(
            f"{folder / run_folder.LAST} does not fit its run ({reason}); start again with a new "
            "--run"
        ) from error


def _load(trainer: Trainer, state: dict[str, Any]) -> None:
    trainer.network.load_state_dict(state["network"])
    trainer.optimiser.load_state_dict(state["optimiser"])
    if trainer.average:
        trainer.average.load_state_dict(state["average"])
    trainer.history = [run_folder.EpochRow(**row) for row in state["history"]]
    trainer.best = run_folder.EpochRow(**state["best"]) if state["best"] else None
