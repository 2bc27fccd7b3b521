"""A folder of images or clips beside masks or COCO polygons, without any list.

``images/NAME.png`` belongs to ``masks/NAME.png``, and frame 12 of
``videos/NAME.avi`` to ``masks/NAME_12.png``. Masks may be images or NIfTI files;
a NIfTI file with several masks has one for each frame, and those without a
ventricle do not count. Polygons are in JSON files in the format of COCO. Below
folders ``train``, ``val`` and ``test`` these are the splits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from echo_common.errors import DataError, DataNotFoundError
from echo_common.regular_file import read_regular
from echo_common.store.schema import SPLITS
from echo_prep.dataset.file_names import shown_name
from echo_prep.dataset.image_files import IMAGES, NIFTI, VIDEOS, open_image, stem_of, suffix_of
from echo_prep.dataset.rejects import Reject
from echo_prep.dataset.types import Video
from echo_prep.layouts.annotated_frames import UNDECIDED, AnnotatedFrame
from echo_prep.layouts.annotated_layout import AnnotatedLayout

FRAMES = ("images", "videos")
MASKS = "masks"
LISTS = "annotations"

_SPLITS = {
    "train": "TRAIN", "training": "TRAIN", "val": "VAL", "valid": "VAL", "validation": "VAL",
    "test": "TEST", "testing": "TEST",
}  # fmt: skip
"""Names of folders, and words in the names of JSON files, and their splits."""

_NUMBERED = re.compile(r"(.+)_([0-9]{1,9})", re.ASCII)


class Folder(AnnotatedLayout):
    """The layout of folders without a list."""

    name = "folder"

    def recognises(self, root: Path) -> bool:
        """Whether there are frames, with masks or JSON files."""
        return any(
            any((part / name).is_dir() for name in FRAMES)
            and ((part / MASKS).is_dir() or any(_lists(root, part)))
            for part, _ in _parts(root)
        )

    def frames(self, root: Path) -> tuple[list[AnnotatedFrame], list[Reject]]:
        """List every frame that has a mask or a polygon."""
        if not root.is_dir():
            raise DataNotFoundError(f"no data set at {root}: give its folder with --data")
        frames: list[AnnotatedFrame] = []
        rejects: list[Reject] = []
        for part, split in _parts(root):
            images = _files(root, part, FRAMES, (*IMAGES, *NIFTI, *VIDEOS))
            for stem, mask in _files(root, part, (MASKS,), (*IMAGES, *NIFTI)).items():
                frames += _masked(root, images, stem, mask, split, rejects)
            for path in _lists(root, part):
                frames += _polygons(root, path, images, split, rejects)
        return _unique(frames, rejects), rejects


def _parts(root: Path) -> list[tuple[Path, int]]:
    """Folders with frames, and the split of each."""
    parts = [
        (root / name, SPLITS.index(split))
        for name, split in _SPLITS.items()
        if any((root / name / frames).is_dir() for frames in FRAMES)
    ]
    return parts or [(root, UNDECIDED)]


def _files(
    root: Path, part: Path, folders: tuple[str, ...], suffixes: tuple[str, ...]
) -> dict[str, str]:
    """Paths in the archive of the files in some folders, by their names without suffix."""
    found: dict[str, str] = {}
    for folder in folders:
        try:
            paths = sorted((part / folder).iterdir())
        except OSError:
            continue
        for path in paths:
            if suffix_of(path.name, suffixes):
                found.setdefault(stem_of(path.name), str(path.relative_to(root)))
    return found


def _masked(
    root: Path,
    images: Mapping[str, str],
    stem: str,
    mask: str,
    split: int,
    rejects: list[Reject],
) -> Iterator[AnnotatedFrame]:
    """The frames that a file of masks belongs to."""
    name, number = stem, 0
    if stem not in images and (numbered := _NUMBERED.fullmatch(stem)):
        name, number = numbered[1], int(numbered[2])
    if name not in images:
        rejects.append(Reject(name, None, mask, "missing", "the mask has no image"))
        return
    video = Video(name=name, split=split)
    if name != stem or not suffix_of(mask, NIFTI):
        yield AnnotatedFrame(video=video, image=images[name], frame=number, mask=mask)
        return
    try:
        masks = open_image(root / mask)
        filled = [index for index in range(masks.count) if masks.read(index).any()]
    except DataError as error:
        rejects.append(Reject(name, None, mask, "mask", str(error)))
        return
    for index in filled or [0]:
        yield AnnotatedFrame(
            video=video, image=images[name], frame=index, mask=mask, mask_index=index
        )


def _lists(root: Path, part: Path) -> Iterator[Path]:
    """JSON files with polygons: in the part, next to its images, or in ``annotations``."""
    for folder in (part, part / LISTS, *(part / name for name in FRAMES)):
        yield from sorted(folder.glob("*.json"))


def _polygons(
    root: Path, path: Path, images: Mapping[str, str], split: int, rejects: list[Reject]
) -> list[AnnotatedFrame]:
    """The frames that a COCO file has polygons of; none if the file is something else."""
    where = str(path.relative_to(root))
    try:
        table = json.loads(read_regular(path))
        listed = {image["id"]: image for image in table["images"]}
        annotations = [(entry["image_id"], entry) for entry in table["annotations"]]
    except (ValueError, LookupError, TypeError, RecursionError):
        return []
    if split == UNDECIDED:
        words = re.split(r"[^a-z]+", path.stem.lower())
        split = next((SPLITS.index(_SPLITS[word]) for word in words if word in _SPLITS), split)
    lines: dict[Any, list[tuple[int, np.ndarray]]] = {}
    for image, entry in annotations:
        try:
            parts = [np.array(part, dtype=np.float64) for part in entry["segmentation"]]
            # A pixel's corner is at a whole number in COCO's format.
            shaped = [part.reshape(-1, 2) - 0.5 for part in parts]
            label = int(entry.get("category_id", 1))
        except (ValueError, LookupError, TypeError):
            shaped = []
        sound = [line for line in shaped if len(line) >= 3 and np.isfinite(line).all()]
        if image in listed and sound:
            lines.setdefault(image, []).extend((label, line) for line in sound)
        else:
            name = str(listed.get(image, {}).get("file_name", image))
            message = "the segmentation is no list of polygons, or of an image that is not listed"
            rejects.append(Reject(shown_name(name), None, where, "polygon", message))
    frames = []
    for image, found in lines.items():
        file = str(listed[image].get("file_name", ""))
        stem = stem_of(file.rpartition("/")[2])
        if stem not in images:
            message = "the polygon has no image in images/"
            rejects.append(Reject(shown_name(stem), None, where, "missing", message))
            continue
        frames.append(
            AnnotatedFrame(
                video=Video(name=stem, split=split),
                image=images[stem],
                polygons=tuple(line for _, line in found),
                labels=tuple(label for label, _ in found),
                where=where,
            )
        )
    return frames


def _unique(frames: list[AnnotatedFrame], rejects: list[Reject]) -> list[AnnotatedFrame]:
    """Leave out frames that are annotated twice, and videos that are in two splits."""
    seen: dict[tuple[str, int], AnnotatedFrame] = {}
    files: dict[str, str] = {}
    for frame in frames:
        name = frame.video.name
        if files.setdefault(name, frame.image) == frame.image and (name, frame.frame) not in seen:
            seen[name, frame.frame] = frame
            continue
        message = "another annotation belongs to the same frame, or to an image of this name"
        where = frame.where or frame.mask
        rejects.append(Reject(name, frame.frame, where, "listed-twice", message))
    return list(seen.values())
