"""Traces whose order was lost, against the same traces before; and traces of unsteady hands."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import skimage.draw
from hypothesis import given, settings
from hypothesis import strategies as st

from echo_prep.dataset.trace_order import (
    AXIS_TURNED,
    ENDS_EXCHANGED,
    ROWS_IN_ORDER,
    in_order,
    irregular,
    largest_loop,
    put_in_order,
)
from echo_prep.layouts.echonet_dynamic import read_dataset
from echo_prep.synth.videos import traced_borders
from support.datasets import half_ellipse_trace, small_videos, write_small_dataset
from support.oracles import dice, reference_mask
from support.strategies import jittered, ventricles

SHAPE = (128, 128)


@pytest.fixture(scope="module")
def drawn() -> np.ndarray:
    """True borders of synthetic studies, and the same drawn by hand, (trace, 21, 4)."""
    pairs = [pair for number in range(60) for pair in traced_borders(3, number, 8)]
    return np.array([rows for pair in pairs for rows in pair])


def mask(rows: np.ndarray) -> np.ndarray:
    return reference_mask(rows, SHAPE).astype(bool)


def trembling(count: int, sd: float) -> np.ndarray:
    rng = np.random.default_rng(7)
    traces = []
    for number in range(count):
        apex = (rng.uniform(25, 85), rng.uniform(5, 30))
        rows = half_ellipse_trace(apex, (rng.uniform(35, 75), rng.uniform(60, 100)),
                                  rng.uniform(10, 45))  # fmt: skip
        traces.append(jittered(rows, sd, number))
    return np.array(traces)


def axis_turned(rows: np.ndarray) -> np.ndarray:
    return np.concatenate([rows[:1, [2, 3, 0, 1]], rows[1:]])


def exchanged(rows: np.ndarray, chords: list[int]) -> np.ndarray:
    rows = rows.copy()
    rows[chords] = rows[chords][:, [2, 3, 0, 1]]
    return rows


# --- What is left as it is ------------------------------------------------------------------------


def test_traces_of_synthetic_studies_are_in_order(drawn: np.ndarray) -> None:
    assert in_order(drawn).all()
    assert not irregular(drawn).any()


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: np.rint(rows),
        lambda rows: np.trunc(rows),
        lambda rows: rows * 7.3 + 40,
        lambda rows: rows * [-1, 1, -1, 1] + [112, 0, 112, 0],
        lambda rows: rows * [1, -1, 1, -1] + [0, 112, 0, 112],
        lambda rows: rows[..., [1, 0, 3, 2]],
        lambda rows: exchanged(rows.reshape(-1, 4), list(range(len(rows) * 21))).reshape(-1, 21, 4),
        lambda rows: rows + np.random.default_rng(0).normal(0, 0.7, rows.shape),
    ],
    ids=[
        "whole pixels", "cut pixels", "native size", "mirrored", "upside down", "lying",
        "walls exchanged", "unsteady",
    ],
)  # fmt: skip
def test_so_are_they_in_other_coordinates(
    drawn: np.ndarray, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    rows = change(drawn)
    if rows.shape == drawn.shape and np.array_equal(rows[:, 0, :2], drawn[:, 0, 2:]):
        rows[:, 0] = drawn[:, 0]
    assert in_order(rows).all()


@pytest.mark.parametrize("sd", [0.1, 0.5, 1.0])
def test_an_unsteady_hand_is_no_wrong_order(sd: float) -> None:
    assert in_order(trembling(1000, sd)).all()


@settings(deadline=None, max_examples=300)
@given(rows=ventricles())
def test_no_ventricle_is_refused(rows: np.ndarray) -> None:
    assert in_order(rows[None])[0]


def test_bent_ventricles_and_uneven_chords() -> None:
    rows = half_ellipse_trace((50, 10), (50, 90), 30)
    bent = rows.copy()
    # A banana: the middle of each chord moves aside, up to an eighth of the length.
    shares = np.linspace(0, 1, 20)
    bent[1:, [0, 2]] += (40 * shares * (1 - shares))[:, None]
    assert in_order(bent[None])[0]
    uneven = rows.copy()
    uneven[1:, [1, 3]] = (10 + 80 * (0.02 + 0.96 * shares**1.2))[:, None]
    assert in_order(uneven[None])[0]
    # EchoNet-Dynamic's first rows, from its publication: steps of a nineteenth.
    published = np.array([
        [51.26041667, 15.34895833, 64.93229167, 69.125],
        [50.03761083, 17.16784126, 53.36722189, 16.32132997],
        [49.15671521, 20.40762915, 57.20404203, 18.36168858],
    ])  # fmt: skip
    axis = published[0, 2:] - published[0, :2]
    assert (published[1:, 2:] - published[1:, :2]) @ axis == pytest.approx(0, abs=1e-3)


# --- What is restored -----------------------------------------------------------------------------


@pytest.mark.parametrize("column", range(4))
@pytest.mark.parametrize("sign", [1, -1])
def test_rows_sorted_by_a_coordinate(drawn: np.ndarray, column: int, sign: int) -> None:
    rejected = 0
    for rows in drawn:
        found = rows[np.argsort(sign * rows[:, column], kind="stable")]
        if not in_order(found[None])[0]:
            ordered = put_in_order(found)
            rejected += bool(ordered.reason)
            if ordered.reason:
                continue
            assert ordered.corrections == (ROWS_IN_ORDER,)
            found = ordered.rows
        np.testing.assert_array_equal(found, rows)
    assert rejected <= len(drawn) / 10


def test_rows_in_no_order_at_all(drawn: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    rejected = 0
    for rows in [*drawn, *trembling(60, 0.5)]:
        ordered = put_in_order(rows[rng.permutation(21)])
        rejected += bool(ordered.reason)
        if not ordered.reason:
            assert ordered.corrections == (ROWS_IN_ORDER,)
            np.testing.assert_array_equal(ordered.rows[0], rows[0])
            assert dice(mask(ordered.rows), mask(rows)) > 0.98
    assert rejected <= 0.02 * len(drawn)


def test_two_rows_exchanged(drawn: np.ndarray) -> None:
    rng = np.random.default_rng(1)
    for rows in drawn:
        first, second = 1 + rng.choice(20, 2, replace=False)
        wrong = rows.copy()
        wrong[[first, second]] = rows[[second, first]]
        assert not in_order(wrong[None])[0]
        ordered = put_in_order(wrong)
        assert ordered.corrections == (ROWS_IN_ORDER,)
        np.testing.assert_array_equal(ordered.rows, rows)


def test_a_long_axis_from_base_to_apex(drawn: np.ndarray) -> None:
    rejected = 0
    for rows in drawn:
        wrong = axis_turned(rows)
        assert not in_order(wrong[None])[0]
        ordered = put_in_order(wrong)
        rejected += bool(ordered.reason)
        if not ordered.reason:
            assert ordered.corrections == (AXIS_TURNED,)
            np.testing.assert_array_equal(ordered.rows, rows)
    # Of a ventricle as wide at the apex as at the base, nothing tells the ends apart.
    assert rejected <= len(drawn) / 10


def test_chords_from_base_to_apex(drawn: np.ndarray) -> None:
    for rows in drawn:
        ordered = put_in_order(np.concatenate([rows[:1], rows[:0:-1]]))
        assert ordered.reason or ordered.corrections == (ROWS_IN_ORDER,)
        if not ordered.reason:
            np.testing.assert_array_equal(ordered.rows, rows)


@pytest.mark.parametrize("count", [1, 3, 6])
def test_ends_exchanged_in_some_rows(drawn: np.ndarray, count: int) -> None:
    rng = np.random.default_rng(count)
    for rows in drawn:
        wrong = exchanged(rows, (1 + rng.choice(20, count, replace=False)).tolist())
        assert not in_order(wrong[None])[0]
        ordered = put_in_order(wrong)
        assert ordered.corrections == (ENDS_EXCHANGED,)
        np.testing.assert_array_equal(ordered.rows, rows)


def test_several_faults_at_once(drawn: np.ndarray) -> None:
    rng = np.random.default_rng(2)
    for rows in drawn:
        wrong = exchanged(rows, (1 + rng.choice(20, 4, replace=False)).tolist())
        ordered = put_in_order(wrong[rng.permutation(21)])
        if not ordered.reason:
            assert set(ordered.corrections) == {ENDS_EXCHANGED, ROWS_IN_ORDER}
            np.testing.assert_array_equal(ordered.rows, rows)


# --- What is rejected -----------------------------------------------------------------------------


def test_half_of_the_ends_exchanged(drawn: np.ndarray) -> None:
    for rows in drawn:
        assert put_in_order(exchanged(rows, list(range(1, 21, 2)))).reason in ("crossing", "order")


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: [rows[0, :2] + [40, 0], rows[0, 2:] + [40, 0]],
        lambda rows: [rows[0, :2] + [0, 25], rows[0, 2:] + [0, 25]],
        lambda rows: [rows[0, :2], (rows[0, :2] + rows[0, 2:]) / 2],
        lambda rows: [rows[0, :2], rows[0, :2]],
        lambda rows: [rows[10, :2], rows[10, 2:]],
        lambda rows: [[0, 0], [1, 1]],
    ],
    ids=["beside", "below", "half", "point", "a chord", "elsewhere"],
)
def test_a_long_axis_that_does_not_match(
    drawn: np.ndarray, change: Callable[[np.ndarray], list[np.ndarray]]
) -> None:
    for rows in drawn:
        wrong = rows.copy()
        wrong[0] = np.concatenate(change(rows))
        assert not in_order(wrong[None])[0]
        ordered = put_in_order(wrong)
        assert (ordered.reason, ordered.corrections) == ("long-axis", ())


@pytest.mark.parametrize("column", range(4))
def test_a_slip_of_the_keyboard(drawn: np.ndarray, column: int) -> None:
    for rows in drawn:
        wrong = rows.copy()
        wrong[1 + column * 5, column] *= 10
        assert not in_order(wrong[None])[0]
        assert put_in_order(wrong).reason in ("coordinates", "long-axis", "crossing")


def test_chords_of_another_ventricle(drawn: np.ndarray) -> None:
    for rows, other in zip(drawn[::4], drawn[40::4], strict=False):
        mixed = np.concatenate([rows[:11], other[11:] + np.array([60, 10, 60, 10])])
        assert not in_order(mixed[None])[0]
        assert put_in_order(mixed).reason


@settings(deadline=None, max_examples=100)
@given(seed=st.integers(0, 2**32), spread=st.sampled_from([3.0, 60.0, 300.0]))
def test_any_rows_are_in_order_or_rejected(seed: int, spread: float) -> None:
    rows = np.random.default_rng(seed).uniform(56 - spread, 56 + spread, (21, 4))
    assert not in_order(rows[None])[0]
    assert put_in_order(rows).reason


@settings(deadline=None, max_examples=100)
@given(rows=ventricles(0.3), seed=st.integers(0, 2**32))
def test_what_is_restored_is_in_order(rows: np.ndarray, seed: int) -> None:
    ordered = put_in_order(rows[np.random.default_rng(seed).permutation(21)])
    if not ordered.reason:
        assert in_order(ordered.rows[None])[0]
        assert sorted(ordered.rows.tolist()) == sorted(rows.tolist())


def test_columns_exchanged_in_a_table_are_told(drawn: np.ndarray) -> None:
    tilted = drawn[np.abs(drawn[:, 0, 2] - drawn[:, 0, 0]) > 8]
    wrong = tilted[:, :, [2, 1, 0, 3]]
    kept = wrong[in_order(wrong)]
    assert irregular(kept).mean() > 0.4


# --- Loops ----------------------------------------------------------------------------------------


def test_a_simple_polygon_has_no_loop() -> None:
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    assert largest_loop(circle) == 0
    assert largest_loop(circle * [5, 1] + 20) == 0


@pytest.mark.parametrize("share", [0.5, 0.25, 0.1, 0.01])
def test_a_bow_tie_has_a_loop_of_known_size(share: float) -> None:
    # Two triangles that meet in the origin, of heights 1 and h: their areas are as 1 to h².
    height = np.sqrt(share / (1 - share))
    polygon = np.array([[-1, 1], [height, -height], [-height, -height], [1, 1]])
    assert largest_loop(polygon) == pytest.approx(share)


# --- Whole tables ---------------------------------------------------------------------------------


@pytest.mark.parametrize("column", ["X1", "Y1", "X2", "Y2"])
@pytest.mark.parametrize("reverse", [False, True])
def test_a_table_sorted_in_a_spreadsheet(tmp_path: Path, column: str, reverse: bool) -> None:
    root = write_small_dataset(tmp_path / "d", small_videos(8), write_videos=False)
    expected = read_dataset(root)
    path = root / "VolumeTracings.csv"
    with path.open(newline="") as file:
        header, *lines = csv.reader(file)
    at = header.index(column)
    lines.sort(key=lambda line: float(line[at]), reverse=reverse)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *lines])
    found = read_dataset(root)
    assert (found.rejects, found.traced) == ((), 16)
    for name, traces in expected.traces.items():
        for trace, other in zip(traces, found.traces[name], strict=True):
            assert trace.frame == other.frame
            np.testing.assert_array_equal(trace.contour, other.contour)
            np.testing.assert_array_equal(trace.long_axis, other.long_axis)
    assert set(found.notes) <= {ROWS_IN_ORDER}


def test_a_rejected_trace_costs_no_other(tmp_path: Path) -> None:
    root = write_small_dataset(tmp_path / "d", small_videos(4), write_videos=False)
    expected = read_dataset(root)
    path = root / "VolumeTracings.csv"
    lines = path.read_text().splitlines(keepends=True)
    # The long axis of the first trace, and two chords of the second.
    name, *_, frame = lines[1].split(",")
    lines[1] = f"{name},3,3,9,9,{frame}"
    lines[30], lines[40] = lines[40], lines[30]
    path.write_text("".join(lines))
    found = read_dataset(root)
    (reject,) = found.rejects
    assert (reject.reason, reject.where) == ("long-axis", "VolumeTracings.csv row 2")
    assert reject.message == "the long axis does not match the chords"
    assert found.notes == {ROWS_IN_ORDER: 1}
    assert len(found.traces[name.removesuffix(".avi")]) == 1
    for name, traces in list(expected.traces.items())[1:]:
        np.testing.assert_array_equal(
            [trace.contour for trace in traces], [t.contour for t in found.traces[name]]
        )


def test_skimage_agrees_that_the_mask_is_that_of_the_restored_rows() -> None:
    rows = half_ellipse_trace()
    shuffled = put_in_order(rows[::-1]).rows
    points = np.concatenate([shuffled[1:, :2], shuffled[:0:-1, 2:]])
    area = len(skimage.draw.polygon(points[:, 1], points[:, 0])[0])
    assert area == pytest.approx(np.pi / 4 * 26 * 55.8, rel=0.05)
