"""Small data sets for the tests of preparation.

Each frame has a pattern of its own, so that a test notices when a wrong frame
was read.
"""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

SHAPE = (112, 112)

FILE_LIST_HEADER = "FileName,EF,ESV,EDV,FrameHeight,FrameWidth,FPS,NumberOfFrames,Split\n"
TRACINGS_HEADER = "FileName,X1,Y1,X2,Y2,Frame\n"


@dataclasses.dataclass
class SmallVideo:
    """A video of a small data set; `traces` maps frame numbers to rows of X1, Y1, X2, Y2."""

    name: str
    frames: int
    traces: dict[int, np.ndarray]
    split: str = "TRAIN"


def half_ellipse_trace(
    apex: tuple[float, float] = (51.0, 15.0),
    base: tuple[float, float] = (65.0, 69.0),
    width: float = 26.0,
    rows: int = 21,
) -> np.ndarray:
    """A trace of half an ellipse, in EchoNet-Dynamic's order of rows, (rows, 4)."""
    top, bottom = np.array(apex), np.array(base)
    length = np.linalg.norm(bottom - top)
    down = (bottom - top) / length
    across = np.array([down[1], -down[0]])
    shares = (np.arange(rows - 1) + 0.5) / (rows - 1)
    half = width / 2 * np.sqrt(1 - (1 - shares) ** 2)
    middles = top + shares[:, None] * length * down
    lines = [np.concatenate([top, bottom])]
    lines += [
        np.concatenate([middle - reach * across, middle + reach * across])
        for middle, reach in zip(middles, half, strict=True)
    ]
    return np.array(lines)


def frame_pattern(video: int, frame: int) -> np.ndarray:
    """A smooth gray image, uint8, whose level and phase depend on the video and the frame."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    wave = np.sin(x / 9 + frame * 0.7) * np.cos(y / 11 + video * 1.3)
    return (110 + (video * 37) % 60 + 40 * wave).astype(np.uint8)


def write_video(
    path: Path, frames: Sequence[np.ndarray], fourcc: str = "MJPG", fps: float = 50.0
) -> None:
    """Write gray frames as an AVI file with the given codec."""
    height, width = frames[0].shape
    code = cv2.VideoWriter.fourcc(*fourcc)
    writer = cv2.VideoWriter(str(path), code, fps, (width, height), True)
    assert writer.isOpened(), fourcc
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR))
    writer.release()


def write_small_dataset(
    root: Path, videos: Sequence[SmallVideo], write_videos: bool = True
) -> Path:
    """Write a data set in EchoNet-Dynamic's format."""
    (root / "Videos").mkdir(parents=True, exist_ok=True)
    with (root / "FileList.csv").open("w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        file.write(FILE_LIST_HEADER)
        for video in videos:
            out.writerow([video.name, 55.5, 40.25, 90.5, 112, 112, 50, video.frames, video.split])
    with (root / "VolumeTracings.csv").open("w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        file.write(TRACINGS_HEADER)
        for video in videos:
            for frame, rows in video.traces.items():
                for row in rows:
                    out.writerow([f"{video.name}.avi", *(f"{v:.8f}" for v in row), frame])
    if write_videos:
        for number, video in enumerate(videos):
            frames = [frame_pattern(number, frame) for frame in range(video.frames)]
            write_video(root / "Videos" / f"{video.name}.avi", frames)
    return root


def small_videos(count: int, seed: int = 0) -> list[SmallVideo]:
    """Videos with a large and a small contour each, in either order, from all three splits."""
    rng = np.random.default_rng(seed)
    videos = []
    for number in range(count):
        apex = rng.normal([51, 15], 2)
        base = rng.normal([64, 68], 2)
        large = half_ellipse_trace(tuple(apex), tuple(base), rng.uniform(26, 32))
        small = half_ellipse_trace(tuple(apex + 2), tuple(base - 6), rng.uniform(12, 18))
        first, second = sorted(rng.choice(12, 2, replace=False).tolist())
        pair = (large, small) if number % 4 else (small, large)
        videos.append(
            SmallVideo(
                name=f"0X{number:014X}",
                frames=12,
                traces={first: pair[0], second: pair[1]},
                split=("TRAIN", "TRAIN", "VAL", "TEST")[number % 4],
            )
        )
    return videos
