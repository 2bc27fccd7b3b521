"""The trainer: steps, epochs and validation of one network, without files.

`echo_train.training.train` runs it and saves its state.
"""

from __future__ import annotations

import contextlib
import math
import time

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from echo_common.errors import RunError
from echo_train.data.frame_set import Choice
from echo_train.data.loader import Loader
from echo_train.data.location_prior import make_prior
from echo_train.evaluation.trained_model import TrainedModel
from echo_train.losses.mask_losses import pixel_weights
from echo_train.metrics.results import Results
from echo_train.networks.architecture import Architecture, take_over
from echo_train.runs import run_folder
from echo_train.runtime import device as devices
from echo_train.runtime import distributed
from echo_train.runtime.distributed import ONLY_PROCESS, Process
from echo_train.runtime.memory import is_full_memory, root_message
from echo_train.runtime.precision import choose_precision, forward
from echo_train.runtime.signals import uninterrupted
from echo_train.targets.base import Target
from echo_train.targets.factory import make_target
from echo_train.training.optimiser import WeightEMA, make_optimiser, rate_factor, set_rate
from echo_train.training.progress_bar import ProgressBar
from echo_train.training.settings import TrainSettings
from echo_train.training.unfinished_epoch import UnfinishedEpoch
from echo_train.transforms.batch import EVALUATION_BATCH, Batch

LAGGING_STEPS = 100
"""Steps of a run during which the running statistics of batch normalisation lag behind weights."""

STATISTICS_BATCHES = 8
"""Batches of training from which they are computed again."""


