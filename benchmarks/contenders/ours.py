"""A store of this project, its resident loader, and the training of `make demo`.

Preparation does not import torch, like `echo-prep build`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from contenders.contender import BATCH, Clock, Contender, Epoch, main

if TYPE_CHECKING:
    from torch import Tensor

    from echo_train.data.loader import Loader
    from echo_train.training.settings import TrainSettings


class Batches:
    """Passes over the training frames."""

    def __init__(self, loader: Loader, augment: bool) -> None:
        self.loader, self.augment, self.epoch = loader, augment, 0

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        self.epoch += 1
        order = self.loader.order(self.loader.frames.indices("TRAIN"), self.epoch)
        for batch in self.loader.batches(order, BATCH, self.epoch if self.augment else None):
            yield batch.images, batch.masks


class Ours(Contender):
    """Preparation, loading and training by this project."""

    def prepare(self, method: str) -> None:
        """Build the store, or add masks of another method to it."""
        from echo_prep.build.build import build
        from echo_prep.settings import BuildSettings

        build(
            BuildSettings(
                data=self.work / "data",
                store=self.work / "ours.zarr",
                method=(method,),
                masks_only=True,
                jobs=1,
            )
        )

    def settings(self) -> TrainSettings:
        """Settings of `make demo`, with the batches of every contender."""
        from time_to_dice import DEMO

        from echo_common.cli.settings import replace

        return replace(DEMO, store=self.work / "ours.zarr", method="chords", batch_size=BATCH)

    def loader(self, augment: bool) -> Iterable[tuple[Tensor, Tensor]]:
        """Read the store into memory."""
        import torch
        from helpers import open_loader

        return Batches(open_loader(self.settings(), torch.device("cpu"))[1], augment)

    def train(self, epochs: int) -> Iterator[Epoch]:
        """Train as `echo-train` does, without writing."""
        import torch
        from helpers import open_loader

        from echo_common.cli.settings import replace
        from echo_train.training.progress_bar import ProgressBar
        from echo_train.training.trainer import Trainer

        clock, device = Clock(), torch.device("cpu")
        settings = replace(self.settings(), epochs=epochs, seed=torch.initial_seed())
        trainer = Trainer(settings, *open_loader(settings, device), device)
        test = trainer.frames.indices("TEST")
        with ProgressBar(0, 0, epochs, quiet=True) as progress:
            for epoch in range(1, epochs + 1):
                row = trainer.train_epoch(epoch, progress)
                cpu = clock()
                dice = clock.without(lambda: float(trainer.validate(test)[0].dice().mean()))
                yield Epoch(cpu=cpu, val=row.val_dice, test=dice)


if __name__ == "__main__":
    main(Ours)
