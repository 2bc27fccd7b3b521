"""Contenders in plain PyTorch: a Dataset of single samples, a DataLoader and a training loop."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator

import numpy as np
import torch
from contenders.contender import BATCH, WIDTH, Clock, Contender, Epoch, dice
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from echo_train.networks.unet import UNet

SHIFT, SCALE, ROTATION, GAMMA = 0.05, 0.1, 10, 0.2
"""Strengths of the augmentation, as in `--augment light`."""

LEARNING_RATE = 4e-3
"""Peak of the one-cycle schedule, as in `make demo`."""


def augment_sample(image: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Apply an affine map and a gamma at random to an image (1, y, x) and its mask (y, x)."""
    angle, size, x, y, gamma = (2 * torch.rand(5) - 1).tolist()
    angle, size = math.radians(ROTATION) * angle, (1 + SCALE) ** size
    cos, sin = math.cos(angle) / size, math.sin(angle) / size
    shift = 2 * SHIFT
    theta = torch.tensor([[cos, sin, shift * x], [-sin, cos, shift * y]])
    grid = functional.affine_grid(theta[None], [1, 2, *mask.shape], align_corners=False)
    both = functional.grid_sample(torch.stack([image[0], mask])[None], grid, align_corners=False)
    return both[0, :1] ** ((1 + GAMMA) ** gamma), (both[0, 1] > 0.5).float()


class PlainContender(Contender):
    """A contender that makes samples one at a time, and trains in float32."""

    @abstractmethod
    def samples(self, split: str, augment: bool) -> Dataset[tuple[Tensor, Tensor]]:
        """Images (1, y, x) in [0, 1] and masks (y, x) of a split."""

    def network(self) -> nn.Module:
        """Network whose output (frame, 1, y, x) is logits."""
        return UNet(out_channels=1, width=WIDTH)

    def loader(self, augment: bool) -> DataLoader[tuple[Tensor, Tensor]]:
        """Open the training frames."""
        return DataLoader(self.samples("TRAIN", augment), BATCH, shuffle=True)

    def train(self, epochs: int) -> Iterator[Epoch]:
        """Train with Adam, a one-cycle schedule and cross entropy, as `make demo` does."""
        clock, network = Clock(), self.network()
        train = self.loader(augment=True)
        val, test = (DataLoader(self.samples(split, False), BATCH) for split in ("VAL", "TEST"))
        optimiser = torch.optim.Adam(network.parameters())
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, LEARNING_RATE, total_steps=epochs * len(train)
        )
        for _ in range(epochs):
            network.train()
            for images, masks in train:
                loss = functional.binary_cross_entropy_with_logits(network(images)[:, 0], masks)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
            val_dice = mean_dice(network, val)
            cpu = clock()
            yield Epoch(cpu=cpu, val=val_dice, test=clock.without(lambda: mean_dice(network, test)))


@torch.inference_mode()
def mean_dice(network: nn.Module, batches: DataLoader[tuple[Tensor, Tensor]]) -> float:
    """Mean foreground Dice over frames."""
    network.eval()
    scores: list[float] = []
    for images, masks in batches:
        scores += dice((network(images)[:, 0] > 0).numpy(), (masks > 0.5).numpy())
    return float(np.mean(scores))
