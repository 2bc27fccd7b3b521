"""How fast preparation is, compared with EchoNet-Dynamic's loader, which decodes every frame.

    python benchmarks/prep.py
    python benchmarks/prep.py --videos 2000 --work /fast/disk
    python benchmarks/prep.py --videos 5000 --against OTHER/.venv/bin/echo-prep

Prints one table, measured in one run: reading the traced frames, a first build, another method, a
build with nothing to do, the memory of all processes, writing chunks, a conversion to HDF5, and
reading both stores back. The loader decodes every frame of a video into an array, in one process,
for each sample. The loader and the project's reader take turns over the same files, so that other
load on the machine affects both.

The videos are synthetic, 176 frames each, which is EchoNet-Dynamic's mean. A few are generated; the
large data set consists of hard links to them. Builds are timed as the command `echo-prep build`,
including its start-up. With `--against`, first builds by this version and by another one, such as
that of an earlier commit in an environment of its own, are made in turns and compared in CPU time.
"""

from __future__ import annotations

import dataclasses
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import cv2
import h5py
import numpy as np
import zarr
from decoding import decode_all
from helpers import describe_machine, repeat_dataset

from echo_common.cli.command import run_command
from echo_common.store.reader import EchoStore
from echo_common.store.schema import FRAMES, LandmarkSet, chunk_name, mask_path
from echo_prep.dataset.file_names import VideoFolder
from echo_prep.dataset.video import read_frames
from echo_prep.layouts.echonet_dynamic import VIDEOS, read_dataset
from echo_prep.store.work_folder import create_array, encode_chunk
from echo_prep.synth.archive import synthesize
from echo_prep.synth.settings import SynthSettings

LANDMARKS = LandmarkSet(method="chords", identity="anatomical", count=7)

PROGRAM = Path(sys.executable).with_name("echo-prep")
"""echo-prep of this version."""

REPETITIONS = 20
"""Repetitions of the project's reader for each turn of the loader."""


@click.command()
@click.option("--work", type=click.Path(path_type=Path), default=Path("cache/benchmark-prep"))
@click.option("--few", default=48, show_default=True, help="Number of generated videos.")
@click.option(
    "--videos", default=10_030, show_default=True, help="Number of videos in the large data set."
)
@click.option("--frames", default=176, show_default=True, help="Frames per video.")
@click.option("--rounds", default=5, show_default=True, help="Turns of each reader.")
@click.option("--jobs", default=2, show_default=True, help="Workers per build.")
@click.option(
    "--against",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="echo-prep of another version, to compare first builds with.",
)
def main(
    work: Path, few: int, videos: int, frames: int, rounds: int, jobs: int, against: Path | None
) -> None:
    """Measure preparation on synthetic videos, and print one table."""
    work.mkdir(parents=True, exist_ok=True)
    data = work / "few"
    synthesize(data, SynthSettings(videos=few, frames=frames, jobs=jobs))
    large = repeat_dataset(data, work / "large", videos)
    load = os.getloadavg()[0]
    rows = [("what", "measured", "relative to the loader, or target")]
    loader, reader_rows = measure_readers(data, rounds)
    rows += reader_rows
    rows += measure_builds(large, work / "large.zarr", videos, jobs, loader)
    if against:
        rows += measure_against(large, work / "turns.zarr", against, rounds)
    rows += measure_writing(work / "large.zarr")
    rows += measure_hdf5(work / "large.zarr", work / "large.h5")
    print(
        f"{describe_machine()}, NumPy {np.__version__}, OpenCV {cv2.__version__}; "
        f"load {load:.1f} before and {os.getloadavg()[0]:.1f} after\n"
        f"{few} videos of {frames} frames; {videos} of them in the large data set\n"
    )
    for number, row in enumerate(rows):
        print(f"| {' | '.join(row)} |")
        if number == 0:
            print("| --- | --- | --- |")


# --- Readers ------------------------------------------------------------------------------------


