"""`echo-report`: the page, and what the command prints and writes."""

from __future__ import annotations

import base64
import csv
import functools
import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from echo_train.commands.report import cli
from echo_train.reporting.paired_difference import (
    read_scores,
)
from support.commands import exit_code
from support.reports import grid, paired_difference

echo_report = functools.partial(exit_code, cli)


class Page(HTMLParser):
    """Cells of the tables, sources of the pictures, and every tag that was not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.open: list[str] = []
        self._tables: list[tuple[str | None, list[list[str]]]] = []
        self.feed(text)

    def rows(self, name: str) -> list[list[str]]:
        """Cells of the table with an id, line by line."""
        (table,) = (lines for found, lines in self._tables if found == name)
        return table

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.sources.append(dict(attrs).get("src") or "")
        if tag == "table":
            self._tables.append((dict(attrs).get("id"), []))
        if tag == "tr":
            self._tables[-1][1].append([])
        if tag in ("td", "th"):
            self._tables[-1][1][-1].append("")
        if tag not in ("img", "meta", "br", "wbr", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.open):
            self._tables[-1][1][-1][-1] += data.strip()


def test_the_page_embeds_metrics_differences_settings_and_pictures(
    two_runs: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert echo_report(*two_runs) == 0
    printed = capsys.readouterr().out
    path = two_runs[0].parent / "report.html"
    assert printed.splitlines()[-1] == str(path)
    text = path.read_text()
    page = Page(text)
    assert page.open == []
    assert (
        "http:" not in text
        and "https:" not in text
        and "src=" not in text.replace('src="data:', "")
    )
    assert all(source.startswith("data:image/png;base64,") for source in page.sources if source)
    content = [base64.b64decode(source.split(",")[1]) for source in page.sources if source]
    assert content == [b"\x89PNG of first", b"\x89PNG of second"]
    assert [line[0] for line in page.rows("runs")] == ["run", "first", "second"]
    cells = dict(zip(page.rows("runs")[0], page.rows("runs")[2], strict=True))
    assert (cells["loss"], cells["width"]) == ("dice", "16")
    assert cells["test Dice"].startswith("0.8000") and cells["val Dice"] == "0.7000"
    found = paired_difference(*(read_scores(folder, "test") for folder in two_runs[::-1]))
    assert found is not None
    interval = f"{found.low:+.4f} to {found.high:+.4f}"
    assert cells["difference"] == f"{found.mean:+.4f}{interval}"
    assert f"{found.mean:+.4f} ({interval})" in printed
    assert "masks chords <b>" not in text


def test_the_command_filters_sorts_and_writes_csv(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid(tmp_path / "runs")
    words = ["--filter", "width=16", "--sort", "test.dice", "--csv", tmp_path / "out.csv"]
    words += ["--baseline", tmp_path / "runs" / "loss=bce,width=8,seed=0"]
    assert echo_report(tmp_path / "runs", *words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:9]] == [
        *(f"loss=lovasz,width=16,seed={seed}" for seed in (2, 1, 0)),
        *(f"loss=bce,width=16,seed={seed}" for seed in (2, 1, 0)),
        "loss=bce,width=8,seed=0",
    ]
    table = list(csv.DictReader((tmp_path / "out.csv").open(newline="")))
    assert [float(line["test.dice"]) for line in table] == pytest.approx(
        [0.886, 0.876, 0.866, 0.836, 0.826, 0.816, 0.808]
    )
    assert float(table[0]["difference.mean"]) == pytest.approx(0.07)
    assert echo_report(tmp_path / "runs", "--csv", tmp_path / "out.csv") == 0
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    assert echo_report(tmp_path / "runs", "--csv", tmp_path / "other.csv") == 1
    assert (tmp_path / "other.csv").read_text() == "a,b\n1,2\n"
    assert echo_report(tmp_path / "runs", "--filter", "width=3") == 1
    assert "no run of 12 matches width=3" in capsys.readouterr().err


def test_the_page_of_one_run_is_in_its_folder(two_runs: list[Path], tmp_path: Path) -> None:
    assert echo_report(two_runs[0]) == 0
    assert "<h3>first</h3>" in (two_runs[0] / "report.html").read_text()
    assert echo_report(two_runs[0], "--out", tmp_path / "here.html") == 0
    # Only the link to the picture depends on where the page is.
    expected = (two_runs[0] / "report.html").read_text()
    assert 'data-link="overlay.png"' in expected
    here = (tmp_path / "here.html").read_text()
    assert here == expected.replace('data-link="', 'data-link="runs/first/')


def test_an_unfinished_run_is_one_message(
    two_runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert echo_report(two_runs[0], tmp_path / "empty") == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "contains no finished run" in error
    assert "check the path" in error
    (tmp_path / "empty" / "config.toml").write_text("epochs = 1\n")
    assert echo_report(two_runs[0], tmp_path / "empty") == 1
    assert f"echo-train --resume --run {tmp_path / 'empty'}" in capsys.readouterr().err


def test_a_summary_of_another_version_is_one_message(
    two_runs: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = two_runs[1] / "summary.json"
    summary = json.loads(path.read_text())
    del summary["test"]["hd95"]
    path.write_text(json.dumps(summary))
    assert echo_report(*two_runs) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: {path} lacks metrics") and "echo-eval" in error
