"""MONAI from PNG files: its PersistentDataset or its CacheDataset, its transforms and its U-Net."""

from __future__ import annotations

import math

from contenders.contender import WIDTH, main
from contenders.plain import GAMMA, ROTATION, SCALE, SHIFT, PlainContender
from monai.data import CacheDataset, PersistentDataset, set_track_meta
from monai.networks.nets import UNet
from monai.transforms import (
    Compose,
    EnsureChannelFirstd,
    LoadImaged,
    RandAdjustContrastd,
    RandAffined,
    ScaleIntensityRanged,
)
from torch import Tensor, nn
from torch.utils.data import Dataset

KEYS = ("image", "mask")


class Pairs(Dataset[tuple[Tensor, Tensor]]):
    """Items of a MONAI dataset as images and masks."""

    def __init__(self, items: Dataset[dict[str, Tensor]], count: int) -> None:
        self.items, self.count = items, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        item = self.items[number]
        return item["image"], item["mask"][0]


class MonaiDatasets(PlainContender):
    """MONAI with the variants ``persistent`` and ``cache``."""

    def prepare(self, method: str) -> None:
        """Fill the cache on disk; the CacheDataset fills one in memory when it is opened."""
        if self.variant == "persistent":
            for split in ("TRAIN", "VAL", "TEST"):
                pairs = self.samples(split, augment=False, method=method)
                for number in range(len(pairs)):
                    pairs[number]

    def samples(self, split: str, augment: bool, method: str = "chords") -> Pairs:
        """Open a split; what is cached ends before the first random transform."""
        files = [
            {"image": str(self.png("images", frame)), "mask": str(self.png(method, frame))}
            for frame in self.frames(split)
        ]
        transforms = [
            LoadImaged(KEYS, reader="PILReader"),
            EnsureChannelFirstd(KEYS, channel_dim="no_channel"),
            ScaleIntensityRanged("image", 0, 255, 0, 1),
        ]
        if augment:
            transforms += [
                RandAffined(
                    KEYS,
                    prob=1,
                    rotate_range=math.radians(ROTATION),
                    translate_range=SHIFT * 112,
                    scale_range=SCALE,
                    mode=("bilinear", "nearest"),
                    padding_mode="zeros",
                ),
                RandAdjustContrastd("image", prob=1, gamma=(1 / (1 + GAMMA), 1 + GAMMA)),
            ]
        transform = Compose(transforms)
        # Plain tensors, which are faster than MONAI's with the history of transforms.
        set_track_meta(False)
        if self.variant == "cache":
            items = CacheDataset(files, transform, num_workers=1, progress=False)
        else:
            items = PersistentDataset(files, transform, cache_dir=self.work / "monai-persistent")
        return Pairs(items, len(files))

    def network(self) -> nn.Module:
        """Residual U-Net with strided convolutions."""
        channels = [WIDTH << level for level in range(5)]
        return UNet(2, 1, 1, channels, strides=(2, 2, 2, 2), num_res_units=2)


if __name__ == "__main__":
    main(MonaiDatasets)
