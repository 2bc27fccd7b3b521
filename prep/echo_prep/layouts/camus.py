"""The CAMUS layout: NIfTI images and masks of 500 patients, two- and four-chamber views.

Each patient has a folder, ``patient0001``, with images, masks and an info file
of each view at ED and at ES. The ventricle has label 1. Pixels are not square,
and the size differs from patient to patient.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from echo_common.errors import DataError, DataNotFoundError
from echo_common.regular_file import read_regular
from echo_common.store.schema import PHASES, SPLITS
from echo_prep.dataset.rejects import Reject
from echo_prep.dataset.types import Video
from echo_prep.layouts.annotated_frames import UNDECIDED, AnnotatedFrame
from echo_prep.layouts.annotated_layout import AnnotatedLayout

VIEWS = ("2CH", "4CH")

_PATIENT = re.compile(r"patient\d{4}", re.ASCII)

_FOLDER = "database_nifti"
_SPLIT_FOLDER = "database_split"
_SUBGROUPS = {"training": "TRAIN", "validation": "VAL", "testing": "TEST"}
"""Words in the names of the official lists of patients, and the splits."""


class Camus(AnnotatedLayout):
    """The layout of CAMUS."""

    name = "camus"
    size = 112
    options: ClassVar[Mapping[str, Any]] = {"view": None, "label": 1}

    def recognises(self, root: Path) -> bool:
        """Whether there are folders of patients."""
        return bool(_patients(root))

    def annotations(self, root: Path) -> list[Path]:
        """Masks, info files and lists of splits."""
        infos = [
            info
            for folder in _patients(root)
            for view in VIEWS
            if (info := folder / f"Info_{view}.cfg").is_file()
        ]
        return [*super().annotations(root), *infos, *_lists(root).values()]

    def frames(self, root: Path) -> tuple[list[AnnotatedFrame], list[Reject]]:
        """List ED and ES of both views of all patients."""
        if not root.is_dir():
            raise DataNotFoundError(f"no data set at {root}: give CAMUS's folder with --data")
        folders = _patients(root)
        if not folders:
            raise DataError(f"{root} has no folders patient0001, … of CAMUS, nor {_FOLDER}/ them")
        splits = _splits(root)
        frames: list[AnnotatedFrame] = []
        rejects: list[Reject] = []
        for folder in folders:
            for view in VIEWS:
                stem = f"{folder.name}_{view}"
                info = _info(folder / f"Info_{view}.cfg")
                video = Video(
                    name=stem,
                    split=splits.get(folder.name, UNDECIDED),
                    ef=_number(info, "EF", "LVef"),
                    edv=_number(info, "LVedv"),
                    esv=_number(info, "LVesv"),
                    fps=_number(info, "FrameRate"),
                    patient=folder.name,
                    view=view,
                    quality=info.get("imagequality", ""),
                )
                for phase, number in _numbers(info).items():
                    image, mask = (_file(folder, f"{stem}_{phase}{kind}") for kind in ("", "_gt"))
                    if not (image.exists() or mask.exists()):
                        continue
                    where = str(mask.relative_to(root))
                    if splits and folder.name not in splits:
                        message = "none of the official lists has the patient"
                        rejects.append(Reject(stem, number, where, "split", message))
                        continue
                    frames.append(
                        AnnotatedFrame(
                            video=video,
                            frame=number,
                            image=str(image.relative_to(root)),
                            index=0,
                            mask=where,
                            phase=PHASES.index(phase),
                        )
                    )
        return frames, rejects


def _numbers(info: dict[str, str]) -> dict[str, int]:
    """Number of ED and ES in their video; 0 and 1 if the info file does not tell."""
    ed, es = _number(info, "ED"), _number(info, "ES")
    sound = min(ed, es) >= 1 and ed != es
    return {"ED": int(ed) - 1, "ES": int(es) - 1} if sound else {"ED": 0, "ES": 1}


def _file(folder: Path, stem: str) -> Path:
    """Path of a NIfTI file, compressed or not, which may not exist."""
    plain = folder / f"{stem}.nii"
    return plain if plain.exists() else folder / f"{stem}.nii.gz"


def _patients(root: Path) -> list[Path]:
    """Folders of the patients, sorted, in the folder or in its ``database_nifti``."""
    for folder in (root / _FOLDER, root):
        try:
            found = sorted(path for path in folder.iterdir() if _PATIENT.fullmatch(path.name))
        except OSError:
            continue
        if found:
            return found
    return []


def _lists(root: Path) -> dict[str, Path]:
    """The official lists of patients by split, if all are there."""
    for folder in (root / _SPLIT_FOLDER, root):
        lists = {
            split: folder / f"subgroup_{word}.txt"
            for word, split in _SUBGROUPS.items()
            if (folder / f"subgroup_{word}.txt").is_file()
        }
        if len(lists) == len(_SUBGROUPS):
            return lists
    return {}


def _splits(root: Path) -> dict[str, int]:
    """Split of each patient by the official lists; empty if they are not there."""
    found: dict[str, int] = {}
    for split, path in _lists(root).items():
        for patient in _text(path).split():
            if found.setdefault(patient, SPLITS.index(split)) != SPLITS.index(split):
                raise DataError(f"{path} lists {patient[:40]!r}, which another list has too")
    return found


def _info(path: Path) -> dict[str, str]:
    """Entries of an info file, such as ``ImageQuality: Good``, by name in lower case."""
    try:
        lines = _text(path).splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in lines)
    return {
        key.strip().lower(): "".join(filter(str.isprintable, value.strip()))[:80]
        for key, _, value in pairs
    }


def _number(info: dict[str, str], *names: str) -> float:
    for name in names:
        try:
            value = float(info[name.lower()])
        except (KeyError, ValueError):
            continue
        if math.isfinite(value) and abs(value) < 1e6:
            return value
    return math.nan


def _text(path: Path) -> str:
    return read_regular(path).decode("utf-8", "replace")
