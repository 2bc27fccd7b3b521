"""The settings of `echo-prep build`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from joblib import cpu_count

from echo_common.cli.settings import setting
from echo_common.errors import SettingsError
from echo_common.store.schema import FALLOFFS, HDF5_SUFFIXES, IDENTITIES, METHODS, is_hdf5
from echo_prep.geometry.heatmaps import HeatmapSettings

BACKENDS = ("loky", "threading", "dask", "ray")
"""joblib's processes or threads on this machine, or the workers of a dask or ray cluster."""

FORMATS = ("zarr", "hdf5")
"""What a store may be; its name's suffix says which."""


DEFAULT_STORE = Path("cache/echonet.zarr")
"""Where a store is built where nothing else is said; as HDF5, with the suffix ``.h5``."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildSettings(HeatmapSettings):
    """What to build, from what, into what, and with how many workers.

    Attributes
    ----------
    data, store : Path
    archive : Path or None
        A folder that links in the folder of videos may lead to.
    method, identity, falloff : tuple of str
    landmarks : tuple of int
        Numbers of landmarks; each is made for each method and identity.
    masks_only : bool
        Whether neither landmarks nor heatmaps are made.
    truncate : bool
        Whether coordinates are cut to whole pixels before anything is made of
        them, and not rounded where they are drawn.
    jobs : int
        Number of workers; 0 for as many as there are processor cores.
    backend : str
        One of `BACKENDS`.
    scheduler : str or None
        Address of the cluster that `dask` or `ray` works on.
    format : str or None
        One of `FORMATS`.
    strict : bool
        Whether a video or trace that is not sound stops the build.
    check : bool
        Whether each chunk of the store is read and compared with its digest.
    prune : bool
        Whether what is in the store and was not asked for is dropped.
    """

    data: Path = setting(Path("data/EchoNet-Dynamic"), "Folder of the data set.")
    archive: Path | None = setting(
        None, "A folder outside the data set that links in its folder of videos may lead to."
    )
    store: Path = setting(DEFAULT_STORE, "The store to build or to add to.")
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
    masks_only: bool = setting(False, "Make masks, and neither landmarks nor heatmaps.")
    truncate: bool = setting(
        False, "Cut coordinates to whole pixels first, as the paper's own code does."
    )
    jobs: int = setting(0, "Workers; 0 for one a processor core.", minimum=0)
    backend: str = setting("loky", "What the workers are.", choices=BACKENDS)
    scheduler: str | None = setting(
        None, "Address of a dask or ray cluster; without it, one on this machine is started."
    )
    format: str | None = setting(
        None,
        "What the store is; by default HDF5 where its name ends in .h5 or .hdf5, else Zarr.",
        choices=FORMATS,
    )
    strict: bool = setting(False, "Stop at the first video or trace that is not sound.")
    check: bool = setting(False, "Read all of the store, and make damaged chunks anew.")
    prune: bool = setting(False, "Drop what the store has and this command does not ask for.")

    def heatmaps(self) -> HeatmapSettings:
        """The part of the settings that shapes a heatmap."""
        names = [field.name for field in dataclasses.fields(HeatmapSettings)]
        return HeatmapSettings(**{name: getattr(self, name) for name in names})

    def target(self) -> Path:
        """The store's path, whose suffix says its format.

        Raises
        ------
        SettingsError
            If `store` and `format` contradict each other.
        """
        if self.format is None or is_hdf5(self.store) == (self.format == "hdf5"):
            return self.store
        if self.store == DEFAULT_STORE:
            return self.store.with_suffix(HDF5_SUFFIXES[0])
        name = "must end in .h5 or .hdf5" if self.format == "hdf5" else "cannot end in .h5 or .hdf5"
        raise SettingsError(
            f"--format {self.format} and --store {self.store} contradict each other: the name of "
            f"such a store {name}, since readers tell the format by it"
        )

    def workers(self) -> int:
        """Number of workers, counted where it is left open."""
        return self.jobs or cpu_count()
