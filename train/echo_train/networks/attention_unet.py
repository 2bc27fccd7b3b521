"""The U-Net with attention gates: what a level hands across is weighed by where to look."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from echo_train.networks.unet import LEVELS, UNet


class AttentionGate(nn.Module):
    """Weights in [0, 1] of a level's pixels, from its own features and those of the level below.

    Additive attention on the grid of the level below: a strided convolution of
    the level's features and a 1x1 convolution of the coarser ones are added;
    ReLU, a 1x1 convolution to one channel and a sigmoid follow, and the result
    is interpolated to the level's own grid.

    Parameters
    ----------
    channels : int
        Of the level; the level below has twice as many.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        between = max(channels // 2, 1)
        self.own = nn.Conv2d(channels, between, 2, stride=2, bias=False)
        self.below = nn.Conv2d(2 * channels, between, 1)
        self.score = nn.Conv2d(between, 1, 1)

    def forward(self, skip: Tensor, below: Tensor) -> Tensor:
        """Compute the weights.

        Parameters
        ----------
        skip : Tensor, (batch, channel, y, x) float
        below : Tensor, (batch, 2 * channel, y / 2, x / 2) float

        Returns
        -------
        weights : Tensor, (batch, 1, y, x) float
            In [0, 1].
        """
        scores = self.score(functional.relu(self.own(skip) + self.below(below)))
        return functional.interpolate(
            scores.sigmoid(), skip.shape[-2:], mode="bilinear", align_corners=False
        )


class AttentionUNet(UNet):
    """The U-Net with an attention gate on each skip connection but the finest.

    The finest level has none, as in the source: its features say too little
    about what is where. After its gate a skip goes through a 1x1 convolution
    with batch normalisation, also as in the source.

    Parameters
    ----------
    in_channels, out_channels, width : int
        As of `UNet`.

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

    def join(self, level: int, skip: Tensor, risen: Tensor, below: Tensor) -> Tensor:
        """Join the weighed features of the way down with those from below; see `UNet.join`."""
        if level > 0:
            skip = self.after[level - 1](skip * self.gates[level - 1](skip, below))
        return super().join(level, skip, risen, below)

    def attention(self, images: Tensor) -> list[Tensor]:
        """Compute the gates' weights over the images; see `UNet.attention`."""
        maps: dict[int, Tensor] = {}
        hooks = [
            gate.register_forward_hook(lambda _, __, out, at=at: maps.update({at: out}))
            for at, gate in enumerate(self.gates)
        ]
        try:
            self(images)
        finally:
            for hook in hooks:
                hook.remove()
        height, width = images.shape[-2:]
        # The gates see the padded image, whose sides are multiples of the coarsest step.
        whole = [-(-side // (1 << LEVELS)) << LEVELS for side in (height, width)]
        return [
            functional.interpolate(maps[at], whole, mode="bilinear", align_corners=False)[
                :, 0, :height, :width
            ]
            for at in range(len(self.gates))
        ]
