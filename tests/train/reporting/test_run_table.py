"""`echo-report`: the table, the comparison on shared frames, and the page."""

from __future__ import annotations

import base64
import functools
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from echo_common.errors import RunError
from echo_train.commands.report import cli
from echo_train.reporting.html_page import compare_settings
from echo_train.reporting.paired_difference import Difference, paired_difference, read_scores
from echo_train.reporting.run_table import HEADER, describe, find_runs, table_rows
from echo_train.runs.run_folder import METRICS, EpochRow, metrics_csv
from support.commands import exit_code


def metric(mean: float | None, **more: Any) -> dict[str, Any]:
    ends = [None, None] if mean is None else [mean - 0.01, mean + 0.01]
    return {"mean": mean, "ci95": ends, "ed": mean, "es": None, **more}


def split_metrics(dice: float) -> dict[str, Any]:
    return {
        "loss": 0.3,
        "frames": 40,
        "missed_frames": 2,
        "dice": metric(dice, pooled=dice + 0.002, pooled_ci95=[dice, dice + 0.004]),
        "pixel_accuracy": metric(0.98765),
        "hd95": metric(4.321),
        "shape": {"implausible": metric(0.025), "hole": metric(0.0)},
    }


def write_run(
    folder: Path, dice: float, scores: dict[tuple[str, int], float], **settings: Any
) -> Path:
    """The files of a finished run that a report reads."""
    folder.mkdir(parents=True)
    summary = {
        "target": "mask",
        "choice": "masks chords <b>",
        "seconds": 61.7,
        "settings": {"width": 8, "seed": 0, **settings},
        "test": split_metrics(dice),
        "val": split_metrics(dice - 0.1),
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    lines = [f"{video},{frame},TEST,{score}" for (video, frame), score in scores.items()]
    (folder / "frames.csv").write_text("\n".join(["video,frame,split,dice", *lines]) + "\n")
    (folder / "overlay.png").write_bytes(b"\x89PNG of " + folder.name.encode())
    history = [
        EpochRow(
            epoch=epoch,
            train_loss=1.0,
            train_dice=0.5,
            val_loss=1.0,
            val_dice=0.5,
            train_pixel_accuracy=0.9,
            val_pixel_accuracy=0.9,
            seconds=1.0,
            images_per_second=10.0,
        )
        for epoch in (1, 2)
    ]
    (folder / METRICS).write_text(metrics_csv(history))
    return folder


def scores_of(seed: int, videos: int = 40) -> dict[tuple[str, int], float]:
    rng = np.random.default_rng(seed)
    return {
        (f"V{video:02}", frame): rng.uniform(0.7, 0.95)
        for video in range(videos)
        for frame in (3, 9)
    }


@pytest.fixture
def two_runs(tmp_path: Path) -> list[Path]:
    return [
        write_run(tmp_path / "runs/first", 0.9, scores_of(0)),
        write_run(tmp_path / "runs/second", 0.8, scores_of(1), width=16, loss="dice"),
    ]


echo_report = functools.partial(exit_code, cli)


def test_a_row_has_the_metrics_of_the_test_split(two_runs: list[Path]) -> None:
    summary = json.loads((two_runs[0] / "summary.json").read_text())
    (row,) = table_rows([(two_runs[0], summary)])
    assert dict(zip(HEADER, row, strict=True)) == {
        "run": str(two_runs[0]),
        "target": "masks chords <b>",
        "split": "test",
        "Dice": "0.9000",
        "95 % interval": "0.890 to 0.910",
        "ED": "0.900",
        "ES": "-",
        "pooled": "0.9020",
        "HD95 px": "4.32",
        "MRE px": "-",
        "missed": "2",
        "implausible": "2.5 %",
        "pixel acc.": "0.9877",
        "seconds": "62",
    }
    rows = table_rows([(two_runs[0], summary)], every_split=True)
    assert [row[2:4] for row in rows] == [("test", "0.9000"), ("val", "0.8000")]
    del summary["test"]
    assert table_rows([(two_runs[0], summary)])[0][2:4] == ("val", "0.8000")


def test_the_table_is_aligned_and_followed_by_existing_pictures(two_runs: list[Path]) -> None:
    runs = [(folder, json.loads((folder / "summary.json").read_text())) for folder in two_runs]
    head, rule, *rows = describe(runs).splitlines()
    for column in re.finditer(r"-+", rule):
        assert head[column.start()] != " "
        assert all(row[column.start()] != " " for row in rows[:2])
    assert rows[3:] == ["pictures:", *(f"  {folder / 'overlay.png'}" for folder in two_runs)]


def test_scores_are_read_by_split(tmp_path: Path) -> None:
    path = tmp_path / "frames.csv"
    path.write_text("video,frame,split,dice\nA,3,TEST,0.5\nA,7,TEST,0.75\nB,1,VAL,0.25\n")
    assert read_scores(tmp_path, "test") == {("A", 3): 0.5, ("A", 7): 0.75}
    assert read_scores(tmp_path, "val") == {("B", 1): 0.25}
    assert len(read_scores(tmp_path, "all")) == 3


@pytest.mark.parametrize(
    "content", [None, "video,frame\nA,1\n", "video,frame,split,dice\nA,x,TEST,1\n"]
)
def test_scores_that_cannot_be_read_raise_one_error(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "frames.csv").write_text(content)
    with pytest.raises(RunError, match=r"frames\.csv cannot be read"):
        read_scores(tmp_path, "test")


def test_a_difference_is_paired_by_frame_and_resampled_by_video() -> None:
    """An equal gain on every frame has no uncertainty, however much the frames differ."""
    reference = scores_of(0)
    better = {frame: score + 0.01 for frame, score in reference.items()}
    found = paired_difference(better, reference)
    assert found is not None
    assert (found.frames, found.better) == (80, 1.0)
    assert [found.mean, found.low, found.high] == pytest.approx([0.01] * 3)
    gains = np.random.default_rng(5).normal(0.02, 0.05, 40)
    better = {frame: score + gains[int(frame[0][1:])] for frame, score in reference.items()}
    found = paired_difference(better, reference)
    assert found is not None
    expected = stats.bootstrap(
        (gains,), np.mean, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    width = expected.high - expected.low
    assert found.mean == pytest.approx(gains.mean())
    assert [found.low, found.high] == pytest.approx([expected.low, expected.high], abs=0.04 * width)
    assert found.better == pytest.approx((gains > 0).mean())


def test_only_frames_of_both_runs_are_compared() -> None:
    found = paired_difference({("A", 1): 0.5, ("B", 1): 0.9}, {("A", 1): 0.25, ("C", 1): 0.1})
    assert found == Difference(frames=1, mean=0.25, low=0.25, high=0.25, better=1.0)
    assert paired_difference({("A", 1): 0.5}, {("B", 1): 0.5}) is None


def test_settings_that_differ_are_separated_from_shared_ones() -> None:
    summaries = [
        {"settings": {"width": 8, "seed": 0}},
        {"settings": {"width": 16, "seed": 0, "loss": "dice"}},
    ]
    assert compare_settings(summaries) == (
        {"loss": ["-", "dice"], "width": ["8", "16"]},
        {"seed": "0"},
    )


class Page(HTMLParser):
    """Cells of the tables, sources of the pictures, and every tag that was not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.sources: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.sources.append(dict(attrs)["src"] or "")
        if tag in ("td", "th"):
            self.cells.append("")
        if tag not in ("img", "meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1] += data


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
    assert "http" not in text and "<script" not in text
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    content = [base64.b64decode(source.split(",")[1]) for source in page.sources]
    assert content[0].startswith(b"\x89PNG\r\n")
    assert content[1:] == [b"\x89PNG of first", b"\x89PNG of second"]
    assert "masks chords <b>" in page.cells
    first = page.cells.index("pixel accuracy")
    assert page.cells[first + 1].startswith("0.9877")
    first = page.cells.index("width")
    assert page.cells[first + 1 : first + 3] == ["8", "16"]
    found = paired_difference(*(read_scores(folder, "test") for folder in two_runs[::-1]))
    sentence = f"Dice of {two_runs[1]} minus that of {two_runs[0]}, test: {found}"
    assert sentence in printed and sentence in text


def test_the_page_of_one_run_is_in_its_folder(two_runs: list[Path], tmp_path: Path) -> None:
    assert echo_report(two_runs[0]) == 0
    assert "<h2>first</h2>" in (two_runs[0] / "report.html").read_text()
    assert echo_report(two_runs[0], "--out", tmp_path / "here.html") == 0
    assert (tmp_path / "here.html").read_bytes() == (two_runs[0] / "report.html").read_bytes()


def test_a_sweep_is_replaced_by_its_runs(two_runs: list[Path]) -> None:
    assert find_runs([two_runs[0].parent]) == two_runs
    assert find_runs([two_runs[1]]) == [two_runs[1]]


def test_an_unfinished_run_is_one_message(
    two_runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert echo_report(two_runs[0], tmp_path / "empty") == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "contains no finished run" in error


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
