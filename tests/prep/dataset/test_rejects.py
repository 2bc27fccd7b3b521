"""The list of what was left out: readable, and harmless to open."""

from __future__ import annotations

import csv
from pathlib import Path

from echo_prep.dataset.rejects import Reject, count_reasons, rejects_path, write_rejects


def reject(video: str, reason: str = "refused", frame: int | None = None) -> Reject:
    return Reject(video=video, frame=frame, where="FileList.csv row 2", reason=reason, message="m")


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    write_rejects(store, [reject("a,b", frame=3), reject('c"d'), reject("ü")])
    with rejects_path(store).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rejects_path(store) == tmp_path / "a.zarr.rejects.csv"
    assert [row["video"] for row in rows] == ["a,b", 'c"d', "ü"]
    assert [row["frame"] for row in rows] == ["3", "", ""]


def test_names_from_elsewhere_do_no_harm(tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    write_rejects(
        store, [reject("=1+1"), reject("@x"), reject("\udcff"), reject("+1"), reject("-1")]
    )
    lines = rejects_path(store).read_text(encoding="utf-8").splitlines()[1:]
    assert [line.split(",")[0] for line in lines] == ["'=1+1", "'@x", "\\udcff", "'+1", "'-1"]


def test_none_are_the_header_alone(tmp_path: Path) -> None:
    write_rejects(tmp_path / "a.zarr", [])
    assert rejects_path(tmp_path / "a.zarr").read_text() == "video,frame,where,reason,message\n"


def test_reasons_are_counted_the_most_frequent_first() -> None:
    found = [reject("a", "missing"), *[reject("b", "row-count")] * 3]
    assert count_reasons(found) == "3 row-count, 1 missing"
    assert count_reasons([]) == ""
