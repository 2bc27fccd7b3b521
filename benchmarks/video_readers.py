"""How fast the traced frames of a video are found and decoded, by this project and by others.

    python benchmarks/video_readers.py 2>/dev/null      (OpenCV reports each damaged file)

The readers take turns, each over all videos, on one thread; times are CPU time. The first
row is the procedure of EchoNet-Dynamic's loader, which decodes every frame. The second table shows
what each reader returns for the same videos after they were damaged: frames are counted as right,
wrong (another frame than the requested one) or missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import av
import click
import cv2
import numpy as np
from decoding import decode_all
from helpers import describe_machine

from echo_common.cli.command import run_command
from echo_prep.dataset.file_names import VideoFolder
from echo_prep.dataset.video import prepare_process, read_frames
from echo_prep.layouts.echonet_dynamic import VIDEOS, read_dataset
from echo_prep.synth.archive import synthesize
from echo_prep.synth.phantom.study import SIZE
from echo_prep.synth.settings import SynthSettings

Reader = Callable[[Path, Sequence[int]], Mapping[int, np.ndarray]]
"""Reads frames of a video as gray images, by number; leaves out those that it cannot read."""

PROJECT = "this project"


def read_all_frames(path: Path, numbers: Sequence[int]) -> dict[int, np.ndarray]:
    try:
        video = decode_all(path)
    except RuntimeError:
        return {}
    return {number: cv2.cvtColor(video[number], cv2.COLOR_RGB2GRAY) for number in numbers}


def read_with_project(path: Path, numbers: Sequence[int]) -> dict[int, np.ndarray]:
    reads = read_frames(VideoFolder(path.parent), path.stem, numbers, (SIZE, SIZE))
    return {
        number: read.pixels
        for number, read in zip(numbers, reads, strict=True)
        if read.pixels is not None
    }


def find_packets(path: Path, numbers: Sequence[int]) -> Iterator[tuple[int, av.Packet]]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for number in numbers:
            container.seek(number, stream=stream)
            packet = next(container.demux(stream))
            # A seek past the end stops at the last frame.
            if packet.pts == number:
                yield number, packet


def decode_with_pyav(path: Path, numbers: Sequence[int]) -> dict[int, np.ndarray]:
    frames = {}
    for number, packet in find_packets(path, numbers):
        luma = packet.decode()[0].planes[0]
        rows = np.frombuffer(luma, np.uint8).reshape(luma.height, luma.line_size)
        frames[number] = rows[:, : luma.width].copy()
    return frames


def demux_with_pyav(path: Path, numbers: Sequence[int]) -> dict[int, np.ndarray]:
    frames = {
        number: cv2.imdecode(np.frombuffer(packet, np.uint8), cv2.IMREAD_GRAYSCALE)
        for number, packet in find_packets(path, numbers)
    }
    return {number: frame for number, frame in frames.items() if frame is not None}


def seek_with_opencv(backend: int) -> Reader:
    def read(path: Path, numbers: Sequence[int]) -> dict[int, np.ndarray]:
        capture = cv2.VideoCapture(str(path), backend)
        frames = {}
        for number in numbers:
            capture.set(cv2.CAP_PROP_POS_FRAMES, number)
            success, frame = capture.read()
            if success:
                frames[number] = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
        return frames

    return read


READERS: dict[str, Reader] = {
    "EchoNet-Dynamic's loader: every frame": read_all_frames,
    "OpenCV: seek with `CAP_FFMPEG`": seek_with_opencv(cv2.CAP_FFMPEG),
    "OpenCV: seek with `CAP_OPENCV_MJPEG`": seek_with_opencv(cv2.CAP_OPENCV_MJPEG),
    "PyAV: demuxer and decoder": decode_with_pyav,
    "PyAV: demuxer, decoded with OpenCV": demux_with_pyav,
    PROJECT: read_with_project,
}


def drop_index_entry(content: bytes) -> bytes:
    """Remove the first frame from the index."""
    start = content.rindex(b"idx1") + 8
    size = int.from_bytes(content[start - 4 : start], "little") - 16
    return content[: start - 4] + size.to_bytes(4, "little") + content[start + 16 :]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "index missing": lambda content: content[: content.rindex(b"idx1")],
    "index lacks its first entry": drop_index_entry,
    "cut in half": lambda content: content[: len(content) // 2],
}


@click.command()
@click.option("--work", type=click.Path(path_type=Path), default=Path("cache/benchmark-prep"))
@click.option("--videos", default=48, show_default=True, help="Number of videos.")
@click.option("--frames", default=176, show_default=True, help="Frames per video.")
@click.option("--rounds", default=5, show_default=True, help="Turns of each reader.")
def main(work: Path, videos: int, frames: int, rounds: int) -> None:
    """Compare readers on synthetic videos, and print two tables."""
    prepare_process()
    av.logging.set_level(None)
    data = work / "few"
    synthesize(data, SynthSettings(videos=videos, frames=frames))
    traced = {
        data / VIDEOS / f"{name}.avi": [trace.frame for trace in traces]
        for name, traces in read_dataset(data).traces.items()
    }
    print(
        f"{describe_machine()}, NumPy {np.__version__}, OpenCV {cv2.__version__}, PyAV "
        f"{av.__version__}\n{videos} videos of {frames} frames, two frames read of each\n"
    )
    print_speed(traced, rounds)
    print()
    print_damaged(traced, work)


def print_speed(traced: Mapping[Path, Sequence[int]], rounds: int) -> None:
    """Print the rate of each reader, and the largest difference from the project's pixels."""
    seconds = dict.fromkeys(READERS, 0.0)
    for _ in range(rounds):
        for name, read in READERS.items():
            started = time.process_time()
            for path, numbers in traced.items():
                read(path, numbers)
            seconds[name] += time.process_time() - started
    print("| reader | videos/s | rate of this project / its rate | gray levels from this project |")
    print("| --- | --- | --- | --- |")
    for name, read in READERS.items():
        difference = max(
            int(np.abs(read(path, [number])[number].astype(int) - frame).max())
            for path, numbers in traced.items()
            for number, frame in read_with_project(path, numbers).items()
        )
        rate = rounds * len(traced) / seconds[name]
        ratio = seconds[name] / seconds[PROJECT]
        print(f"| {name} | {rate:,.0f} | {ratio:.1f} | {difference} |")


def print_damaged(traced: Mapping[Path, Sequence[int]], work: Path) -> None:
    """Print how many frames of damaged videos each reader returns, and how many are wrong."""
    print(f"| reader | {' | '.join(DAMAGE)} |")
    print(f"| --- |{' --- |' * len(DAMAGE)}")
    path = work / "damaged.avi"
    for name, read in READERS.items():
        cells = []
        for damage in DAMAGE.values():
            right = wrong = missing = 0
            for sound, numbers in traced.items():
                path.write_bytes(damage(sound.read_bytes()))
                expected = read_with_project(sound, numbers)
                frames = read(path, numbers)
                missing += len(numbers) - len(frames)
                for number, frame in frames.items():
                    matches = np.abs(frame.astype(int) - expected[number]).max() <= 1
                    right += matches
                    wrong += not matches
            cells.append(f"{right} right, {wrong} wrong, {missing} missing")
        print(f"| {name} | {' | '.join(cells)} |")
    path.unlink()


if __name__ == "__main__":
    run_command(main)
