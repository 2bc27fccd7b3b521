"""Small archives in each layout's exact format, all of the same hearts.

A heart is half an ellipse whose mitral plane is oblique. It is written as
chords, contour points, masks or polygons, by code of its own.
"""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import nibabel
import numpy as np
import skimage.draw

from support.datasets import SmallVideo, frame_pattern, write_small_dataset, write_video

Writer = Callable[[Path, Sequence[int]], Path]
"""Writes an archive of some hearts."""

SIZE = 112

CAMUS_SPACING = 0.308, 0.154
"""Width and height in mm of a pixel of the files written by `write_camus`."""

CAMUS_SHAPE = 224, 112
"""(height, width) of these files: square in mm, like the other archives' frames."""


@dataclasses.dataclass(frozen=True)
class Heart:
    """A ventricle in a frame of 112 pixels: both walls from apex to mitral corner, (point, 2)."""

    left: np.ndarray
    right: np.ndarray

    @property
    def outline(self) -> np.ndarray:
        """Closed line through apex and both corners."""
        return np.concatenate([self.left, self.right[:0:-1]])

    def points(self, step: int) -> np.ndarray:
        """Some points of the outline, at equal steps, with apex and both corners."""
        return np.concatenate([self.left[::step], self.right[:0:-step]])

    def chords(self) -> np.ndarray:
        """Rows of a trace, (21, 4): chords at equal shares of both walls, the last at the base."""
        shares = (np.arange(20) + 0.5) / 19.5
        ends = [
            np.stack([np.interp(shares, np.linspace(0, 1, len(wall)), axis) for axis in wall.T], 1)
            for wall in (self.left, self.right)
        ]
        base = (self.left[-1] + self.right[-1]) / 2
        return np.vstack([np.concatenate([self.left[0], base]), np.concatenate(ends, axis=1)])

    def landmarks(self) -> np.ndarray:
        """Seven anatomical landmarks, from the left corner over the apex to the right."""
        count = len(self.left) - 1
        up = [self.left[round(count * share)] for share in (1, 2 / 3, 1 / 3, 0)]
        down = [self.right[round(count * share)] for share in (1 / 3, 2 / 3, 1)]
        return np.array(up + down)

    def mask(self, shape: tuple[int, int] = (SIZE, SIZE)) -> np.ndarray:
        """Mask in a frame of any size that shows the same, 0 or 1."""
        factor = np.array(shape[::-1]) / SIZE
        x, y = ((self.outline + 0.5) * factor - 0.5).T
        mask = np.zeros(shape, np.uint8)
        mask[skimage.draw.polygon(y, x, shape)] = 1
        return mask


def make_heart(number: int, systole: bool = False) -> Heart:
    """A heart of its own for each number; at end-systole it is smaller."""
    rng = np.random.default_rng(number)
    apex, base = rng.normal([51, 16], 2), rng.normal([62, 70], 2)
    width, tilt = rng.uniform(34, 42), rng.uniform(-7, 7)
    if systole:
        apex, base, width = apex + 3, base - 5, 0.72 * width
    down = (base - apex) / np.linalg.norm(base - apex)
    across = np.array([down[1], -down[0]])
    share = np.linspace(0, 1, 4000) ** 2
    walls = []
    for side in (-1, 1):
        half = width / 2 * np.sqrt(1 - (1 - share) ** 2) * (1 - 0.12 * share**2)
        wall = apex + share[:, None] * (base - apex) + side * half[:, None] * across
        wall += (side * tilt * share**3)[:, None] * down
        steps = np.hypot(*np.diff(wall, axis=0).T)
        along = np.concatenate([[0], np.cumsum(steps)])
        even = np.linspace(0, along[-1], 61)
        walls.append(np.stack([np.interp(even, along, axis) for axis in wall.T], axis=1))
    walls.sort(key=lambda wall: wall[-1, 0])
    return Heart(*walls)


