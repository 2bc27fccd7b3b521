"""Traces from the rows of VolumeTracings.csv, and what is no trace."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings

from echo_prep.dataset.rejects import Reject
from echo_prep.dataset.tracings import (
    TRACE_COLUMNS,
    TRACE_NUMBERS,
    Tracings,
    join_rows,
    read_traces,
    split_rows,
)
from echo_prep.dataset.types import Trace
from support.datasets import half_ellipse_trace
from support.strategies import ventricles

TRACE = half_ellipse_trace()


def cells(name: str, frame: object, rows: np.ndarray) -> list[list[str]]:
    return [[name, *(repr(float(value)) for value in row), str(frame)] for row in rows]


def table(*parts: list[list[str]]) -> pd.DataFrame:
    rows = [row for part in parts for row in part]
    frame = pd.DataFrame(rows, columns=list(TRACE_COLUMNS), dtype=str)
    frame.index = pd.RangeIndex(2, len(frame) + 2)
    numbers = {name: pd.to_numeric(frame[name], errors="coerce") for name in TRACE_NUMBERS}
    return frame.assign(**numbers)


def read(*parts: list[list[str]]) -> tuple[dict[str, tuple[Trace, ...]], list[Reject]]:
    found = read_traces(table(*parts))
    assert found.count == sum(len(traces) for traces in found.traces.values()) + len(found.rejects)
    return found.traces, found.rejects


@settings(deadline=None, max_examples=50)
@given(rows=ventricles())
def test_rows_become_long_axis_and_ordered_contour(rows: np.ndarray) -> None:
    traces, rejects = read(cells("a.avi", 46, rows))
    (trace,) = traces["a"]
    assert not rejects
    assert (trace.frame, trace.where) == (46, "VolumeTracings.csv row 2")
    np.testing.assert_array_equal(trace.long_axis, [rows[0, :2], rows[0, 2:]])
    np.testing.assert_array_equal(trace.contour[:20], rows[1:, :2])
    np.testing.assert_array_equal(trace.contour[20:], rows[:0:-1, 2:])


def test_the_area_is_that_of_the_half_ellipse() -> None:
    (trace,) = read(cells("a.avi", 0, half_ellipse_trace((50, 10), (50, 90), 30)))[0]["a"]
    # 20 chords cut off a little at the apex and half a chord's distance at the base.
    assert trace.area == pytest.approx(np.pi / 4 * 30 * 80, rel=0.04)


def test_split_rows_names_the_corners_of_the_mitral_plane() -> None:
    axis, contour = split_rows(np.arange(84.0).reshape(21, 4))
    assert axis.tolist() == [[0, 1], [2, 3]]
    assert contour[[0, 19, 20, 39]].tolist() == [[4, 5], [80, 81], [82, 83], [6, 7]]


def test_rows_are_restored_from_what_a_store_keeps() -> None:
    rows = np.random.default_rng(0).uniform(0, 112, (5, 21, 4))
    np.testing.assert_array_equal(join_rows(*split_rows(rows)), rows)


def test_traces_may_be_interleaved_and_come_in_order_of_frame() -> None:
    early, late, other = (cells(n, f, TRACE) for n, f in (("a.avi", 3), ("a.avi", 90), ("b", 7)))
    mixed = [row for three in zip(late, other, early, strict=True) for row in three]
    traces, rejects = read(mixed)
    assert not rejects
    assert [trace.frame for trace in traces["a"]] == [3, 90]
    assert [trace.where.split()[-1] for trace in traces["a"]] == ["4", "2"]
    np.testing.assert_array_equal(traces["b"][0].contour, traces["a"][1].contour)


BAD_VALUE = [
    ("", "coordinates"),
    ("x", "coordinates"),
    ("nan", "coordinates"),
    ("inf", "coordinates"),
    ("1e400", "coordinates"),
    ("1e308", "coordinates"),
    ("-1025", "coordinates"),
    ("1,5", "coordinates"),
]


@pytest.mark.parametrize("value, reason", BAD_VALUE)
@pytest.mark.parametrize("row, column", [(0, 1), (7, 4), (20, 2)])
def test_a_bad_coordinate_costs_its_trace_alone(
    value: str, reason: str, row: int, column: int
) -> None:
    bad = cells("a.avi", 5, TRACE)
    bad[row][column] = value
    traces, (reject,) = read(cells("a.avi", 1, TRACE), bad, cells("b.avi", 1, TRACE))
    assert (reject.video, reject.frame, reject.reason) == ("a", 5, reason)
    assert reject.where == "VolumeTracings.csv row 23"
    assert [trace.frame for trace in traces["a"]] == [1]
    assert [trace.frame for trace in traces["b"]] == [1]


@pytest.mark.parametrize("frame", ["", "No Systolic", "-1", "1.5", "nan", "inf", "1e12", "0x10"])
def test_a_bad_frame_number_costs_its_trace_alone(frame: str) -> None:
    traces, (reject,) = read(cells("a.avi", frame, TRACE), cells("a.avi", "46.0", TRACE))
    assert reject.reason == "frame-number"
    assert repr(frame) in reject.message
    assert [trace.frame for trace in traces["a"]] == [46]


@pytest.mark.parametrize("count, hint", [(20, "incomplete"), (22, "several"), (42, "several")])
def test_another_number_of_rows(count: int, hint: str) -> None:
    rows = np.resize(TRACE, (count, 4))
    traces, (reject,) = read(cells("a.avi", 1, rows), cells("b.avi", 1, TRACE))
    assert reject.reason == "row-count"
    assert reject.message.startswith(f"{count} rows instead of 21") and hint in reject.message
    assert list(traces) == ["b"]


def test_a_contour_without_area() -> None:
    flat = TRACE.copy()
    flat[:, [0, 2]] = 50
    traces, (reject,) = read(cells("a.avi", 1, flat))
    assert not traces
    assert reject.reason == "degenerate"


def test_one_frame_numbered_in_two_ways_is_traced_twice() -> None:
    traces, (reject,) = read(cells("a.avi", "5", TRACE), cells("a.avi", "5.0", TRACE + 1))
    assert reject.message == "the frame is traced twice, its number written in two ways"
    np.testing.assert_array_equal(traces["a"][0].long_axis, TRACE[0].reshape(2, 2))


@pytest.mark.parametrize("name", ["../x.avi", "/x.avi", "", ".avi", "a\nb.avi", "\udcff.avi"])
def test_names_that_are_refused(name: str) -> None:
    traces, (reject,) = read(cells(name, 5, TRACE), cells("b.avi", 1, TRACE))
    assert reject.reason == "refused"
    assert list(traces) == ["b"]


def test_no_row_at_all() -> None:
    assert read_traces(table()) == Tracings(traces={}, rejects=[], count=0, notes={})
