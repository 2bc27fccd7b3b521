"""Settings of `echo-train`: those of a run, and the number of runs."""

from __future__ import annotations

import dataclasses

from echo_common.cli.settings import replace, setting
from echo_train.training.settings import TrainSettings

ALL = "all"
"""Not a preset: all presets, one after the other; see `echo_train.experiments.paper`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepSettings(TrainSettings):
    """Settings of one run, or of several that differ only in seed or fold."""

    seeds: int = setting(
        1, "Number of seeds to train with, from --seed on.", minimum=1, title="Run"
    )

    def is_sweep(self) -> bool:
        """Whether there is more than one run to train."""
        return self.seeds > 1 or self._every_fold()

    def runs(self) -> dict[str, TrainSettings]:
        """Settings of each run by its name, without run folders; folds are the outer loop."""
        splits, first, every_fold = self.data.splits, self.training.seed, self._every_fold()
        runs = {}
        for fold in range(1, splits.folds + 1) if every_fold else [splits.fold]:
            for seed in range(first, first + self.seeds):
                parts = [f"fold-{fold}"] if every_fold else []
                parts += [f"seed-{seed}"] if self.seeds > 1 else []
                runs["-".join(parts)] = replace(
                    self.single_run(), fold=fold, seed=seed, run=None, resume=False
                )
        return runs

    def single_run(self) -> TrainSettings:
        """Settings of the only run."""
        return TrainSettings(
            **{field.name: getattr(self, field.name) for field in dataclasses.fields(TrainSettings)}
        )

    def _every_fold(self) -> bool:
        return self.data.splits.folds > 0 and self.data.splits.fold is None
