"""Settings of the run folder."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from echo_common.cli.settings import setting
from echo_common.errors import SettingsError


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Where a run is written, and whether it continues an earlier one."""

    run: Path | None = setting(None, "Run folder; by default a new one under runs/.")
    resume: bool = setting(False, "Go on with the run in --run.")
    tensorboard: bool = setting(False, "Write TensorBoard events into the run folder.")

    def check(self) -> None:
        """Check that the settings are consistent.

        Raises
        ------
        SettingsError
            If a run is to be resumed and its folder is not given.
        """
        if self.resume and self.run is None:
            raise SettingsError("--resume needs --run, the folder of the run to go on with")
