"""The training loop: from settings to a run folder. `echo-train` calls `train`."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from echo_common import atomic
from echo_common.errors import NotInStoreError, RunError, SettingsError
from echo_common.settings import to_toml
from echo_common.store import EchoStore
from torch import Tensor, nn

from echo_train import device as devices
from echo_train import run
from echo_train.config import TrainSettings
from echo_train.finish import finish
from echo_train.frames import Choice, choose
from echo_train.landmark_losses import LANDMARK_LOSSES
from echo_train.live import Live
from echo_train.loader import Loader, make_loader
from echo_train.mask_losses import MASK_LOSSES
from echo_train.results import Results
from echo_train.resume import check_same, store_keys
from echo_train.targets import Prediction, Target, make_target
from echo_train.unet import UNet

Say = Callable[[str], None]

EVALUATION_BATCH = 64
"""Frames a batch where no gradient is kept."""


def train(settings: TrainSettings, say: Say = lambda line: None, quiet: bool = True) -> Path:
    """Train a network on a store, and measure it on the splits.

    Parameters
    ----------
    settings : TrainSettings
    say : callable
        Takes each line that a person should read.
    quiet : bool
        No progress on stderr.

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
    _check(settings)
    started = time.perf_counter()
    device = devices.pick_device(settings.device)
    store = EchoStore(settings.store)
    choice = choose(store, settings)
    loader = make_loader(store, choice, settings, device)
    frames = loader.frames
    for split in ("TRAIN", "VAL"):
        if not len(frames.indices(split)):
            raise NotInStoreError(
                f"{store.path} has no readable frame of the split {split}; the column Split of "
                "FileList.csv says which videos are for training, validation and test"
            )
    folder = _run_folder(settings)
    settings = _resolve(settings, choice, folder)
    trainer = Trainer(settings, choice, loader, device)
    if settings.resume:
        trainer.resume(folder, store)
    else:
        atomic.write_text(folder / run.CONFIG, to_toml(settings))
    say(
        f"{choice}; {len(frames.indices('TRAIN'))} training frames; "
        f"U-Net of width {settings.width}, {trainer.parameters() / 1e6:.2f} million parameters; "
        f"{devices.describe(device)}"
    )
    say(f"ready after {time.perf_counter() - started:.1f} s; run folder {folder}")
    try:
        trainer.fit(folder, store, quiet)
    except KeyboardInterrupt as stop:
        raise KeyboardInterrupt(
            f"go on after the last complete epoch with: echo-train --resume --run {folder}"
        ) from stop
    finish(trainer, folder)
    return folder


