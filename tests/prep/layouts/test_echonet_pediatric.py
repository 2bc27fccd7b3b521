"""EchoNet-Pediatric: folds, views, contours point by point, and everything that may be wrong."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from echo_common.errors import DataError, SettingsError
from echo_prep.dataset.types import Dataset
from echo_prep.layouts.echonet_pediatric import EchoNetPediatric
from support.archives import make_heart, write_pediatric

LAYOUT = EchoNetPediatric()


def read(root: Path, **options: object) -> Dataset:
    return LAYOUT.read(root, {**LAYOUT.options, **options})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_pediatric(tmp_path, range(10), ("A4C", "PSAX"))


def edit(path: Path, line: int, **cells: str) -> None:
    """Change cells of a line of a CSV file, from 0 after the header."""
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    for name, value in cells.items():
        rows[line][header.index(name)] = value
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def test_folds_become_splits_and_are_kept(root: Path) -> None:
    dataset = read(root)
    assert not dataset.rejects
    assert dataset.traced == 40
    assert list(dataset.notes.values()) == [2]
    folds = {video.name: (video.fold, video.split) for video in dataset.videos}
    assert len(folds) == 20
    assert dict(folds.values()) == {
        **dict.fromkeys(range(8), 0), 8: 1, 9: 2
    }  # fmt: skip
    other = read(root, val_fold=0, test_fold=3)
    assert {video.fold for video in other.videos if video.split == 1} == {0}
    assert {video.fold for video in other.videos if video.split == 2} == {3}


def test_a_view_is_chosen_by_option_or_by_its_folder(root: Path) -> None:
    for dataset in (read(root, view=["PSAX"]), read(root / "PSAX")):
        assert {video.view for video in dataset.videos} == {"PSAX"}
        assert len(dataset.videos) == 10
    with pytest.raises(SettingsError, match="has no view 4CH; it has A4C, PSAX"):
        read(root, view=["4CH"])
    with pytest.raises(SettingsError, match="the same"):
        read(root, val_fold=3, test_fold=3)


def test_a_short_axis_view_is_divided_from_its_highest_to_its_lowest_point(root: Path) -> None:
    for traces in read(root, view=["PSAX"]).traces.values():
        for trace, radius in zip(traces, (24, 16), strict=True):
            np.testing.assert_allclose(trace.long_axis[0], [56, 60 - radius], atol=0.5)
            across = trace.contour[:20] - trace.contour[:19:-1]
            # Level chords, from wall to wall.
            np.testing.assert_allclose(across[:, 1], 0, atol=1.0)
            assert (across[:, 0] < 0).all()


def test_a_contour_may_begin_anywhere_and_turn_either_way(root: Path) -> None:
    expected = read(root, view=["A4C"]).traces
    path = root / "A4C" / "VolumeTracings.csv"
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    count = len(make_heart(0).points(4))
    turned = rows[:count][::-1]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *turned[7:], *turned[:7], *rows[count:]])
    for name, traces in read(root, view=["A4C"]).traces.items():
        for found, known in zip(traces, expected[name], strict=True):
            np.testing.assert_allclose(found.contour, known.contour, atol=0.35)


@pytest.mark.parametrize(
    ("file", "line", "cells", "reason", "videos"),
    [
        ("FileList.csv", 3, {"Split": "10"}, "split", 9),
        ("FileList.csv", 3, {"Split": "TRAIN"}, "split", 9),
        ("FileList.csv", 3, {"FileName": "../x.avi"}, "refused", 9),
        ("FileList.csv", 3, {"FileName": "A4C-heart00.avi"}, "listed-twice", 8),
        ("VolumeTracings.csv", 3, {"X": ""}, "coordinates", 10),
        ("VolumeTracings.csv", 3, {"Y": "99999"}, "coordinates", 10),
        ("VolumeTracings.csv", 3, {"Frame": "-1"}, "frame-number", 10),
        ("VolumeTracings.csv", 3, {"X": "80", "Y": "90"}, "crossing", 10),
    ],
)
def test_a_fault_is_one_reject(
    root: Path, file: str, line: int, cells: dict[str, str], reason: str, videos: int
) -> None:
    edit(root / "A4C" / file, line, **cells)
    dataset = read(root, view=["A4C"])
    assert reason in {reject.reason for reject in dataset.rejects}
    assert all(reject.where.startswith(f"A4C/{file[:4]}") or reject.reason == "not-listed"
               for reject in dataset.rejects)  # fmt: skip
    assert len(dataset.videos) == videos


def test_a_name_in_both_views_is_refused(root: Path) -> None:
    for file in ("FileList.csv", "VolumeTracings.csv"):
        path = root / "PSAX" / file
        path.write_text(path.read_text().replace("PSAX-", "A4C-"))
    dataset = read(root)
    assert {reject.reason for reject in dataset.rejects} == {"listed-twice"}
    assert not dataset.videos


def test_a_missing_column_is_named(root: Path) -> None:
    path = root / "A4C" / "FileList.csv"
    path.write_text(path.read_text().replace("Split", "Fold"))
    with pytest.raises(DataError, match="no column Split"):
        read(root)
