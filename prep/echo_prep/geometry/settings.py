"""Settings of the heatmaps."""

from __future__ import annotations

import dataclasses

from echo_common.cli.settings import setting
from echo_common.store.schema import GAUSSIANS


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeatmapSettings:
    """The shape of a heatmap; the defaults are those of the paper's text."""

    radius: float = setting(
        10.0,
        "Pixel expansion: pixels within this distance of a landmark, in pixels, are in its "
        "heatmap.",
        minimum=1,
    )
    sigma: float = setting(5.0, "Standard deviation of a Gaussian heatmap, in pixels.", minimum=0.1)
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
        2, "How often the kernel of the band is applied; 0 for no band.", minimum=0, maximum=100
    )
