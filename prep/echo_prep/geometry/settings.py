"""Settings of the heatmaps."""

from __future__ import annotations

import dataclasses

from echo_common.cli.settings import setting
from echo_common.store.schema import GAUSSIANS

REFERENCE_SIDE = 112
"""Side in pixels of the frames that the settings refer to: those of EchoNet-Dynamic."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeatmapSettings:
    """The shape of a heatmap; the defaults are those of the paper's text."""

    radius: float = setting(
        10.0,
        "Pixel expansion: pixels within this distance of a landmark, in pixels of a 112-pixel "
        "frame, are in its heatmap.",
        minimum=1,
    )
    sigma: float = setting(
        5.0,
        "Standard deviation of a Gaussian heatmap, in pixels of a 112-pixel frame.",
        minimum=0.1,
    )
    gaussian: str = setting(
        GAUSSIANS[0],
        "Where a Gaussian heatmap ends. cut: at the pixel expansion, as in the paper's text; "
        "whole: at four standard deviations, as in its code.",
        choices=GAUSSIANS,
    )
    band_kernel: int = setting(
        3,
        "Side of the square kernel that dilates and erodes the mask to give the border band, in "
        "pixels.",
        minimum=1,
        maximum=31,
    )
    band_iterations: int = setting(
        2,
        "How often the kernel of the band is applied in a 112-pixel frame, and in proportion in "
        "others; 0 for no band.",
        minimum=0,
        maximum=4096,
    )

    def scaled(self, shape: tuple[int, int]) -> HeatmapSettings:
        """Convert the settings, which are of a 112-pixel frame, to the pixels of another.

        Parameters
        ----------
        shape : tuple of int
            (height, width) of the frame, of which the longer side counts.
        """
        factor = max(shape) / REFERENCE_SIDE
        iterations = max(1, round(self.band_iterations * factor))
        return dataclasses.replace(
            self,
            radius=max(1.0, self.radius * factor),
            sigma=max(0.1, self.sigma * factor),
            band_iterations=iterations if self.band_iterations else 0,
        )