class Trainer:
    """A network in training, its optimiser and its frames.

    Parameters
    ----------
    process : Process
        This process among those that train together.
    initial : TrainedModel, optional
        Its weights are those that the network begins with, as far as they fit.

    Attributes
    ----------
    history : list of EpochRow
        Complete epochs.
    best : EpochRow or None
        The one with the highest validation Dice.
    unfinished : UnfinishedEpoch or None
        The epoch after them, if it has begun.
    began_with : str
        Which initial weights were taken; empty for random ones.
    """

    def __init__(
        self,
        settings: TrainSettings,
        choice: Choice,
        loader: Loader,
        device: torch.device,
        process: Process = ONLY_PROCESS,
        initial: TrainedModel | None = None,
    ) -> None:
        self.settings = settings
        self.choice = choice
        self.loader = loader
        self.frames = loader.frames
        self.device = device
        self.process = process
        self.precision = choose_precision(settings.hardware.precision, device)
        prior = make_prior(settings.location_prior, loader)
        weights = None
        if prior is not None and settings.location_prior.prior_use == "weight":
            weights = pixel_weights(prior, settings.location_prior.prior_weight)
        self.target: Target = make_target(
            settings.losses, settings.decoding, choice, loader, weights
        )
        self.architecture = Architecture.of(
            settings.architecture,
            settings.location_prior,
            channels=self.target.channels,
            shape=loader.frames.shape,
            phase_channel=settings.data.phase_channel,
        )
        torch.manual_seed(settings.training.seed)
        network = self.architecture.make(prior)
        self.began_with = ""
        if initial is not None:
            source = f"{initial.folder} ({initial.choice})"
            self.began_with = take_over(network, initial.network, source)
        distributed.synchronise_batch_norm(network, process, device)
        # Convolutions are faster with channels last, on CPUs and GPUs.
        self.network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.ema = WeightEMA(self.network, settings.training.ema) if settings.training.ema else None
        optimiser = settings.optimiser
        self.optimiser = make_optimiser(
            self.network, optimiser.learning_rate, optimiser.weight_decay, device
        )
        parallel = distributed.data_parallel(self.network, process, device)
        # SyncBatchNorm splits the compiled graph of several processes. Whether compiling it is
        # worthwhile has not been measured.
        compiles = settings.hardware.compile and process.world_size == 1
        self._compiled = devices.compile_on_cuda(parallel, device, compiles)
        self.compiled = self._compiled is not parallel
        if self.compiled:
            loader.compile()
        self.history: list[run_folder.EpochRow] = []
        self.best: run_folder.EpochRow | None = None
        self.unfinished: UnfinishedEpoch | None = None

    def try_compiled(self) -> str | None:
        """Compile the network, and compute one batch without a step of the optimiser.

        Returns why it could not be compiled; the trainer then runs it uncompiled.
        """
        size = self.settings.training.batch_size
        order = self.loader.order(self.frames.indices("TRAIN"), 1)[:size]
        if not self.compiled or len(order) < size:
            return None
        buffers = {name: values.clone() for name, values in self.network.named_buffers()}
        self.network.train()
        try:
            for batch in self.loader.batches(order, size, 1):
                self.target.loss(self._forward(self._compiled, batch), batch).backward()  # type: ignore[no-untyped-call]
        except Exception as error:
            if is_full_memory(error):
                raise
            torch._dynamo.reset()
            self._compiled, self.compiled = self.network, False
            self.loader.compile(False)
            return root_message(error)
        finally:
            self.optimiser.zero_grad(set_to_none=True)
            for name, values in self.network.named_buffers():
                values.copy_(buffers[name])
        return None

    @property
    def evaluated_network(self) -> nn.Module:
        """The network that is validated and saved as the best: the moving average, if enabled."""
        return self.ema.network if self.ema else self.network

    def out_of_patience(self) -> bool:
        """Whether none of the last `patience` epochs was the best."""
        patience = self.settings.training.patience
        best_epoch = self.best.epoch if self.best else 0
        return patience > 0 and len(self.history) - best_epoch >= patience

    def images_trained(self) -> int:
        """Count the training images of all steps so far."""
        images = len(self.frames.indices("TRAIN"))
        steps = len(self.unfinished) if self.unfinished is not None else 0
        return len(self.history) * images + min(steps * self.settings.training.batch_size, images)

    def add_epoch(self, row: run_folder.EpochRow) -> bool:
        """Add an epoch to the history; returns whether it is the best so far."""
        self.history.append(row)
        self.unfinished = None
        if is_best := run_folder.is_better(row, self.best):
            self.best = row
        return is_best

    def begin_epoch(self, epoch: int) -> UnfinishedEpoch:
        """Begin an epoch, from 1, unless it has begun."""
        if self.unfinished is None or self.unfinished.epoch != epoch:
            collector = self.target.collector(self.frames, self.device, self._own_order(epoch))
            self.unfinished = UnfinishedEpoch(epoch, self.frames, collector)
        return self.unfinished

    def train_epoch(self, epoch: int, progress: ProgressBar) -> run_folder.EpochRow:
        """Train and validate one epoch, from 1; the steps that it has had are left out.

        Raises
        ------
        RunError
            If a loss is NaN or infinite.
        KeyboardInterrupt
            On Ctrl-C and SIGTERM. If this is the only process, `unfinished` has the last step.
        """
        unfinished = self.begin_epoch(epoch)
        started = time.perf_counter() - unfinished.seconds
        self._train(unfinished, progress)
        devices.synchronise(self.device)
        training_seconds = time.perf_counter() - started
        images = len(self.frames.indices("TRAIN"))
        if epoch * self.settings.training.steps_per_epoch(images) < LAGGING_STEPS:
            self._renew_statistics(epoch)
        train_loss = distributed.sum_over_processes(
            unfinished.total_loss(), self.process, self.device
        )
        training = unfinished.collector.results()
        validation, val_loss = self.validate(self.frames.indices("VAL"))
        if not math.isfinite(val_loss):
            raise RunError(
                f"the validation loss of epoch {epoch} is {val_loss}: the weights have become "
                "useless; lower --learning-rate or set --clip-norm"
            )
        return run_folder.EpochRow(
            epoch=epoch,
            train_loss=train_loss / images,
            train_dice=float(training.dice().mean()),
            val_loss=val_loss,
            val_dice=float(validation.dice().mean()),
            train_pixel_accuracy=float(training.pixel_accuracy().mean()),
            val_pixel_accuracy=float(validation.pixel_accuracy().mean()),
            seconds=time.perf_counter() - started,
            images_per_second=images / training_seconds,
            learning_rate=float(self.optimiser.param_groups[0]["lr"]),
        )

    def _train(self, unfinished: UnfinishedEpoch, progress: ProgressBar) -> None:
        """Take the remaining steps of an epoch."""
        started = time.perf_counter() - unfinished.seconds
        done, epoch = len(unfinished), unfinished.epoch
        images, full_size = len(self.frames.indices("TRAIN")), self.settings.training.batch_size
        steps = self.settings.training.steps_per_epoch(images)
        own_size = self.process.batch_size(full_size)
        if done == steps:
            return
        self.network.train()
        # Of several processes, the others would wait.
        guard = uninterrupted if self.process.world_size == 1 else contextlib.nullcontext
        batches = self.loader.batches(self._own_order(epoch)[done * own_size :], own_size, epoch)
        with contextlib.closing(batches):
            for step, batch in enumerate(batches, start=done):
                size = min(full_size, images - step * full_size)
                # A batch of another size would compile the network again.
                odd_size = self.compiled and size < full_size
                with guard():
                    logits = self._forward(self.network if odd_size else self._compiled, batch)
                    loss = self.target.loss(logits, batch)
                    weight = self.process.loss_weight(size)
                    self._step(loss * weight, (epoch - 1) * steps + step, steps)
                    reports = self.process.reports(size)
                    recent_loss = unfinished.add_loss(loss, batch.index, reports)
                    if reports:
                        unfinished.collector.update(logits.detach(), batch)
                    unfinished.seconds = time.perf_counter() - started
                progress.advance(size, recent_loss)

    def _renew_statistics(self, epoch: int) -> None:
        """Compute the statistics of batch normalisation again, with the weights of now."""
        size = self.process.batch_size(self.settings.training.batch_size)
        order = self._own_order(epoch)[: STATISTICS_BATCHES * size]
        with contextlib.closing(self.loader.batches(order, size, epoch)) as batches:
            update_bn((batch.images for batch in batches), self.evaluated_network)

    def _own_order(self, epoch: int) -> np.ndarray:
        """Order of the frames of an epoch that are this process's share."""
        order = self.loader.order(self.frames.indices("TRAIN"), epoch)
        return self.process.share(order, self.settings.training.batch_size)

    def _step(self, loss: Tensor, step: int, steps_per_epoch: int) -> None:
        """Change the weights by one step of the optimiser."""
        settings = self.settings.optimiser
        steps = self.settings.training.epochs * steps_per_epoch
        factor = rate_factor(step, steps, settings.schedule, settings.warm_up)
        set_rate(self.optimiser, settings.learning_rate * factor)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if settings.clip_norm:
            nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip_norm)
        self.optimiser.step()
        if self.ema:
            self.ema.update(self.network)

    def validate(self, order: np.ndarray) -> tuple[Results, float]:
        """Predict frames; returns the results and the mean loss."""
        network = self.evaluated_network.eval()
        collector = self.target.collector(self.frames, self.device)
        losses = []
        with torch.inference_mode():
            # The processes exchange nothing in a step, so they need not take the same number.
            own_order = order[self.process.rank :: self.process.world_size]
            with contextlib.closing(self.loader.batches(own_order, EVALUATION_BATCH)) as batches:
                for batch in batches:
                    logits = self._forward(network, batch)
                    losses.append(self.target.loss(logits, batch) * len(batch.index))
                    collector.update(logits, batch)
        total = distributed.sum_over_processes(
            float(torch.stack(losses).sum()), self.process, self.device
        )
        return collector.results(), total / len(order)

    def _forward(self, network: nn.Module, batch: Batch) -> Tensor:
        return forward(network, batch.images, self.device, self.precision)
