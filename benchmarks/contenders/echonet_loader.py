"""The procedure of EchoNet-Dynamic's own loader: for each sample, decode the whole video.

The mask is the polygon of the traced points, rounded, filled with scikit-image.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import skimage.draw
import torch
from contenders.contender import Frame, main
from contenders.plain import PlainContender, augment_sample
from decoding import decode_all
from torch import Tensor
from torch.utils.data import Dataset


class VideoSamples(Dataset[tuple[Tensor, Tensor]]):
    """Frames and masks from videos and traced points."""

    def __init__(self, folder: Path, frames: list[Frame], augment: bool) -> None:
        self.folder, self.frames, self.augment = folder, frames, augment

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        frame = self.frames[number]
        video = decode_all(self.folder / f"{frame.video}.avi")
        pixels = cv2.cvtColor(video[frame.number], cv2.COLOR_RGB2GRAY)
        contour = np.rint(frame.contour).astype(int)
        filled = np.zeros(pixels.shape, dtype=np.float32)
        filled[skimage.draw.polygon(contour[:, 1], contour[:, 0], filled.shape)] = 1
        image, mask = torch.from_numpy(pixels)[None] / 255, torch.from_numpy(filled)
        return augment_sample(image, mask) if self.augment else (image, mask)


class EchonetLoader(PlainContender):
    """EchoNet-Dynamic's loader, which prepares nothing."""

    def samples(self, split: str, augment: bool) -> VideoSamples:
        """Frames of a split from the videos."""
        return VideoSamples(self.work / "data" / "Videos", self.frames(split), augment)


if __name__ == "__main__":
    main(EchonetLoader)
