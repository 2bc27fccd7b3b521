"""`echo-report`: the table, the comparison on shared frames, and the page."""

from __future__ import annotations

import base64
import csv
import functools
import io
import json
import re
import statistics
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from echo_common.errors import RunError, SettingsError
from echo_train.commands.report import cli
from echo_train.reporting.paired_difference import (
    Difference,
    Scores,
    compare_rows,
    holm,
    paired_differences,
    read_scores,
)
from echo_train.reporting.run_rows import (
    Row,
    average_rows,
    compare_settings,
    filter_rows,
    make_rows,
    sort_rows,
)
from echo_train.reporting.run_table import describe, find_runs, report_csv, table_rows
from support.commands import exit_code
from support.reports import scores_of, write_run


@pytest.fixture
def two_runs(tmp_path: Path) -> list[Path]:
    return [
        write_run(tmp_path / "runs/first", 0.9, scores_of(0)),
        write_run(tmp_path / "runs/second", 0.8, scores_of(1), width=16, loss="dice"),
    ]


def rows_of(*folders: Path) -> list[Row]:
    return make_rows(folders, [json.loads((path / "summary.json").read_text()) for path in folders])


def paired_difference(scores: Scores, baseline: Scores) -> Difference | None:
    (found,) = paired_differences([scores], baseline)
    return found


echo_report = functools.partial(exit_code, cli)


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


def test_settings_that_differ_are_separated_from_shared_ones(tmp_path: Path) -> None:
    rows = rows_of(
        write_run(tmp_path / "a", 0.9, {}),
        write_run(tmp_path / "b", 0.9, {}, width=16, loss="dice"),
    )
    assert compare_settings(rows) == ({"loss": ["-", "dice"], "width": ["8", "16"]}, {"seed": "0"})


def test_a_p_value_is_that_of_a_paired_test_over_videos(tmp_path: Path) -> None:
    """Two frames of a video count as one, and equal runs are not significant."""
    reference, gains = scores_of(0), np.random.default_rng(5).normal(0.01, 0.03, 40)
    better = {frame: score + gains[int(frame[0][1:])] for frame, score in reference.items()}
    found, same = paired_differences([better, reference], reference)
    assert found is not None and same is not None
    expected = stats.ttest_rel(
        [better[f"V{video:02}", 3] for video in range(40)],
        [reference[f"V{video:02}", 3] for video in range(40)],
    )
    assert found.p == pytest.approx(expected.pvalue)
    assert same.p == 1


def test_p_values_are_adjusted_as_r_does() -> None:
    """p.adjust(c(0.01, 0.04, 0.03, 0.005, 0.5), "holm") in R."""
    assert holm([0.01, 0.04, 0.03, 0.005, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.025, 0.5])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([]) == []


def grid(tmp_path: Path) -> list[Row]:
    """Two losses and two widths with three seeds each, whose Dice is known."""
    scores = scores_of(0, videos=4)
    return rows_of(
        *(
            write_run(
                tmp_path / f"loss={loss},width={width},seed={seed}",
                0.8 + offset + width / 1000 + seed / 100,
                {frame: score + offset + seed / 100 for frame, score in scores.items()},
                loss=loss,
                width=width,
                seed=seed,
            )
            for loss, offset in (("bce", 0), ("lovasz", 0.05))
            for width in (8, 16)
            for seed in range(3)
        )
    )


@pytest.mark.parametrize(
    ("terms", "count"),
    [
        ((), 12),
        (("width=16",), 6),
        (("width!=16", "loss=lov*"), 3),
        (("loss=bce,lovasz", "seed>0"), 8),
        (("seed<=0",), 4),
        (("test.dice>=0.86", "dice<0.875"), 2),
        (("dice.pooled > 2",), 0),
        (("width=16.0",), 6),
    ],
)
def test_terms_select_rows(tmp_path: Path, terms: tuple[str, ...], count: int) -> None:
    assert len(filter_rows(grid(tmp_path), terms)) == count


@pytest.mark.parametrize(
    ("term", "message"),
    [
        ("width", "is not of the form width=16"),
        ("widht=8", "no run has a setting or a metric 'widht'; did you mean width"),
        ("test.dise>0", "did you mean test.dice"),
        ("loss>bce", "'bce', which is no number"),
    ],
)
def test_a_wrong_term_is_one_message(tmp_path: Path, term: str, message: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(message)):
        filter_rows(grid(tmp_path), [term])


def test_rows_are_sorted_best_first(tmp_path: Path) -> None:
    rows = grid(tmp_path)

    def dice(key: str) -> list[float]:
        return [row.metrics["test.dice"] for row in sort_rows(rows, key)]

    assert dice("dice") == sorted(dice("dice"), reverse=True)
    assert dice("-test.dice") == sorted(dice("dice"))
    assert [row.settings["width"] for row in sort_rows(rows, "width")] == ["8"] * 6 + ["16"] * 6
    assert sort_rows(rows, "-loss")[0].settings["loss"] == "lovasz"
    hd95 = [row.metrics["test.hd95"] for row in sort_rows(rows, "hd95")]
    assert hd95 == sorted(hd95)


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
