"""The data set that the golden stores were built from, with its content in closed form.

Frames consist of uniform 16-pixel squares, which Motion-JPEG stores exactly.
Contours are rectangles, whose masks are known.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from support.datasets import write_video

SIDE = 48
"""Height and width of the frames, small because the stores are part of the repository."""

VIDEOS = ("GOLD-A", "GOLD-B", "GOLD-C")
SPLITS = ("TRAIN", "VAL", "TEST")
LARGE = (12, 8, 36, 40)
SMALL = (16, 12, 30, 36)
"""Left, top, right and bottom of the two contours, in pixels."""

TRACED = (1, 4)
"""Traced frames; the large contour comes first except in GOLD-B, where it comes second."""


def frame(video: int, number: int) -> np.ndarray:
    """Gray values of a frame; each 16-pixel square has its own."""
    y, x = np.mgrid[: SIDE // 16, : SIDE // 16]
    return np.kron(40 + 20 * video + 8 * number + 16 * y + 5 * x, np.ones((16, 16))).astype(
        np.uint8
    )


def box(video: int, number: int) -> tuple[int, int, int, int]:
    """The contour traced in a frame."""
    return LARGE if (number == TRACED[0]) == (video != 1) else SMALL


def chords(box: tuple[int, int, int, int]) -> np.ndarray:
    """21 rows of X1, Y1, X2, Y2: the long axis, then chords from wall to wall, apex first."""
    left, top, right, bottom = box
    levels = np.linspace(top, bottom, 20)
    middle = (left + right) / 2
    walls = [[left, level, right, level] for level in levels]
    return np.array([[middle, top, middle, bottom], *walls])


def mask(box: tuple[int, int, int, int]) -> np.ndarray:
    """The rectangle, including its border."""
    left, top, right, bottom = box
    inside = np.zeros((SIDE, SIDE), dtype=np.uint8)
    inside[top : bottom + 1, left : right + 1] = 1
    return inside


def write_golden_dataset(root: Path, short: bool = True) -> Path:
    """Write the data set in EchoNet-Dynamic's format.

    If `short`, the video of GOLD-C ends before frame 4.
    """
    (root / "Videos").mkdir(parents=True)
    with (root / "FileList.csv").open("w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(
            (
                "FileName",
                "EF",
                "ESV",
                "EDV",
                "FrameHeight",
                "FrameWidth",
                "FPS",
                "NumberOfFrames",
                "Split",
            )
        )
        for video, (name, split) in enumerate(zip(VIDEOS, SPLITS, strict=True)):
            out.writerow((name, 50.5 + video, 40 + video, 80.25, SIDE, SIDE, 50, 6, split))
    with (root / "VolumeTracings.csv").open("w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(("FileName", "X1", "Y1", "X2", "Y2", "Frame"))
        for video, name in enumerate(VIDEOS):
            for number in TRACED:
                for row in chords(box(video, number)):
                    out.writerow((f"{name}.avi", *row, number))
    for video, name in enumerate(VIDEOS):
        frames = [frame(video, number) for number in range(3 if short and name == "GOLD-C" else 6)]
        write_video(root / "Videos" / f"{name}.avi", frames)
    return root
