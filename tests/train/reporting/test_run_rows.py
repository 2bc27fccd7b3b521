"""Rows of a report: their settings, filters and order."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from echo_common.errors import SettingsError
from echo_train.reporting.run_rows import (
    compare_settings,
    filter_rows,
    sort_rows,
)
from support.reports import grid, rows_of, write_run


def test_settings_that_differ_are_separated_from_shared_ones(tmp_path: Path) -> None:
    rows = rows_of(
        write_run(tmp_path / "a", 0.9, {}),
        write_run(tmp_path / "b", 0.9, {}, width=16, loss="dice"),
    )
    assert compare_settings(rows) == ({"loss": ["-", "dice"], "width": ["8", "16"]}, {"seed": "0"})


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