def picture(mask: np.ndarray, number: int, frame: int) -> np.ndarray:
    """A gray frame whose cavity is dark, with a pattern of its own."""
    pattern = cv2.resize(frame_pattern(number, frame), mask.shape[::-1])
    return np.where(mask > 0, pattern // 4, pattern).astype(np.uint8)


def _clip(number: int, frames: int = 6) -> list[np.ndarray]:
    """A clip whose first frame is ED and whose fifth is ES."""
    return [
        picture(make_heart(number, frame == 4).mask(), number, frame) for frame in range(frames)
    ]


def circle(radius: float) -> np.ndarray:
    """A ventricle in a short-axis view, (point, 2)."""
    angle = np.linspace(0, 2 * np.pi, 30, endpoint=False)
    return np.array([56, 60]) + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def name_of(number: int) -> str:
    """Name of a heart's video."""
    return f"heart{number:02d}"


def write_dynamic(root: Path, numbers: Sequence[int]) -> Path:
    """The hearts in EchoNet-Dynamic's format."""
    videos = [
        SmallVideo(
            name=name_of(number),
            frames=6,
            traces={0: make_heart(number).chords(), 4: make_heart(number, True).chords()},
            split=("TRAIN", "TRAIN", "VAL", "TEST")[number % 4],
        )
        for number in numbers
    ]
    write_small_dataset(root, videos, write_videos=False)
    for number in numbers:
        write_video(root / "Videos" / f"{name_of(number)}.avi", _clip(number))
    return root


def write_pediatric(root: Path, numbers: Sequence[int], views: Sequence[str] = ("A4C",)) -> Path:
    """The hearts in EchoNet-Pediatric's format; in PSAX, circles."""
    for view in views:
        folder = root / view
        (folder / "Videos").mkdir(parents=True)
        listed = [["FileName", "EF", "Sex", "Age", "Weight", "Height", "Split"]]
        points: list[list[object]] = [["FileName", "X", "Y", "Frame"]]
        for number in numbers:
            name = f"{view}-{name_of(number)}.avi"
            listed.append([name, "61.25", "F", "3", "14.0", "95.0", str(number % 10)])
            for frame, systole in ((0, False), (4, True)):
                line = make_heart(number, systole).points(4)
                if view == "PSAX":
                    line = circle(16 if systole else 24)
                points += [[name, f"{x:.6f}", f"{y:.6f}", frame] for x, y in line]
            write_video(folder / "Videos" / name, _clip(number))
        points.append([f"{view}-{name_of(numbers[0])}.avi", "", "", "No Systolic"])
        for file, rows in (("FileList.csv", listed), ("VolumeTracings.csv", points)):
            with (folder / file).open("w", newline="") as opened:
                csv.writer(opened).writerows(rows)
    return root


def write_camus(root: Path, numbers: Sequence[int], official: bool = True) -> Path:
    """The hearts in CAMUS's format, the same heart in both views."""
    for number in numbers:
        folder = root / "database_nifti" / patient_of(number)
        folder.mkdir(parents=True)
        for view in ("2CH", "4CH"):
            (folder / f"Info_{view}.cfg").write_text(
                "ED: 1\nES: 18\nNbFrame: 18\nSex: F\nAge: 56\nImageQuality: Good\nEF: 54\n"
                "FrameRate: 48.8\n"
            )
            for phase, systole in (("ED", False), ("ES", True)):
                heart, stem = make_heart(number, systole), f"{folder.name}_{view}_{phase}"
                # Besides the ventricle, the myocardium has label 2 and the atrium 3.
                mask = heart.mask(CAMUS_SHAPE)
                around = cv2.dilate(mask, np.ones((13, 7), np.uint8)) * 2
                _write_nifti(folder / f"{stem}_gt.nii.gz", np.where(mask > 0, mask, around))
                image = picture(mask, number, 4 if systole else 0)
                _write_nifti(folder / f"{stem}.nii.gz", image)
    if official:
        (root / "database_split").mkdir()
        for remainder, word in enumerate(("training", "validation", "testing")):
            names = [patient_of(number) for number in numbers if number % 3 == remainder]
            (root / "database_split" / f"subgroup_{word}.txt").write_text("\n".join(names) + "\n")
    return root


def patient_of(number: int) -> str:
    """Name of a heart's patient in CAMUS."""
    return f"patient{number + 1:04d}"


def _write_nifti(path: Path, pixels: np.ndarray) -> None:
    image = nibabel.Nifti1Image(pixels.T.astype(np.uint8), np.diag([-0.308, -0.154, 1, 1]))
    image.header.set_zooms(CAMUS_SPACING)
    nibabel.save(image, path)


def write_mask_folder(root: Path, numbers: Sequence[int]) -> Path:
    """The hearts as clips beside masks of their frames."""
    (root / "videos").mkdir(parents=True)
    (root / "masks").mkdir()
    for number in numbers:
        write_video(root / "videos" / f"{name_of(number)}.avi", _clip(number))
        for frame, systole in ((0, False), (4, True)):
            mask = make_heart(number, systole).mask() * 255
            cv2.imwrite(str(root / "masks" / f"{name_of(number)}_{frame}.png"), mask)
    return root


def write_coco(root: Path, numbers: Sequence[int]) -> Path:
    """The hearts at ED as images and polygons in COCO's format."""
    (root / "images").mkdir(parents=True)
    images, annotations = [], []
    for number in numbers:
        heart, name = make_heart(number), f"{name_of(number)}.png"
        cv2.imwrite(str(root / "images" / name), picture(heart.mask(), number, 0))
        images.append({"id": number, "file_name": name, "width": SIZE, "height": SIZE})
        # In COCO's format a pixel's corner is at a whole number.
        line = (heart.points(2) + 0.5).round(3)
        annotations.append(
            {
                "id": number,
                "image_id": number,
                "category_id": 1,
                "segmentation": [line.ravel().tolist()],
            }
        )
    table = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "left ventricle"}],
    }
    (root / "annotations.json").write_text(json.dumps(table))
    return root
