"""The settings of `echo-prep synth`."""

from __future__ import annotations

import dataclasses

from joblib import cpu_count

from echo_common.cli.settings import setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class SynthSettings:
    """How many videos to make, and which.

    Attributes
    ----------
    videos : int
        Number of sound videos; `quirks` adds its own.
    seed : int
        Video k of a seed is the same whatever the other settings are, but for `frames`.
    frames : int or None
        Length of every video; drawn from EchoNet-Dynamic's own distribution where None.
    jobs : int
        Number of workers; 0 for as many as there are processor cores.
    quirks : bool
        Whether to add what real archives hold besides sound studies.
    """

    videos: int = setting(400, "Number of videos.", minimum=1)
    seed: int = setting(0, "Another seed makes another data set.", minimum=0)
    frames: int | None = setting(
        None, "Frames of every video; by default as varied as EchoNet-Dynamic's.", minimum=8
    )
    jobs: int = setting(0, "Workers; 0 for one a processor core.", minimum=0)
    quirks: bool = setting(False, "Add broken files and rows, as real archives hold them.")

    def workers(self) -> int:
        """Number of workers, counted where it is left open."""
        return self.jobs or cpu_count()

    def content(self) -> dict[str, object]:
        """The settings that the data set's content depends on."""
        return {
            "videos": self.videos,
            "seed": self.seed,
            "frames": self.frames,
            "quirks": self.quirks,
        }
