"""The plan: rows, phases and the coordinates that go into the store."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from echo_common.errors import DataError
from echo_common.geometry.raster import rasterise
from echo_common.store.schema import PHASES
from echo_prep.build.plan import Plan, make_plan
from echo_prep.layouts.echonet_dynamic import EchoNetDynamic, read_dataset
from support.datasets import SmallVideo, half_ellipse_trace, write_small_dataset

LARGE = half_ellipse_trace(width=30)
SMALL = half_ellipse_trace(width=14)
MIDDLE = half_ellipse_trace(width=20)

LEFT = np.array([-90, 0, -90, 0])
CORNER = np.array([55, 30, 55, 30])


def plan_of(tmp_path: Path, *videos: SmallVideo) -> Plan:
    root = write_small_dataset(tmp_path / "d", videos, write_videos=False)
    return make_plan(read_dataset(root), EchoNetDynamic().source(root, {}))


@pytest.mark.parametrize(
    "traces, phases",
    [
        ({3: LARGE, 9: SMALL}, ["ED", "ES"]),
        ({3: SMALL, 9: LARGE}, ["ES", "ED"]),
        ({9: LARGE, 3: SMALL}, ["ES", "ED"]),
        ({3: LARGE}, ["unknown"]),
        ({3: LARGE, 9: LARGE}, ["unknown", "unknown"]),
        ({2: MIDDLE, 5: LARGE, 7: SMALL}, ["unknown", "ED", "ES"]),
    ],
)
def test_phases_follow_from_area(
    tmp_path: Path, traces: dict[int, np.ndarray], phases: list[str]
) -> None:
    plan = plan_of(tmp_path, SmallVideo(name="a", frames=12, traces=traces))
    assert plan.columns["index/frame"].tolist() == sorted(traces)
    assert [PHASES[code] for code in plan.columns["index/phase"]] == phases


def test_rows_follow_the_list_and_then_the_frame(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        SmallVideo(name="z", frames=12, traces={7: LARGE, 2: SMALL}),
        SmallVideo(name="a", frames=12, traces={0: LARGE}, split="TEST"),
    )
    assert plan.columns["index/video"].tolist() == ["z", "z", "a"]
    assert plan.columns["index/frame"].tolist() == [2, 7, 0]
    assert plan.columns["index/split"].tolist() == [0, 0, 2]
    assert plan.columns["index/ef"].tolist() == [55.5] * 3
    assert (plan.columns["tracing/long_axis"].dtype, plan.columns["tracing/contour"].shape) == (
        np.float32,
        (3, 40, 2),
    )


def test_a_contour_outside_the_image_is_left_out_and_one_across_its_edge_is_kept(
    tmp_path: Path,
) -> None:
    plan = plan_of(
        tmp_path,
        SmallVideo(name="a", frames=12, traces={1: LARGE + 200, 4: LARGE + LEFT}),
        SmallVideo(name="b", frames=12, traces={1: LARGE + CORNER}),
    )
    assert plan.columns["index/video"].tolist() == ["b"]
    assert [(one.frame, one.reason) for one in plan.rejects] == [(1, "outside"), (4, "outside")]
    assert plan.columns["tracing/contour"].max() > 112
    assert rasterise(plan.columns["tracing/contour"][0], plan.shape, "chords").any()


def test_no_valid_trace_is_an_error_with_the_first_reason(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no valid trace among 1.*a: .*outside the 112x112 frame"):
        plan_of(tmp_path, SmallVideo(name="a", frames=3, traces={0: LARGE + 300}))


def test_the_digest_depends_on_every_column(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, SmallVideo(name="a", frames=12, traces={3: LARGE, 9: SMALL}))
    digests = {plan.digest()}
    for path, values in plan.columns.items():
        changed = values.copy()
        changed.flat[0] = "b" if path == "index/video" else changed.flat[0] + 1
        columns = plan.columns | {path: changed}
        digests.add(dataclasses.replace(plan, columns=columns).digest())
    digests.add(dataclasses.replace(plan, shape=(112, 113)).digest())
    assert len(digests) == 12
