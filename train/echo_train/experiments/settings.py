"""Settings of `echo-train`: those of a run, and which runs are trained together."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from echo_common.cli.settings import component, replace, setting
from echo_common.errors import SettingsError
from echo_train.experiments.grid import Axis, grid_runs, parse_axis
from echo_train.training.settings import TrainSettings

ALL = "all"
"""Not a preset: all presets, one after the other; see `echo_train.experiments.paper`."""

BACKENDS = ("processes", "dask")

ONE_CALL = ("run", "resume", "jobs", "backend", "scheduler")
"""Settings of a call, which do not change the results of its runs."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class WorkerSettings:
    """How many runs are trained at once, and where."""

    jobs: int = setting(
        1, "Runs of a grid that are trained at once; 0 for one per core.", minimum=0, maximum=4096
    )
    backend: str = setting(
        BACKENDS[0],
        "What trains several runs at once: processes of this machine, or a dask cluster.",
        choices=BACKENDS,
    )
    scheduler: str | None = setting(
        None, "Address of a dask cluster; default: start one on this machine."
    )

    def check(self) -> None:
        """Raise a `SettingsError` if a cluster is given to a backend that has none."""
        if self.scheduler is not None and self.backend != "dask":
            raise SettingsError("--scheduler is for --backend dask")


def refuse_automatic(runs: Iterable[TrainSettings]) -> None:
    """Raise a `SettingsError` for ``auto`` in runs that are compared: each would plan alone."""
    for run in runs:
        if options := run.automatic():
            raise SettingsError(
                f"{' and '.join(options)} auto is for a single run; plan one with --dry-run, and "
                "give its numbers to all"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepSettings(TrainSettings):
    """Settings of one run, or of all runs of a grid."""

    grid: tuple[str, ...] = setting(
        (),
        "Values of a setting to train a run with each, such as loss=bce,lovasz or seed=0..4; "
        "several options are combined.",
        repeatable=True,
        title="Several runs",
    )
    seeds: int = setting(
        1, "Number of seeds to train with, from --seed on; short for --grid seed=…", minimum=1
    )
    search: tuple[str, ...] = setting(
        (),
        "Range or values to search for the highest validation Dice, such as "
        "learning-rate=1e-4..1e-2 or loss=bce,lovasz; several options are combined.",
        repeatable=True,
    )
    trials: int = setting(20, "Runs of a search.", minimum=1, maximum=10_000)
    workers: WorkerSettings = component(WorkerSettings)

    def axes(self) -> list[Axis]:
        """The axes of the grid: folds, then those of ``--grid``, then seeds.

        Raises
        ------
        SettingsError
            If an axis is not one of a setting.
        """
        splits, first = self.data.splits, self.training.seed
        folds, seeds = range(1, splits.folds + 1), range(first, first + self.seeds)
        given = [parse_axis(text) for text in self.grid]
        every_fold = splits.fold is None and all(axis.field != "fold" for axis in given)
        return [
            *(
                [Axis(field="fold", option="fold", values=tuple(folds))]
                if folds and every_fold
                else []
            ),
            *given,
            *([Axis(field="seed", option="seed", values=tuple(seeds))] if self.seeds > 1 else []),
        ]

    def runs(self) -> dict[str, TrainSettings]:
        """Settings of each run by its name, without run folders.

        Raises
        ------
        SettingsError
            If the axes are not valid, or several runs have ``auto`` as a size.
        """
        axes = self.axes()
        runs = grid_runs(replace(self.single_run(), run=None, resume=False), axes)
        if axes:
            refuse_automatic(runs.values())
        return runs

    def single_run(self) -> TrainSettings:
        """Settings of the only run."""
        return TrainSettings(
            **{field.name: getattr(self, field.name) for field in dataclasses.fields(TrainSettings)}
        )
