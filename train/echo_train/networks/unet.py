"""The U-Net of the paper (section 3.4) with any width, with and without skip connections.

`echo_train.networks.architecture` makes it by name.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

LEVELS = 4
"""Number of times the image is halved; its padded sides are multiples of 2**LEVELS."""


class ConvBlock(nn.Sequential):
    """Two 3x3 convolutions, each followed by batch normalisation and a ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            # Batch normalisation subtracts the mean, which would cancel a bias.
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class Head(nn.Conv2d):
    """A 1x1 convolution whose output is interpolated to the resolution of the image.

    Parameters
    ----------
    enlargement : int
        Pixels of the image along a side of a pixel of the features.
    """

    def __init__(self, in_channels: int, out_channels: int, enlargement: int) -> None:
        super().__init__(in_channels, out_channels, 1)
        self.enlargement = enlargement

    def forward(self, features: Tensor) -> Tensor:
        """Compute logits, (batch, out_channels, y, x), of features at any resolution."""
        logits = super().forward(features)
        if self.enlargement == 1:
            return logits
        return nn.functional.interpolate(
            logits, scale_factor=self.enlargement, mode="bilinear", align_corners=False
        )


class UNet(nn.Module):
    """U-Net of four levels and a bottleneck, with `width` channels at full resolution.

    The levels have 1, 2, 4 and 8 times `width` channels, the bottleneck 16
    times. 2x2 max pooling leads down; 2x2 transposed convolutions lead up, and
    the features of the same level are concatenated. At width 64 this is the
    paper's network except for the input, where the paper repeats the gray image
    in three channels. A convolution of three equal channels equals one of a
    single channel with the sum of the kernels, so both networks represent the
    same functions.

    Parameters
    ----------
    in_channels : int
        Channels of the input; 1 for gray.
    out_channels : int
        Channels of the output: 1 for a mask, one per landmark for heatmaps.
    width : int
        Channels at full resolution.

    References
    ----------
    Ronneberger, Fischer, Brox: U-Net, MICCAI 2015.
    """

    skips = True
    """Whether skip connections lead from the encoder to the decoder."""

    finest = 0
    """The first level with convolutions; level 0 has the resolution of the image."""

    def __init__(self, *, in_channels: int = 1, out_channels: int, width: int = 64) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.width = width
        widths = [width << level for level in range(self.finest, LEVELS + 1)]
        pixels = 1 << 2 * self.finest
        self.down = nn.ModuleList(
            ConvBlock(before, after)
            for before, after in zip([pixels * in_channels, *widths], widths, strict=False)
        )
        self.pool = nn.MaxPool2d(2)
        self.rise = nn.ModuleList(
            nn.ConvTranspose2d(2 * here, here, 2, stride=2) for here in widths[:-1]
        )
        self.up = nn.ModuleList(
            ConvBlock(2 * here if self.skips else here, here) for here in widths[:-1]
        )
        self.head = Head(widths[0], out_channels, 1 << self.finest)

    def forward(self, images: Tensor) -> Tensor:
        """Compute logits of the same height and width as the images.

        Parameters
        ----------
        images : Tensor, (batch, in_channels, y, x) float
            Any height and width. Sides that are no multiple of 16 are padded
            at the bottom and right with zeros, which are black like the outside
            of the ultrasound fan, and the logits are cropped.
        """
        height, width = images.shape[-2:]
        multiple = 1 << LEVELS
        features = nn.functional.pad(images, (0, -width % multiple, 0, -height % multiple))
        if self.finest:
            features = nn.functional.pixel_unshuffle(features, 1 << self.finest)
        skips = []
        for level in range(len(self.up)):
            features = self.down[level](features)
            skips.append(features)
            features = self.pool(features)
        features = self.down[-1](features)
        for level in reversed(range(len(self.up))):
            upsampled = self.rise[level](features)
            features = self.up[level](self.join(level, skips[level], upsampled, features))
        # Autocast excludes the head: logits in bfloat16 gave several equal maxima to nearly half
        # of all landmark maps.
        with torch.autocast(features.device.type, enabled=False):
            logits: Tensor = self.head(features.to(self.head.weight.dtype))
        return logits[..., :height, :width]

    def join(self, level: int, skip: Tensor, upsampled: Tensor, below: Tensor) -> Tensor:
        """Combine the features of the encoder with those of the level below.

        Parameters
        ----------
        level : int
            0 at the finest level.
        skip : Tensor, (batch, channel, y, x) float
            Features of the encoder at this level.
        upsampled : Tensor, (batch, channel, y, x) float
            Features of the level below, upsampled to this level.
        below : Tensor, (batch, 2 * channel, y / 2, x / 2) float
            Features of the level below before upsampling.
        """
        return torch.cat([skip, upsampled], dim=1)

    def attention(self, images: Tensor) -> list[Tensor]:
        """Compute attention maps; a network without attention gates returns none.

        Parameters
        ----------
        images : Tensor, (batch, in_channels, y, x) float

        Returns
        -------
        maps : list of Tensor, (batch, y, x) float
            In [0, 1], at the size of the images, the finest level first.
        """
        return []


class UNetNoSkip(UNet):
    """The U-Net without skip connections, as in experiment 4 of the paper.

    The decoder receives the upsampled features alone, so the first convolution
    of each level has half as many input channels.
    """

    skips = False

    def join(self, level: int, skip: Tensor, upsampled: Tensor, below: Tensor) -> Tensor:
        """Return the upsampled features; see `UNet.join`."""
        return upsampled


class FastUNet(UNet):
    """The U-Net without its finest level, which takes the most time and little of the arithmetic.

    Four neighbouring pixels enter as four channels, and the logits of half the
    resolution are interpolated. The other levels have the channels of the U-Net
    of the same width.
    """

    finest = 1
