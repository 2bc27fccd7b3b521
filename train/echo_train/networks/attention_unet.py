"""The U-Net with attention gates, which weight the features of its skip connections.

`echo_train.networks.architecture` makes it by name.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from echo_train.networks.unet import LEVELS, UNet


class AttentionGate(nn.Module):
    """Attention weights of a level's pixels, from its features and those of the level below.

    Additive attention on the grid of the level below: the sum of a strided
    convolution of the level's features and a 1x1 convolution of the coarser
    features passes through ReLU, a 1x1 convolution to one channel and a sigmoid,
    and is interpolated to the level's grid.

    Parameters
    ----------
    channels : int
        Channels of the level; the level below has twice as many.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // 2, 1)
        self.own = nn.Conv2d(channels, hidden, 2, stride=2, bias=False)
        self.below = nn.Conv2d(2 * channels, hidden, 1)
        self.score = nn.Conv2d(hidden, 1, 1)

    def forward(self, skip: Tensor, below: Tensor) -> Tensor:
        """Compute the weights, (batch, 1, y, x) in [0, 1].

        Parameters
        ----------
        skip : Tensor, (batch, channel, y, x) float
        below : Tensor, (batch, 2 * channel, y / 2, x / 2) float
        """
        scores = self.score(functional.relu(self.own(skip) + self.below(below)))
        return functional.interpolate(
            scores.sigmoid(), skip.shape[-2:], mode="bilinear", align_corners=False
        )


class AttentionUNet(UNet):
    """The U-Net with an attention gate on each skip connection except the finest.

    As in the source, the finest level has no gate, since its features carry too
    little information about the anatomy, and each gated skip connection passes
    through a 1x1 convolution with batch normalisation.

    Parameters
    ----------
    in_channels, out_channels, width : int
        See `UNet`.

    References
    ----------
    Oktay et al.: Attention U-Net: Learning Where to Look for the Pancreas,
    MIDL 2018, arXiv 1804.03999.
    """

    def __init__(self, *, in_channels: int = 1, out_channels: int, width: int = 64) -> None:
        super().__init__(in_channels=in_channels, out_channels=out_channels, width=width)
        widths = [width << level for level in range(1, LEVELS)]
        self.gates = nn.ModuleList(AttentionGate(channels) for channels in widths)
        self.after = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, channels, 1, bias=False), nn.BatchNorm2d(channels))
            for channels in widths
        )

    def join(self, level: int, skip: Tensor, upsampled: Tensor, below: Tensor) -> Tensor:
        """Concatenate gated skip features and upsampled features; see `UNet.join`."""
        if level > 0:
            skip = self.after[level - 1](skip * self.gates[level - 1](skip, below))
        return super().join(level, skip, upsampled, below)

    def attention(self, images: Tensor) -> list[Tensor]:
        """Compute the attention weights of each gate; see `UNet.attention`."""
        maps: dict[int, Tensor] = {}
        hooks = [
            gate.register_forward_hook(
                lambda _, __, output, level=level: maps.update({level: output})
            )
            for level, gate in enumerate(self.gates)
        ]
        try:
            self(images)
        finally:
            for hook in hooks:
                hook.remove()
        height, width = images.shape[-2:]
        # The gates work on the padded image, whose sides are multiples of 2**LEVELS.
        padded = [-(-side // (1 << LEVELS)) << LEVELS for side in (height, width)]
        return [
            functional.interpolate(maps[level], padded, mode="bilinear", align_corners=False)[
                :, 0, :height, :width
            ]
            for level in range(len(self.gates))
        ]
