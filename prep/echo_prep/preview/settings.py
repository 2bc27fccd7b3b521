"""Settings of `echo-prep preview`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from echo_common.cli.settings import setting
from echo_common.store.schema import FALLOFFS, IDENTITIES, METHODS

PANELS = ("frame", "tracing", "mask", "band", "landmarks", "heatmap")
"""What can be shown of a frame."""

FRAMES = 8
"""Default number of frames."""

TILE = 336
"""Approximate width in pixels of a tile at the default scale."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PreviewSettings:
    """What to show of a store, and how."""

    out: Path = setting(Path("preview.png"), "The PNG file to write.")
    rows: tuple[int, ...] | None = setting(None, "Rows to show; several with commas.", minimum=0)
    videos: tuple[str, ...] | None = setting(None, "Videos to show; several with commas.")
    count: int = setting(
        0,
        f"Number of frames, evenly spaced, without --rows and --videos; 0 for {FRAMES} or as many "
        "as fit.",
        minimum=0,
    )
    panels: tuple[str, ...] = setting(
        PANELS, "What to show of each frame; several with commas.", choices=PANELS
    )
    method: tuple[str, ...] | None = setting(
        None, "Only these methods; default: all in the store.", choices=METHODS
    )
    identity: tuple[str, ...] | None = setting(
        None, "Only landmarks with these identities; default: all in the store.", choices=IDENTITIES
    )
    landmarks: tuple[int, ...] | None = setting(
        None, "Only landmark sets of these sizes; default: all in the store.", minimum=3, maximum=42
    )
    falloff: tuple[str, ...] | None = setting(
        None, "Only heatmaps with these falloffs; default: all in the store.", choices=FALLOFFS
    )
    columns: int = setting(6, "Tiles per row.", minimum=1, maximum=64)
    scale: int = setting(
        0,
        f"Pixels of the sheet per pixel of a frame; 0 for tiles about {TILE} pixels wide.",
        minimum=0,
        maximum=16,
    )
    force: bool = setting(False, "Replace a file at --out that echo-prep preview did not write.")
