"""`echo-report`: the table, the comparison on shared frames, and the page."""

from __future__ import annotations

import csv
import io
import json
import re
import statistics
from pathlib import Path

import pytest

from echo_train.reporting.paired_difference import (
    compare_rows,
    read_scores,
)
from echo_train.reporting.run_rows import (
    average_rows,
)
from echo_train.reporting.run_table import describe, find_runs, report_csv, table_rows
from support.reports import grid, paired_difference, rows_of


def test_a_line_has_the_metrics_of_the_test_split(two_runs: list[Path]) -> None:
    header, line = table_rows(rows_of(two_runs[0]))
    assert dict(zip(header, line, strict=True)) == {
        "run": str(two_runs[0]),
        "target": "masks chords <b>",
        "split": "test",
        "Dice": "0.9000",
        "95 % interval": "0.890 to 0.910",
        "ED": "0.900",
        "pooled": "0.9020",
        "HD95 px": "4.32",
        "missed": "2",
        "implausible": "2.5 %",
        "pixel acc.": "0.9877",
        "seconds": "62",
    }
    _, *lines = table_rows(rows_of(two_runs[0]), every_split=True)
    assert [line[2:4] for line in lines] == [["test", "0.9000"], ["val", "0.8000"]]
    summary = json.loads((two_runs[0] / "summary.json").read_text())
    del summary["test"]
    (two_runs[0] / "summary.json").write_text(json.dumps(summary))
    assert table_rows(rows_of(two_runs[0]))[1][2:4] == ["val", "0.8000"]


def test_lines_of_several_runs_show_the_settings_that_differ(two_runs: list[Path]) -> None:
    rows = rows_of(*two_runs)
    header, first, second = table_rows(rows, compare_rows(rows, rows[0]))
    assert header[:5] == ["run", "loss", "width", "split", "Dice"]
    assert first[:5] == ["first", "-", "8", "test", "0.9000"]
    assert second[:5] == ["second", "dice", "16", "test", "0.8000"]
    found = paired_difference(*(read_scores(folder, "test") for folder in two_runs[::-1]))
    assert found is not None
    cells = dict(zip(header, second, strict=True))
    assert cells["difference"] == f"{found.mean:+.4f} ({found.low:+.4f} to {found.high:+.4f})"


def test_the_table_is_aligned_and_followed_by_existing_pictures(two_runs: list[Path]) -> None:
    head, rule, *rows = describe(rows_of(*two_runs)).splitlines()
    for column in re.finditer(r"-+", rule):
        assert head[column.start()] != " "
        assert all(row[column.start()] != " " for row in rows[:2])
    assert rows[3:] == ["pictures:", *(f"  {folder / 'overlay.png'}" for folder in two_runs)]


def test_seeds_are_averaged(tmp_path: Path) -> None:
    rows = average_rows(grid(tmp_path))
    assert [row.name for row in rows] == [
        f"loss={loss},width={width}" for loss in ("bce", "lovasz") for width in (8, 16)
    ]
    row = rows[0]
    assert len(row.folders) == 3 and row.settings["seed"] == "0, 1, 2"
    values = [0.808, 0.818, 0.828]
    assert row.metrics["test.dice"] == pytest.approx(statistics.mean(values))
    assert row.spreads["test.dice"] == pytest.approx(statistics.stdev(values))
    header, first, *_ = table_rows(rows, compare_rows(rows, row))
    assert dict(zip(header, first, strict=True))["Dice"] == "0.8180 ± 0.0100"
    # The Dice of a frame is the mean over the seeds, which is 0.05 more with the other loss.
    _, same, better, _ = compare_rows(rows, row)
    assert same is not None and better is not None
    assert (same.mean, better.mean) == pytest.approx((0, 0.05))


def test_the_csv_has_all_settings_and_metrics(tmp_path: Path) -> None:
    rows = average_rows(grid(tmp_path))
    (first, *_, last) = csv.DictReader(
        io.StringIO(report_csv(rows, compare_rows(rows, rows[0])), newline="")
    )
    assert (first["run"], first["split"], first["runs"]) == ("loss=bce,width=8", "test", "3")
    assert float(first["test.dice"]) == pytest.approx(0.818)
    assert float(first["test.dice.sd"]) == pytest.approx(0.01)
    assert float(last["difference.mean"]) == pytest.approx(0.05)
    assert first["difference.mean"] == ""


def test_a_sweep_is_replaced_by_its_runs(two_runs: list[Path]) -> None:
    assert find_runs([two_runs[0].parent]) == two_runs
    assert find_runs([two_runs[1]]) == [two_runs[1]]
