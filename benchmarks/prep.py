"""How fast preparation is, against decoding every video as EchoNet-Dynamic's own loader does.

    python benchmarks/prep.py
    python benchmarks/prep.py --videos 2000 --work /fast/disk

Prints one table, measured in one run: reading the traced frames, a first build, another method,
a build with nothing to do, the memory of every process, how far pixels are from OpenCV's FFmpeg
reader, and how fast the store is read back. The loader decodes every frame of a video into an
array, in one process, for each sample that it gives; it and the project's own reader take turns
over the same files, so that what else the machine does falls on both.

The videos are synthetic, 176 frames each, which is EchoNet-Dynamic's mean. A few are made, and
stand in the large data set again and again as hard links of other names. Builds are the command
`echo-prep build`, timed from outside, with its start and its end.
"""

from __future__ import annotations

import csv
import dataclasses
import itertools
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import cv2
import numpy as np
from machine import describe_machine

from echo_common.cli.command import run_command
from echo_common.store.reader import EchoStore
from echo_common.store.schema import FRAMES, LandmarkSet, mask_path
from echo_prep.dataset.echonet_dynamic import FILE_LIST, TRACINGS, VIDEOS, read_dataset
from echo_prep.dataset.video import read_frames
from echo_prep.synth.archive import synthesize
from echo_prep.synth.settings import SynthSettings

LANDMARKS = LandmarkSet(method="chords", identity="anatomical", count=7)


@click.command()
@click.option("--work", type=click.Path(path_type=Path), default=Path("cache/benchmark-prep"))
@click.option("--few", default=48, show_default=True, help="Videos that are made.")
@click.option("--videos", default=10_030, show_default=True, help="Videos of the large data set.")
@click.option("--frames", default=176, show_default=True, help="Frames of a video.")
@click.option("--rounds", default=5, show_default=True, help="Turns of each reader.")
@click.option("--jobs", default=2, show_default=True, help="Workers of a build.")
def main(work: Path, few: int, videos: int, frames: int, rounds: int, jobs: int) -> None:
    """Measure preparation on synthetic videos, and print one table."""
    work.mkdir(parents=True, exist_ok=True)
    data = work / "few"
    synthesize(data, SynthSettings(videos=few, frames=frames, jobs=jobs))
    large = repeat_dataset(data, work / "large", videos)
    load = os.getloadavg()[0]
    rows = [("what", "measured", "against the loader, or the limit")]
    loader, reader, lines = measure_readers(data, rounds)
    rows += lines
    rows += measure_builds(large, work / "large.zarr", videos, jobs, loader)
    rows += measure_reading(work / "large.zarr")
    print(
        f"{describe_machine()}, NumPy {np.__version__}, OpenCV {cv2.__version__}; "
        f"load {load:.1f} before and {os.getloadavg()[0]:.1f} after\n"
        f"{few} videos of {frames} frames; {videos} of them in the large data set; "
        f"the reader alone took {1000 / reader:.2f} ms a video\n"
    )
    for number, row in enumerate(rows):
        print(f"| {' | '.join(row)} |")
        if number == 0:
            print("| --- | --- | --- |")


def repeat_dataset(few: Path, large: Path, count: int) -> Path:
    """A data set of `count` videos: those of `few`, again and again under other names."""
    shutil.rmtree(large, ignore_errors=True)
    (large / VIDEOS).mkdir(parents=True)
    with (few / FILE_LIST).open(newline="") as file:
        header, *listed = csv.reader(file)
    with (few / TRACINGS).open(newline="") as file:
        columns, *lines = csv.reader(file)
    traced: dict[str, list[list[str]]] = {}
    for line in lines:
        traced.setdefault(line[0], []).append(line[1:])
    with (
        (large / FILE_LIST).open("w", newline="") as file_list,
        (large / TRACINGS).open("w", newline="") as tracings,
    ):
        videos, traces = csv.writer(file_list), csv.writer(tracings)
        videos.writerow(header)
        traces.writerow(columns)
        for number, row in enumerate(itertools.islice(itertools.cycle(listed), count)):
            name = f"{row[0]}-{number}"
            os.link(few / VIDEOS / f"{row[0]}.avi", large / VIDEOS / f"{name}.avi")
            videos.writerow([name, *row[1:]])
            traces.writerows([f"{name}.avi", *line] for line in traced[f"{row[0]}.avi"])
    return large


# --- Readers ------------------------------------------------------------------------------------


def decode_all(path: Path) -> np.ndarray:
    """Every frame of a video, (frame, y, x, channel) uint8: what the loader does for a sample."""
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    width = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
    height = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
    video = np.zeros((count, height, width, 3), dtype=np.uint8)
    for number in range(count):
        done, frame = capture.read()
        if not done:
            raise RuntimeError(f"{path} ends before frame {number}")
        video[number] = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    capture.release()
    return video


