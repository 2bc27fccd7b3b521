"""Settings of `echo-prep synth`."""

from __future__ import annotations

import dataclasses

from echo_common.cli.settings import setting
from echo_prep.synth.looks import LOOKS
from echo_prep.workers import worker_count


@dataclasses.dataclass(frozen=True, kw_only=True)
class SynthSettings:
    """Which videos to make."""

    videos: int = setting(
        400, "Number of sound videos.", minimum=1, maximum=1_000_000, title="What to make"
    )
    seed: int = setting(0, "Random seed; each seed gives a different data set.", minimum=0)
    frames: int | None = setting(
        None,
        "Frames per video; by default, lengths vary as in EchoNet-Dynamic.",
        minimum=8,
        maximum=10_000,
    )
    look: str = setting(
        "echonet",
        "Kind of archive: like EchoNet-Dynamic, as varied as many archives, or one of two families "
        "that share nothing but the heart, to measure transfer.",
        choices=tuple(LOOKS),
    )
    jobs: int = setting(0, "Workers; 0 for one per processor core.", minimum=0)
    quirks: bool = setting(False, "Add broken files and odd rows, as found in real archives.")

    def workers(self) -> int:
        """Number of workers, with 0 resolved to the number of processor cores."""
        return worker_count(self.jobs)

    def content(self) -> dict[str, object]:
        """Settings that determine the content of the data set."""
        return {
            "videos": self.videos,
            "seed": self.seed,
            "frames": self.frames,
            "look": self.look,
            "quirks": self.quirks,
        }
