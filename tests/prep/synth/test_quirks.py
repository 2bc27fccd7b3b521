"""Each quirk costs exactly the traces that it should, and no sound row."""

from __future__ import annotations

import collections
import csv
import re
from pathlib import Path

import numpy as np
import pytest
import zarr
from click.testing import CliRunner, Result

from echo_prep.cli import cli
from echo_prep.synth.archive import synthesize
from echo_prep.synth.quirks import QUIRKS, QUIRKS_LIST
from echo_prep.synth.settings import SynthSettings

SOUND_VIDEOS = 5

REASONS = {
    "row-count": "rows instead of 21",
    "coordinates": "not a number",
    "degenerate": "area",
    "outside": "outside the 112x112 frame",
    "frame-number": "not a whole number",
    "beyond-end": "the video has frames",
    "not-listed": "not listed in FileList",
    "listed-twice": "contradicts it",
    "split": "not one of TRAIN, VAL, TEST",
    "refused": "a path|leads outside",
    "missing": "there is no",
    "unreadable": "empty|not a video|damaged|cut short",
    "wrong-size": "128x96",
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quirks") / "data"
    synthesize(folder, SynthSettings(videos=SOUND_VIDEOS, frames=24, seed=2, quirks=True, jobs=1))
    return folder


@pytest.fixture(scope="module")
def built(root: Path) -> Result:
    arguments = ["build", "--data", str(root), "--store", str(root.parent / "q.zarr")]
    return CliRunner().invoke(cli, [*arguments, "--jobs", "1"])


@pytest.fixture(scope="module")
def listed(root: Path) -> list[dict[str, str]]:
    with (root / QUIRKS_LIST).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def rejects(root: Path, built: Result) -> list[dict[str, str]]:
    with (root.parent / "q.zarr.rejects.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def kept_rows(root: Path) -> collections.Counter[str]:
    index = zarr.open_group(root.parent / "q.zarr", mode="r")["index"]
    status = np.asarray(index["status"][:])
    return collections.Counter(str(name) for name in np.asarray(index["video"][:])[status == 0])


def test_build_succeeds(built: Result) -> None:
    assert built.exit_code == 0, built.output
    assert "left out:" in built.stdout


def test_every_quirk_is_listed(listed: list[dict[str, str]]) -> None:
    assert [row["Quirk"] for row in listed] == [quirk.name for quirk in QUIRKS]
    assert len({row["FileName"] for row in listed}) == len(QUIRKS)


def test_every_sound_row_is_kept(root: Path, built: Result, listed: list[dict[str, str]]) -> None:
    expected = {row["FileName"]: int(row["Kept"]) for row in listed if int(row["Kept"])}
    kept = kept_rows(root)
    assert {name: kept[name] for name in expected} == expected
    plain = {name: count for name, count in kept.items() if name not in expected}
    assert list(plain.values()) == [2] * SOUND_VIDEOS


def test_every_rejected_row_is_listed_with_its_reason(
    listed: list[dict[str, str]], rejects: list[dict[str, str]]
) -> None:
    found: dict[str, list[str]] = {}
    for reject in rejects:
        found.setdefault(reject["video"], []).append(reject["reason"])
    expected = {
        row["FileName"]: [row["Reason"]] * int(row["Rejected"])
        for row in listed
        if int(row["Rejected"])
    }
    assert found == expected


def test_messages_explain_the_reasons(rejects: list[dict[str, str]]) -> None:
    for reject in rejects:
        assert re.search(REASONS[reject["reason"]], reject["message"]), reject
        assert reject["where"]


def test_kept_frames_have_pixels_and_masks(root: Path, built: Result) -> None:
    store = zarr.open_group(root.parent / "q.zarr", mode="r")
    status = np.asarray(store["index/status"][:])
    means = np.asarray(store["frames"][:]).mean(axis=(1, 2))
    assert (means[status == 0] > 2).all()
    assert (means[status != 0] == 0).all()
    assert (np.asarray(store["masks/chords"][:]).sum(axis=(1, 2))[status == 0] > 100).all()
