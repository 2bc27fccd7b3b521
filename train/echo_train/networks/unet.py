"""The paper's U-Net (section 3.4), its width a setting, with and without skip connections.

`echo_train.networks.architecture` makes it by name.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

LEVELS = 4
"""Times the image is halved; above the bottleneck, sides are multiples of 2**LEVELS."""


class ConvBlock(nn.Sequential):
    """Two 3x3 convolutions, each followed by batch normalisation and a ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            # Batch normalisation subtracts the mean, so a bias before it would do nothing.
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class UNet(nn.Module):
    """U-Net of four levels and a bottleneck, with `width` channels at full resolution.

    The levels have `width`, 2, 4 and 8 times `width` channels and the bottleneck
    16 times; 2x2 max pooling leads down and a 2x2 transposed convolution up,
    where the level's own features are concatenated. At width 64 it is the
    paper's network but for its input: the paper repeats the gray image in three
    channels. A first layer over three equal channels computes what one over
    one channel does with the kernels' sum, so the class of functions is the
    same, and a single channel is what we read.

    Parameters
    ----------
    in_channels : int
        Channels of the input; 1 for gray.
    out_channels : int
        Channels of the output: 1 for a mask, one a landmark for heatmaps.
    width : int
        Channels at full resolution.

    References
    ----------
    Ronneberger, Fischer, Brox: U-Net, MICCAI 2015.
    """

    skips = True
    """Whether each level of the way up has the features of the same level of the way down."""

    def __init__(self, *, in_channels: int = 1, out_channels: int, width: int = 64) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.width = width
        widths = [width << level for level in range(LEVELS + 1)]
        self.down = nn.ModuleList(
            ConvBlock(before, after)
            for before, after in zip([in_channels, *widths], widths, strict=False)
        )
        self.pool = nn.MaxPool2d(2)
        self.rise = nn.ModuleList(
            nn.ConvTranspose2d(2 * here, here, 2, stride=2) for here in widths[:LEVELS]
        )
        self.up = nn.ModuleList(
            ConvBlock(2 * here if self.skips else here, here) for here in widths[:LEVELS]
        )
        self.head = nn.Conv2d(width, out_channels, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits of the same height and width as the images.

        Parameters
        ----------
        images : Tensor, (batch, in_channels, y, x) float
            Any height and width: sides that 16 does not divide are padded with
            zeros (black, as outside the ultrasound fan) below and to the right,
            and the logits are cut back.

        Returns
        -------
        logits : Tensor, (batch, out_channels, y, x) float
        """
        height, width = images.shape[-2:]
        step = 1 << LEVELS
        features = nn.functional.pad(images, (0, -width % step, 0, -height % step))
        skips = []
        for level in range(LEVELS):
            features = self.down[level](features)
            skips.append(features)
            features = self.pool(features)
        features = self.down[LEVELS](features)
        for level in reversed(range(LEVELS)):
            risen = self.rise[level](features)
            features = self.up[level](self.join(level, skips[level], risen, features))
        logits: Tensor = self.head(features)
        return logits[..., :height, :width]

    def join(self, level: int, skip: Tensor, risen: Tensor, below: Tensor) -> Tensor:
        """Join what comes from the left of the U and from below.

        Parameters
        ----------
        level : int
            From 0, at full resolution.
        skip, risen : Tensor, (batch, channel, y, x) float
            Features of the way down, and those from below, risen to the level.
        below : Tensor, (batch, channel, y / 2, x / 2) float
            Features from below before they are risen.
        """
        return torch.cat([skip, risen], dim=1)

    def attention(self, images: Tensor) -> list[Tensor]:
        """Compute the maps of where the network looks; a network without gates has none.

        Parameters
        ----------
        images : Tensor, (batch, in_channels, y, x) float

        Returns
        -------
        maps : list of Tensor, (batch, y, x) float
            In [0, 1] and of the images' size, the finest level first.
        """
        return []


class UNetNoSkip(UNet):
    """The U-Net of the paper's experiment 4: nothing leads from the way down to the way up.

    The way up convolves what rises from below alone, with half the channels
    into each level's first convolution.
    """

    skips = False

    def join(self, level: int, skip: Tensor, risen: Tensor, below: Tensor) -> Tensor:
        """Give what comes from below; see `UNet.join`."""
        return risen