def measure_readers(data: Path, rounds: int) -> tuple[float, list[tuple[str, str, str]]]:
    """Videos per second of the loader, and the rows of the loader and the project's reader."""
    folder = data / VIDEOS
    videos = VideoFolder(folder)
    traced = {
        name: [trace.frame for trace in traces]
        for name, traces in read_dataset(data).traces.items()
    }
    loader_seconds = reader_seconds = 0.0
    difference = 0
    for _ in range(rounds):
        started = time.perf_counter()
        for name in traced:
            video = decode_all(folder / f"{name}.avi")
        loader_seconds += time.perf_counter() - started
        started = time.perf_counter()
        # The reader is so much faster that it needs more repetitions for a precise time.
        for _ in range(REPETITIONS):
            for name, numbers in traced.items():
                read_frames(videos, name, numbers, video.shape[1:3])
        reader_seconds += (time.perf_counter() - started) / REPETITIONS
    for name, numbers in traced.items():
        video = decode_all(folder / f"{name}.avi")
        reads = read_frames(videos, name, numbers, video.shape[1:3])
        for number, read in zip(numbers, reads, strict=True):
            gray = cv2.cvtColor(video[number], cv2.COLOR_RGB2GRAY).astype(int)
            difference = max(difference, int(np.abs(gray - read.pixels).max()))
    loader = rounds * len(traced) / loader_seconds
    reader = rounds * len(traced) / reader_seconds
    return loader, [
        ("the loader: every frame of a video, one process", f"{loader:.1f} videos/s", "1"),
        (
            "only the traced frames, one process",
            f"{reader:,.0f} videos/s",
            f"{reader / loader:.0f} times as fast (at least 60)",
        ),
        (
            "largest difference of their pixels from OpenCV's FFmpeg reader",
            f"{difference} of 255 gray levels",
            "at most 2",
        ),
    ]


# --- Builds -------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """A finished command: its seconds, and the peak memory of its largest process in MiB."""

    seconds: float
    memory: float
    last_line: str


