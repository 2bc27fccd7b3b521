"""Reading a data set: each fault is told once, and costs no sound video or trace."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from echo_common.errors import DataError, DataNotFoundError
from echo_prep.dataset.types import Dataset
from echo_prep.layouts.echonet_dynamic import EchoNetDynamic, read_dataset
from support.datasets import (
    FILE_LIST_HEADER,
    TRACINGS_HEADER,
    SmallVideo,
    half_ellipse_trace,
    small_videos,
    write_small_dataset,
)

VIDEOS = small_videos(6)
NAMES = [video.name for video in VIDEOS]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_small_dataset(tmp_path / "data", VIDEOS, write_videos=False)


def edit(path: Path, change: Callable[[list[str]], object]) -> None:
    """Change the lines of a file in place."""
    lines = path.read_text().splitlines(keepends=True)
    change(lines)
    path.write_text("".join(lines))


def reasons(dataset: Dataset) -> Counter[str]:
    return Counter(reject.reason for reject in dataset.rejects)


def test_a_sound_data_set(root: Path) -> None:
    dataset = read_dataset(root)
    assert [video.name for video in dataset.videos] == NAMES
    assert [video.split for video in dataset.videos] == [0, 0, 1, 2, 0, 0]
    assert dataset.rejects == ()
    assert dataset.traced == 12
    first = dataset.videos[0]
    assert (first.ef, first.edv, first.esv, first.fps) == (55.5, 90.5, 40.25, 50)
    assert first.shape == (112, 112)
    for name, video in zip(NAMES, VIDEOS, strict=True):
        for trace, (frame, rows) in zip(
            dataset.traces[name], sorted(video.traces.items()), strict=True
        ):
            assert trace.frame == frame
            np.testing.assert_allclose(trace.long_axis.ravel(), rows[0], atol=1e-8)
    assert dataset.fingerprint == {
        name: hashlib.sha256((root / name).read_bytes()).hexdigest()
        for name in ("FileList.csv", "VolumeTracings.csv")
    }


@pytest.mark.parametrize("missing", ["FileList.csv", "VolumeTracings.csv"])
def test_a_missing_file_is_named(root: Path, missing: str) -> None:
    (root / missing).unlink()
    with pytest.raises(DataNotFoundError, match=f"no {missing}"):
        read_dataset(root)


def test_no_folder_at_all(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=r"no data set at .*ECHO_DATA"):
        read_dataset(tmp_path / "nothing")


def test_a_pipe_in_place_of_a_file_is_no_hang(root: Path) -> None:
    (root / "FileList.csv").unlink()
    os.mkfifo(root / "FileList.csv")
    with pytest.raises(DataError, match="not a file"):
        read_dataset(root)


def test_columns_may_be_reordered_and_numbers_left_out(root: Path) -> None:
    lines = ["Split,FileName,Comment"]
    lines += [f"{video.split},{video.name},x" for video in VIDEOS]
    (root / "FileList.csv").write_text("\n".join(lines))
    dataset = read_dataset(root)
    assert [video.name for video in dataset.videos] == NAMES
    assert np.isnan([dataset.videos[0].ef, dataset.videos[0].fps]).all()
    assert dataset.videos[0].shape is None


@pytest.mark.parametrize(
    "height, width, shape",
    [
        ("112", "96", (112, 96)),
        ("112.0", "96.0", (112, 96)),
        ("", "112", None),
        ("112.5", "112", None),
        ("-112", "112", None),
        ("0", "0", None),
        ("1e9", "1e9", None),
        ("inf", "nan", None),
        ("1e308", "112", None),
    ],
)
def test_a_shape_that_cannot_be_is_none(
    root: Path, height: str, width: str, shape: tuple[int, int] | None
) -> None:
    def change(lines: list[str]) -> None:
        cells = lines[1].split(",")
        cells[4:6] = [height, width]
        lines[1] = ",".join(cells)

    edit(root / "FileList.csv", change)
    assert read_dataset(root).videos[0].shape == shape


@pytest.mark.parametrize("text", ["1e308", "-1e308", "inf", "NaN", "", "many", "1e999"])
def test_a_number_that_cannot_be_is_not_known(root: Path, text: str) -> None:
    edit(root / "FileList.csv", lambda lines: lines.__setitem__(
        1, lines[1].replace("55.5", text)
    ))  # fmt: skip
    first, second, *_ = read_dataset(root).videos
    assert np.isnan(first.ef)
    assert (first.edv, second.ef) == (90.5, 55.5)


def test_names_with_and_without_suffix_are_one(root: Path) -> None:
    edit(root / "FileList.csv", lambda lines: lines.__setitem__(
        slice(1, None), [line.replace(",", ".avi,", 1) for line in lines[1:]]
    ))  # fmt: skip
    assert [video.name for video in read_dataset(root).videos] == NAMES


@pytest.mark.parametrize(
    "split, code", [("TRAIN", 0), ("val", 1), (" Test ", 2), ("", None), ("FOLD3", None)]
)
def test_splits(root: Path, split: str, code: int | None) -> None:
    def change(lines: list[str]) -> None:
        lines[1] = lines[1].rsplit(",", 1)[0] + f",{split}\n"

    edit(root / "FileList.csv", change)
    dataset = read_dataset(root)
    if code is not None:
        assert dataset.videos[0].split == code
        return
    assert [video.name for video in dataset.videos] == NAMES[1:]
    (reject,) = dataset.rejects
    assert (reject.video, reject.where, reject.reason) == (NAMES[0], "FileList.csv row 2", "split")
    assert repr(split) in reject.message


def test_a_video_listed_twice(root: Path) -> None:
    def change(lines: list[str]) -> None:
        lines.append(lines[1])
        lines.append(lines[2].replace("TRAIN", "TEST"))
        lines.append(lines[2].replace("TRAIN", "VAL"))

    edit(root / "FileList.csv", change)
    dataset = read_dataset(root)
    # The same line twice says nothing new; two that contradict each other say nothing at all.
    assert [video.name for video in dataset.videos] == [NAMES[0], *NAMES[2:]]
    (reject,) = dataset.rejects
    assert (reject.video, reject.where) == (NAMES[1], "FileList.csv row 9")
    assert reject.reason == "listed-twice"


def test_a_traced_video_that_is_not_listed(root: Path) -> None:
    edit(root / "FileList.csv", lambda lines: lines.pop(3))
    dataset = read_dataset(root)
    (reject,) = dataset.rejects
    assert (reject.video, reject.reason) == (NAMES[2], "not-listed")
    assert reject.where == "VolumeTracings.csv row 86"


def test_a_listed_video_without_traces_is_no_fault(root: Path) -> None:
    edit(root / "FileList.csv", lambda lines: lines.append("0XDEAD,,,,768,1024,50,100,TRAIN\n"))
    dataset = read_dataset(root)
    assert dataset.rejects == ()
    assert len(dataset.videos) == 6


@pytest.mark.parametrize("suffix", ["", ".avi", ".AVI", ".mp4"])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_the_two_tables_may_spell_a_name_differently(
    tmp_path: Path, suffix: str, form: Literal["NFC", "NFD"]
) -> None:
    videos = [SmallVideo(name=f"Müller {number}", frames=9, traces={1: half_ellipse_trace()})
              for number in range(2)]  # fmt: skip
    root = write_small_dataset(tmp_path / "d", videos, write_videos=False)
    spelt = unicodedata.normalize(form, "Müller 0") + suffix
    edit(root / "FileList.csv", lambda lines: lines.__setitem__(
        1, lines[1].replace("Müller 0", spelt)
    ))  # fmt: skip
    dataset = read_dataset(root)
    assert [video.name for video in dataset.videos] == ["Müller 0", "Müller 1"]
    assert dataset.rejects == ()


def test_tables_of_a_german_excel_are_the_same_data_set(root: Path) -> None:
    expected = read_dataset(root)
    for name in ("FileList.csv", "VolumeTracings.csv"):
        lines = (root / name).read_text().splitlines()
        cells = [line.split(",") for line in lines]
        lines = [";".join(cell.replace(".", ",") if at else cell for at, cell in enumerate(row))
                 for row in cells]  # fmt: skip
        (root / name).write_bytes(("\ufeff" + "\r\n".join(lines)).encode("utf-16-le"))
    found = read_dataset(root)
    assert found.videos == expected.videos and found.rejects == ()
    for name, traces in expected.traces.items():
        for trace, other in zip(traces, found.traces[name], strict=True):
            assert (trace.frame, trace.where) == (other.frame, other.where)
            np.testing.assert_array_equal(trace.contour, other.contour)


def test_names_of_files_in_other_letters(root: Path) -> None:
    expected = read_dataset(root)
    (root / "FileList.csv").rename(root / "filelist.csv")
    (root / "VolumeTracings.csv").rename(root / "VOLUMETRACINGS.CSV")
    (root / "Videos").rename(root / "videos")
    found = read_dataset(root)
    assert found.videos == expected.videos
    assert found.fingerprint == expected.fingerprint
    assert EchoNetDynamic().source(root, {}).path == root / "videos"


POISON: dict[str, tuple[str, Callable[[list[str]], object], Counter[str], set[str]]] = {
    # File, what is done to it, the reasons that are told, and the videos that are lost.
    "a quote that is not closed": (
        "VolumeTracings.csv",
        lambda lines: lines.__setitem__(5, '"' + lines[5]),
        Counter({"row-count": 1}),
        set(),
    ),
    "two quotes far apart": (
        "VolumeTracings.csv",
        lambda lines: [lines.__setitem__(at, '"' + lines[at]) for at in (5, 200)],
        Counter({"row-count": 2}),
        set(),
    ),
    "a comma for a decimal point": (
        "VolumeTracings.csv",
        lambda lines: lines.__setitem__(5, lines[5].replace(".", ",")),
        Counter({"row-count": 1}),
        set(),
    ),
    "a quote in the list": (
        "FileList.csv",
        lambda lines: lines.__setitem__(2, '"' + lines[2]),
        Counter({"not-listed": 1}),
        {NAMES[1]},
    ),
    "a row without its last cells": (
        "VolumeTracings.csv",
        lambda lines: lines.__setitem__(5, lines[5].rsplit(",", 2)[0] + "\n"),
        Counter({"row-count": 1, "frame-number": 1}),
        set(),
    ),
    "a number beyond any float": (
        "VolumeTracings.csv",
        lambda lines: lines.__setitem__(5, lines[5].replace(",", ",1e999", 1)),
        Counter({"coordinates": 1}),
        set(),
    ),
    "a file that ends in the middle of a row": (
        "VolumeTracings.csv",
        lambda lines: lines.__setitem__(-1, lines[-1][:21]),
        Counter({"row-count": 1, "frame-number": 1}),
        set(),
    ),
    "the header once more, further down": (
        "VolumeTracings.csv",
        lambda lines: lines.insert(43, TRACINGS_HEADER),
        Counter({"frame-number": 1}),
        set(),
    ),
    "the list's header once more": (
        "FileList.csv",
        lambda lines: lines.insert(3, FILE_LIST_HEADER),
        Counter({"split": 1}),
        set(),
    ),
    "a path for a name": (
        "FileList.csv",
        lambda lines: lines.__setitem__(1, "../" + lines[1]),
        Counter({"refused": 1, "not-listed": 1}),
        {NAMES[0]},
    ),
    "all tracings twice": (
        "VolumeTracings.csv",
        lambda lines: lines.extend(lines[1:43]),
        Counter({"row-count": 2}),
        {NAMES[0]},
    ),
}


@pytest.mark.parametrize("poison", POISON)
def test_a_fault_costs_no_other_row(root: Path, poison: str) -> None:
    name, change, told, lost = POISON[poison]
    edit(root / name, change)
    dataset = read_dataset(root)
    assert reasons(dataset) == told
    assert [video.name for video in dataset.videos] == [n for n in NAMES if n not in lost]
    frames = {(n, f) for n, video in zip(NAMES, VIDEOS, strict=True) for f in video.traces}
    kept = {(n, trace.frame) for n, traces in dataset.traces.items() for trace in traces}
    assert kept <= frames
    # At most as many traces are lost as faults are told.
    assert len(frames - kept) <= max(told.total(), 2 * len(lost))


def test_a_lone_trace_of_another_hand(tmp_path: Path) -> None:
    rows = half_ellipse_trace()
    videos = [
        SmallVideo(name="a", frames=9, traces={1: rows, 5: np.concatenate([rows, rows + 1])}),
        SmallVideo(name="b", frames=9, traces={3: rows[:20]}),
    ]
    dataset = read_dataset(write_small_dataset(tmp_path / "data", videos, write_videos=False))
    assert [trace.frame for trace in dataset.traces["a"]] == [1]
    assert [video.name for video in dataset.videos] == ["a"]
    assert reasons(dataset) == Counter({"row-count": 2})
