"""The settings of `echo-prep build`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from echo_common.cli.settings import component, setting
from echo_common.errors import SettingsError
from echo_common.outputs import resolve_output
from echo_common.store.schema import FALLOFFS, HDF5_SUFFIXES, IDENTITIES, METHODS, is_hdf5
from echo_prep.geometry.settings import HeatmapSettings
from echo_prep.layouts.settings import LayoutSettings
from echo_prep.workers import worker_count

BACKENDS = ("loky", "threading", "dask", "ray")
"""Processes or threads of joblib on this machine, or the workers of a dask or ray cluster."""

FORMATS = ("zarr", "hdf5")
"""Formats of a store; the suffix of its name decides."""

DEFAULT_STORE = Path("cache/echonet.zarr")
"""Default path of a store; as HDF5, it has the suffix ``.h5``."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildSettings:
    """What to build, from what, into what, and with how many workers."""

    data: Path = setting(
        Path("data/EchoNet-Dynamic"), "Folder of the data set.", title="What to build"
    )
    store: Path = setting(DEFAULT_STORE, "The store to build or to extend.")
    landmarks: tuple[int, ...] = setting(
        (7,),
        "Number of landmarks; several with commas. Each is made for each method and identity.",
        minimum=3,
        maximum=42,
    )
    method: tuple[str, ...] | None = setting(
        None,
        "How traced points become a mask; several with commas. Default: chords, or annotated for "
        "archives of masks.",
        choices=METHODS,
    )
    identity: tuple[str, ...] = setting(
        ("anatomical",), "How landmarks are chosen; several with commas.", choices=IDENTITIES
    )
    falloff: tuple[str, ...] = setting(
        ("gaussian",), "How a heatmap fades from its landmark.", choices=FALLOFFS
    )
    size: int | None = setting(
        None,
        "Scale frames and tracings to N x N pixels, with black borders; default: as the store, "
        "or the size of most videos.",
        minimum=16,
        maximum=4096,
    )
    masks_only: bool = setting(False, "Make masks only, no landmarks or heatmaps.")
    truncate: bool = setting(
        False,
        "Truncate coordinates to whole pixels first, as the paper's code does, instead of "
        "rounding them for drawing.",
    )
    heatmaps: HeatmapSettings = component(HeatmapSettings, "Heatmaps")
    jobs: int = setting(0, "Workers; 0 for one per processor core.", minimum=0, title="Workers")
    backend: str = setting("loky", "Kind of workers.", choices=BACKENDS)
    scheduler: str | None = setting(
        None, "Address of a dask or ray cluster; default: start one on this machine."
    )
    archive: Path | None = setting(
        None,
        "A folder outside the data set that links in its folder of videos may lead to.",
        title="Store and data set",
    )
    dataset: LayoutSettings = component(LayoutSettings)
    strict: bool = setting(False, "Stop at the first faulty video or trace.")
    check: bool = setting(
        False, "Compare each chunk of the store with its digest, and rebuild damaged chunks."
    )
    prune: bool = setting(False, "Remove arrays from the store that this command does not ask for.")
    format: str | None = setting(
        None,
        "Format of the store; default: HDF5 if its name ends in .h5 or .hdf5, else Zarr.",
        choices=FORMATS,
    )

    def target(self) -> Path:
        """The store's path, whose suffix says its format; a link at it is followed.

        Raises
        ------
        SettingsError
            If `store` and `format` contradict each other.
        OutputError
            If there can be no store at the path.
        """
        if self.format is None or is_hdf5(self.store) == (self.format == "hdf5"):
            return resolve_output(self.store)
        if self.store == DEFAULT_STORE:
            return self.store.with_suffix(HDF5_SUFFIXES[0])
        name = "must end in .h5 or .hdf5" if self.format == "hdf5" else "cannot end in .h5 or .hdf5"
        raise SettingsError(
            f"--format {self.format} and --store {self.store} contradict each other: the name of "
            f"such a store {name}, since readers tell the format by it"
        )

    def workers(self) -> int:
        """Number of workers, with 0 resolved to the number of processor cores."""
        return worker_count(self.jobs)