def measure_builds(
    data: Path, store: Path, videos: int, jobs: int, loader: float
) -> list[tuple[str, str, str]]:
    """Build the large data set, add a method, and repeat a build that has nothing to do."""
    remove_store(store)
    command = ["build", "--data", str(data), "--store", str(store), "--jobs", str(jobs)]
    landmarks = ["--identity", LANDMARKS.identity, "--landmarks", str(LANDMARKS.count)]
    complete = [*command, *landmarks, "--falloff", "gaussian", "--method"]
    first = run_echo_prep([*complete, "chords"])
    method = run_echo_prep([*complete, "convexhull"])
    masks = run_echo_prep([*command, "--masks-only", "--method", "centroid"])
    nothing = run_echo_prep([*complete, "chords,convexhull"])
    if "nothing to do" not in nothing.last_line:
        raise RuntimeError(f"the store was not complete: {nothing.last_line}")
    rate = videos / first.seconds
    memory = max(run.memory for run in (first, method, masks, nothing))
    return [
        (
            f"first build, {jobs} workers: frames, masks, landmarks and 7 Gaussian heatmaps of "
            "`chords`",
            f"{first.seconds:.1f} s, {rate:.0f} videos/s",
            f"{rate / loader:.1f} times as fast as the loader decodes (at least 20)",
        ),
        (
            "masks of another method: `--masks-only` with `centroid`",
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


def measure_against(
    data: Path, store: Path, other: Path, rounds: int
) -> list[tuple[str, str, str]]:
    """Make first builds with this version and with another one in turns, one worker each."""
    seconds: dict[Path, list[float]] = {PROGRAM: [], other: []}
    for _ in range(rounds):
        for program, times in seconds.items():
            remove_store(store)
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            run_echo_prep(
                ["build", "--data", str(data), "--store", str(store), "--jobs", "1"], program
            )
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    ours, theirs = (statistics.median(times) for times in seconds.values())
    return [
        (
            f"CPU time of a first build, one worker, median of {rounds}",
            f"{ours:.2f} s",
            f"{ours / theirs:.2f} of the other version's {theirs:.2f} s (at most 1.1)",
        )
    ]


def remove_store(store: Path) -> None:
    """Remove a store of this benchmark and the files next to it."""
    for path in store.parent.glob(f"{store.stem}.*"):
        (shutil.rmtree if path.is_dir() else os.unlink)(path)


def run_echo_prep(arguments: Sequence[str], program: Path = PROGRAM) -> Run:
    """Run a command of echo-prep, and record the peak memory of its processes."""
    peak = [0.0]
    started = time.perf_counter()
    process = subprocess.Popen(
        [str(program), *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    watcher = threading.Thread(target=_watch, args=(process, peak))
    watcher.start()
    output, _ = process.communicate()
    seconds = time.perf_counter() - started
    watcher.join()
    if process.returncode:
        raise RuntimeError(f"echo-prep {' '.join(arguments)} failed: {output}")
    # Peak of the children that have exited; in bytes on macOS, otherwise in KiB.
    exited = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    peak[0] = max(peak[0], exited / (1 << (20 if sys.platform == "darwin" else 10)))
    return Run(seconds=seconds, memory=peak[0], last_line=output)


def _watch(process: subprocess.Popen[str], peak: list[float]) -> None:
    """Track the peak memory of a process and its descendants, on systems with /proc."""
    while process.poll() is None:
        pids = [process.pid]
        while pids:
            folder = Path(f"/proc/{pids.pop()}")
            try:
                for line in (folder / "status").read_text().splitlines():
                    if line.startswith("VmHWM"):
                        peak[0] = max(peak[0], int(line.split()[1]) / 1024)
                for children in folder.glob("task/*/children"):
                    pids += [int(child) for child in children.read_text().split()]
            except OSError:
                # The process has exited since.
                continue
        time.sleep(0.1)


# --- HDF5, and reading back ---------------------------------------------------------------------


def measure_writing(path: Path, chunks: int = 16) -> list[tuple[str, str, str]]:
    """Write the first chunks of every array with the project's encoder, and with zarr."""
    store, total, written, seconds = EchoStore(path), 0, 0, [0.0, 0.0]
    with (
        tempfile.TemporaryDirectory(dir=path.parent) as folder,
        zarr.config.set({"array.write_empty_chunks": True}),
    ):
        for name, manifest in store.manifests.items():
            spec, each = store.container.spec(name)
            create_array(Path(folder) / name, spec, manifest.key)
            total += len(manifest.chunks)
            for number in range(min(chunks, spec.shape[0] // each)):
                rows = slice(number * each, (number + 1) * each)
                content = store.read_rows(name, rows.start, rows.stop)
                started = time.process_time()
                file = Path(folder) / name / chunk_name(number, len(spec.shape))
                file.write_bytes(encode_chunk(spec, content))
                middle = time.process_time()
                zarr.open_array(Path(folder) / name, mode="r+")[rows] = content
                seconds[0] += middle - started
                seconds[1] += time.process_time() - middle
                written += 1
    ours, plain = (value / written for value in seconds)
    return [
        (
            "writing a chunk of 128 rows, mean of all arrays",
            f"{1000 * ours:.2f} ms of CPU time",
            f"{plain / ours:.1f} times as fast as the package zarr; {total * (plain - ours):.1f} s "
            "of CPU time less in a first build",
        )
    ]


def measure_hdf5(source: Path, target: Path) -> list[tuple[str, str, str]]:
    """Convert a Zarr store to HDF5, and read frames, masks and heatmaps of both into memory."""
    run = run_echo_prep(["convert", str(source), str(target)])
    rows = [("conversion to HDF5", f"{run.seconds:.1f} s", "")]
    arrays = (FRAMES, mask_path(LANDMARKS.method), LANDMARKS.heatmap("gaussian"))
    for path, package, group in (
        (source, "zarr", zarr.open_group(source, mode="r")),
        (target, "h5py", h5py.File(target)),
    ):
        store = EchoStore(path)
        ours = store.rows / fastest(lambda store=store: [store.read(array) for array in arrays])
        plain = store.rows / fastest(lambda group=group: [group[array][...] for array in arrays])
        rows.append(
            (
                f"{path.suffix}: frames, masks and 7 heatmaps read into memory, chunks verified",
                f"{ours:,.0f} frames/s",
                f"{ours / plain:.1f} times as fast as the package {package}, "
                f"which read {plain:,.0f} frames/s",
            )
        )
    return rows


def fastest(work: Callable[[], object]) -> float:
    """Seconds of the fastest of three calls."""
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


if __name__ == "__main__":
    run_command(main)
