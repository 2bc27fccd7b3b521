"""A PyTorch Dataset that reads single frames of this project's store with the package zarr."""

from __future__ import annotations

import numpy as np
import torch
import zarr
from contenders.contender import main
from contenders.plain import PlainContender, augment_sample
from torch import Tensor
from torch.utils.data import Dataset

SPLITS = ("TRAIN", "VAL", "TEST")
"""Codes of `index/split`, from the specification of the store."""


class ZarrSamples(Dataset[tuple[Tensor, Tensor]]):
    """Frames and masks of a split; each is read from its chunk when it is asked for."""

    def __init__(self, store: zarr.Group, split: str, augment: bool) -> None:
        usable = store["index/status"][:] == 0
        self.rows = np.flatnonzero((store["index/split"][:] == SPLITS.index(split)) & usable)
        self.frames, self.masks = store["frames"], store["masks/chords"]
        self.augment = augment

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        row = int(self.rows[number])
        image = torch.from_numpy(self.frames[row])[None] / 255
        mask = torch.from_numpy(self.masks[row]).float()
        return augment_sample(image, mask) if self.augment else (image, mask)


class ZarrDataset(PlainContender):
    """The store of this project without its loader."""

    def samples(self, split: str, augment: bool) -> ZarrSamples:
        """Open the store that the contender `ours` prepared."""
        return ZarrSamples(zarr.open_group(self.work / "ours.zarr", mode="r"), split, augment)


if __name__ == "__main__":
    main(ZarrDataset)