class Trainer:
    """A network, its optimiser and the frames that it learns from.

    Parameters
    ----------
    settings : TrainSettings
    choice : Choice
    loader : Loader
    device : torch.device
    """

    def __init__(
        self, settings: TrainSettings, choice: Choice, loader: Loader, device: torch.device
    ) -> None:
        self.settings = settings
        self.choice = choice
        self.loader = loader
        self.frames = loader.frames
        self.device = device
        self.target: Target = make_target(settings, choice, loader.frames)
        torch.manual_seed(settings.seed)
        network = UNet(out_channels=self.target.channels, width=settings.width)
        # Convolutions are faster with the channels last, on the CPU as on a GPU.
        self.network: nn.Module = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=settings.learning_rate)
        self.history: list[run.EpochRow] = []
        self.best: run.EpochRow | None = None

    def parameters(self) -> int:
        """Number of the network's parameters."""
        return sum(values.numel() for values in self.network.parameters())

    def fit(self, folder: Path, store: EchoStore, quiet: bool = True) -> None:
        """Train the epochs that are left, and keep the last and the best state of each."""
        order = self.frames.indices("TRAIN")
        done, epochs = len(self.history), self.settings.epochs
        with Live(epochs * len(order), done * len(order), epochs, quiet) as live:
            for epoch in range(done + 1, epochs + 1):
                row = self._epoch(epoch, live)
                self.history.append(row)
                live.epoch(row)
                better = run.is_better(row, self.best)
                if better:
                    self.best = row
                state = self._state(store)
                if better:
                    run.save_checkpoint(folder / run.BEST, state)
                run.save_checkpoint(folder / run.LAST, state)
                run.write_metrics(folder, self.history)

    def resume(self, folder: Path, store: EchoStore) -> None:
        """Take up the last complete epoch of a run; there may be none yet.

        Raises
        ------
        RunError
            If the run is of other settings or another store, or its
            checkpoint cannot be read.
        """
        check_same(run.read_config(folder), self.settings, folder)
        if not (folder / run.LAST).exists():
            return
        state = run.load_checkpoint(folder / run.LAST, self.device)
        if state["store"] != store_keys(store, self.choice):
            raise RunError(
                f"{store.path} was built anew since {folder} was begun; give a new --run, or the "
                "store that it was begun with"
            )
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.history = [run.EpochRow(**row) for row in state["history"]]
        self.best = run.EpochRow(**state["best"]) if state["best"] else None

    def evaluate(self, order: np.ndarray) -> tuple[Results, float]:
        """Predict some frames; gives the results and the mean loss."""
        self.network.eval()
        collector = self.target.collector(self.frames, self.device)
        losses = []
        with torch.inference_mode():
            for batch in self.loader.batches(order, EVALUATION_BATCH):
                logits = self._forward(batch.images)
                losses.append(self.target.loss(logits, batch) * len(batch.index))
                collector.update(logits, batch)
        return collector.results(), float(torch.stack(losses).sum()) / len(order)

    def predict(self, order: np.ndarray) -> Prediction:
        """Predict a few frames, in the order given."""
        self.network.eval()
        with torch.inference_mode():
            (batch,) = self.loader.batches(order, len(order))
            return self.target.predict(self._forward(batch.images))

    def _epoch(self, epoch: int, live: Live) -> run.EpochRow:
        started = time.perf_counter()
        order = self.loader.order(self.frames.indices("TRAIN"), epoch)
        collector = self.target.collector(self.frames, self.device)
        self.network.train()
        losses = []
        for batch in self.loader.batches(order, self.settings.batch_size, epoch):
            logits = self._forward(batch.images)
            loss = self.target.loss(logits, batch)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimiser.step()
            losses.append(loss.detach() * len(batch.index))
            collector.update(logits.detach(), batch)
            live.images(len(batch.index))
        devices.synchronise(self.device)
        trained = time.perf_counter() - started
        train_loss = float(torch.stack(losses).sum()) / len(order)
        if not np.isfinite(train_loss):
            raise RunError(
                f"the loss is {train_loss} in epoch {epoch}; lower --learning-rate. The run "
                "folder keeps the last epoch before"
            )
        results, val_loss = self.evaluate(self.frames.indices("VAL"))
        return run.EpochRow(
            epoch=epoch,
            train_loss=train_loss,
            train_dice=float(collector.results().dice().mean()),
            val_loss=val_loss,
            val_dice=float(results.dice().mean()),
            seconds=time.perf_counter() - started,
            images_per_second=len(order) / trained,
        )

    def _forward(self, images: Tensor) -> Tensor:
        with devices.autocast(self.device):
            logits: Tensor = self.network(images.contiguous(memory_format=torch.channels_last))
        return logits.float()

    def _state(self, store: EchoStore) -> dict[str, Any]:
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "target": self.target.state(),
            "history": [dataclasses.asdict(row) for row in self.history],
            "best": dataclasses.asdict(self.best) if self.best else None,
            "store": store_keys(store, self.choice),
        }


def _check(settings: TrainSettings) -> None:
    known = MASK_LOSSES if settings.target == "mask" else LANDMARK_LOSSES
    if settings.loss_name() not in known:
        raise SettingsError(
            f"--loss {settings.loss} is no loss for --target {settings.target}; choose one of "
            f"{', '.join(known)}"
        )
    if settings.resume and settings.run is None:
        raise SettingsError("--resume needs --run, the folder of the run to go on with")


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


def _run_folder(settings: TrainSettings) -> Path:
    if settings.run is None:
        name = "mask" if settings.target == "mask" else f"landmarks-{settings.landmarks}"
        return run.new_run_folder(run.RUNS, name)
    if not settings.resume:
        run.claim_run_folder(settings.run)
    return settings.run