def measure_readers(data: Path, rounds: int) -> tuple[float, float, list[tuple[str, str, str]]]:
    """Videos a second of the loader and of the project's reader, and their lines of the table."""
    dataset = read_dataset(data)
    traced = {name: [one.frame for one in traces] for name, traces in dataset.traces.items()}
    folder = data / VIDEOS
    shape = decode_all(folder / f"{next(iter(traced))}.avi").shape[1:3]
    seconds = {"loader": 0.0, "reader": 0.0}
    # The reader is so much faster that it needs more turns to be measured at all.
    again = 20
    difference = 0
    for turn in range(rounds):
        for name, numbers in traced.items():
            started = time.perf_counter()
            video = decode_all(folder / f"{name}.avi")
            decoded = time.perf_counter()
            for _ in range(again):
                reads = read_frames(folder, name, numbers, shape)
            seconds["loader"] += decoded - started
            seconds["reader"] += (time.perf_counter() - decoded) / again
            if turn == 0:
                for number, read in zip(numbers, reads, strict=True):
                    gray = cv2.cvtColor(video[number], cv2.COLOR_RGB2GRAY).astype(int)
                    difference = max(difference, int(np.abs(gray - read.pixels).max()))
    loader, reader = (rounds * len(traced) / one for one in seconds.values())
    return (
        loader,
        reader,
        [
            ("the loader: every frame of a video, one process", f"{loader:.1f} videos/s", "1"),
            (
                "the traced frames alone, one process",
                f"{reader:.0f} videos/s",
                f"{reader / loader:.0f} times as fast (at least 60)",
            ),
            (
                "pixels of the traced frames against OpenCV's FFmpeg reader",
                f"{difference} gray levels apart at most",
                "at most 2",
            ),
        ],
    )


# --- Builds -------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """A command that ended: its seconds, and the memory of its largest process in MiB."""

    seconds: float
    memory: float
    last_line: str


def measure_builds(
    data: Path, store: Path, videos: int, jobs: int, loader: float
) -> list[tuple[str, str, str]]:
    """Build the large data set from nothing, add to it, and ask for what is there."""
    for path in store.parent.glob(f"{store.name}*"):
        (shutil.rmtree if path.is_dir() else os.unlink)(path)
    command = ["build", "--data", str(data), "--store", str(store), "--jobs", str(jobs)]
    one_set = ["--identity", LANDMARKS.identity, "--landmarks", str(LANDMARKS.count)]
    both = [*command, *one_set, "--falloff", "gaussian", "--method"]
    first = run_echo_prep([*both, "chords"])
    method = run_echo_prep([*both, "convexhull"])
    masks = run_echo_prep([*command, "--masks-only", "--method", "centroid"])
    nothing = run_echo_prep([*both, "chords,convexhull"])
    if "nothing to do" not in nothing.last_line:
        raise RuntimeError(f"there was something to do: {nothing.last_line}")
    rate = videos / first.seconds
    memory = max(one.memory for one in (first, method, masks, nothing))
    return [
        (
            f"first build, {jobs} workers: frames, masks, landmarks and 7 Gaussian heatmaps of "
            "`chords`",
            f"{first.seconds:.1f} s, {rate:.0f} videos/s",
            f"{rate / loader:.1f} times as fast as the loader only decodes (at least 20)",
        ),
        (
            "another method's masks: `--masks-only` with `centroid`",
            f"{masks.seconds:.1f} s",
            f"{masks.seconds / first.seconds:.2f} of the first build (at most 0.25)",
        ),
        (
            "the same with landmarks and 7 heatmaps: `convexhull`",
            f"{method.seconds:.1f} s",
            f"{method.seconds / first.seconds:.2f} of the first build",
        ),
        ("a build with nothing to do", f"{nothing.seconds:.2f} s", "at most 2 s"),
        ("memory of the largest process of these four", f"{memory:.0f} MiB", "at most 600 MiB"),
    ]


def run_echo_prep(arguments: Sequence[str]) -> Run:
    """Run the command, and watch the memory of its processes."""
    program = str(Path(sys.executable).with_name("echo-prep"))
    peak = [0.0]
    started = time.perf_counter()
    process = subprocess.Popen(
        [program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    watcher = threading.Thread(target=_watch, args=(process, peak))
    watcher.start()
    output, _ = process.communicate()
    seconds = time.perf_counter() - started
    watcher.join()
    if process.returncode:
        raise RuntimeError(f"echo-prep {' '.join(arguments)} failed: {output}")
    # Of what has ended and was waited for; in bytes on macOS, else in KiB.
    ended = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    peak[0] = max(peak[0], ended / (1 << (20 if sys.platform == "darwin" else 10)))
    return Run(seconds=seconds, memory=peak[0], last_line=output)


def _watch(process: subprocess.Popen[str], peak: list[float]) -> None:
    """Keep the largest peak of a process and of those it started, where there is a /proc."""
    while process.poll() is None:
        waiting = [process.pid]
        while waiting:
            folder = Path(f"/proc/{waiting.pop()}")
            try:
                for line in (folder / "status").read_text().splitlines():
                    if line.startswith("VmHWM"):
                        peak[0] = max(peak[0], int(line.split()[1]) / 1024)
                for children in folder.glob("task/*/children"):
                    waiting += [int(child) for child in children.read_text().split()]
            except OSError:
                # It ended between two looks.
                continue
        time.sleep(0.1)


# --- Reading back -------------------------------------------------------------------------------


def measure_reading(path: Path) -> list[tuple[str, str, str]]:
    """Read frames, masks and heatmaps into memory, through the project's reader and zarr alone."""
    import zarr

    store, group = EchoStore(path), zarr.open_group(path, mode="r")
    arrays = (FRAMES, mask_path(LANDMARKS.method), LANDMARKS.heatmap("gaussian"))

    def fastest(read: Callable[[str], object]) -> float:
        seconds = []
        for _ in range(3):
            started = time.perf_counter()
            for array in arrays:
                read(array)
            seconds.append(time.perf_counter() - started)
        return store.rows / min(seconds)

    ours, plain = fastest(store.read), fastest(lambda array: group[array][...])
    return [
        (
            "frames, masks and 7 heatmaps read back into memory, every chunk checked",
            f"{ours:,.0f} frames/s",
            f"{ours / plain:.1f} times as fast as the zarr package ({plain:,.0f} frames/s)",
        )
    ]


if __name__ == "__main__":
    run_command(main)
