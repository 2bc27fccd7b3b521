"""The settings of `echo-prep build`."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from echo_common.schema import FALLOFFS, IDENTITIES, METHODS
from echo_common.settings import setting

from echo_prep.heatmaps import HeatmapSettings

BACKENDS = ("loky", "threading")
"""joblib's backends that one machine has: processes, or threads."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildSettings(HeatmapSettings):
    """What to build, from what, into what, and with how many workers.

    Attributes
    ----------
    data, store : Path
    method, identity, falloff : tuple of str
    landmarks : tuple of int
        Numbers of landmarks; each is made for each method and identity.
    jobs : int
        Number of workers; 0 for as many as there are processor cores.
    backend : str
        One of `BACKENDS`.
    strict : bool
        Whether a video or trace that is not sound stops the build.
    """

    data: Path = setting(Path("data/EchoNet-Dynamic"), "Folder of the data set.")
    store: Path = setting(Path("cache/echonet.zarr"), "The store to build or to add to.")
    method: tuple[str, ...] = setting(
        ("chords",), "How traced points become one polygon; several with commas.", choices=METHODS
    )
    identity: tuple[str, ...] = setting(
        ("anatomical",), "How landmarks are chosen; several with commas.", choices=IDENTITIES
    )
    landmarks: tuple[int, ...] = setting(
        (7,), "Number of landmarks; several with commas.", minimum=3, maximum=42
    )
    falloff: tuple[str, ...] = setting(
        ("gaussian",), "How a heatmap fades from its landmark.", choices=FALLOFFS
    )
    jobs: int = setting(0, "Workers; 0 for one a processor core.", minimum=0)
    backend: str = setting("loky", "What the workers are.", choices=BACKENDS)
    strict: bool = setting(False, "Stop at the first video or trace that is not sound.")

    def heatmaps(self) -> HeatmapSettings:
        """The part of the settings that shapes a heatmap."""
        names = [field.name for field in dataclasses.fields(HeatmapSettings)]
        return HeatmapSettings(**{name: getattr(self, name) for name in names})

    def workers(self) -> int:
        """Number of workers, counted where it is left open."""
        return self.jobs or len(os.sched_getaffinity(0))
