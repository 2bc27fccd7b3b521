"""How fast synthetic videos are made, and what they are like; prints two tables.

    python benchmarks/synth.py --videos 200 --frames 64 --jobs 1,2
    python benchmarks/synth.py --videos 500 --frames 8 --jobs 1 --looks echonet,varied

Measures the function behind `echo-prep synth`, including the writing of the files to a temporary
folder. A small data set is made first, so that the start of the workers is not counted. Then come
the statistics of the traced frames and of the tracings, beside those of EchoNet-Dynamic.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import click
from helpers import build_store, describe_machine

from echo_common.store import schema
from echo_common.store.reader import EchoStore
from echo_prep.synth.archive import synthesize
from echo_prep.synth.settings import SynthSettings

STATISTICS = {
    "gray, mean": "32.6",
    "gray, sd": "50",
    "area, % of the frame": "9.8",
    "area, smallest": "1.5",
    "area, largest": "50",
    "EF, %": "55.7",
    "EDV, ml": "91",
}
"""Published or measured on EchoNet-Dynamic."""


@click.command()
@click.option("--videos", type=click.IntRange(min=1), default=200, show_default=True)
@click.option("--frames", type=click.IntRange(min=8), default=64, show_default=True)
@click.option(
    "--jobs", default="1,2", help="Numbers of workers, separated by commas.", show_default=True
)
@click.option("--looks", default="echonet", help="Looks, separated by commas.", show_default=True)
def main(videos: int, frames: int, jobs: str, looks: str) -> None:
    """Print the rate for each look and number of workers, and the statistics of each look."""
    print(describe_machine())
    heads = ("jobs", "videos", "frames", "seconds", "videos/s", "frames/s", "CPU s")
    print(f"{'look':12} " + " ".join(f"{head:>9}" for head in heads))
    statistics = {}
    for look in looks.split(","):
        for count in [int(number) for number in jobs.split(",")]:
            with tempfile.TemporaryDirectory() as folder:
                small = SynthSettings(videos=count, frames=8, look=look, jobs=count)
                synthesize(Path(folder) / "small", small)
                data = SynthSettings(videos=videos, frames=frames, look=look, jobs=count)
                started, processor = time.perf_counter(), cpu_seconds()
                synthesize(Path(folder) / "data", data)
                seconds, processor = time.perf_counter() - started, cpu_seconds() - processor
                store = build_store(Path(folder) / "data", Path(folder) / "cache.zarr")
                statistics[look] = describe(EchoStore(store))
            rate = videos / seconds
            # Workers that go on have not been waited for, so that their time is not known.
            cells = [f"{value:9}" for value in (count, videos, frames)]
            cells += [f"{seconds:9.2f}", f"{rate:9.1f}", f"{rate * frames:9.0f}"]
            cells.append(f"{processor:9.2f}" if count == 1 else f"{'':9}")
            print(f"{look:12} " + " ".join(cells), flush=True)
    print(f"\n{'':24} {'EchoNet-Dynamic':>16} " + " ".join(f"{look:>12}" for look in statistics))
    for number, (name, archive) in enumerate(STATISTICS.items()):
        found = " ".join(f"{values[number]:12.1f}" for values in statistics.values())
        print(f"{name:24} {archive:>16} {found}")


def cpu_seconds() -> float:
    """User and system time of this process."""
    times = os.times()
    return times.user + times.system


def describe(store: EchoStore) -> list[float]:
    """The values of `STATISTICS`, of the traced frames of a store."""
    frames, masks = store.read(schema.FRAMES), store.read(schema.mask_path("chords"))
    area = 100 * masks.mean(axis=(1, 2))
    listed = [store.read(f"index/{name}").mean() for name in ("ef", "edv")]
    return [frames.mean(), frames.std(), area.mean(), area.min(), area.max(), *listed]


if __name__ == "__main__":
    main()
