"""How fast synthetic videos are made; prints a table.

    python benchmarks/synth.py --videos 200 --frames 64 --jobs 1,2

Measures the function behind `echo-prep synth`, including the writing of the files to a temporary
folder. A small data set is made first, so that the start of the workers is not counted.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import click
from helpers import describe_machine

from echo_prep.synth.archive import synthesize
from echo_prep.synth.settings import SynthSettings


@click.command()
@click.option("--videos", type=click.IntRange(min=1), default=200, show_default=True)
@click.option("--frames", type=click.IntRange(min=8), default=64, show_default=True)
@click.option(
    "--jobs", default="1,2", help="Numbers of workers, separated by commas.", show_default=True
)
def main(videos: int, frames: int, jobs: str) -> None:
    """Print the rate for each number of workers."""
    print(describe_machine())
    print(f"{'jobs':>4} {'videos':>6} {'frames':>6} {'seconds':>8} {'videos/s':>9} {'frames/s':>9}")
    for count in [int(number) for number in jobs.split(",")]:
        with tempfile.TemporaryDirectory() as folder:
            small = SynthSettings(videos=count, frames=8, jobs=count)
            synthesize(Path(folder) / "small", small)
            settings = SynthSettings(videos=videos, frames=frames, jobs=count)
            started = time.perf_counter()
            synthesize(Path(folder) / "data", settings)
            seconds = time.perf_counter() - started
        rate = videos / seconds
        print(
            f"{count:4} {videos:6} {frames:6} {seconds:8.2f} {rate:9.1f} {rate * frames:9.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
