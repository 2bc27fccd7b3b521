"""`--paper`: the paper's masks, landmarks and heatmaps as its own code makes them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import zarr

from echo_common.cli.command import run_command
from echo_common.store.schema import FALLOFFS
from echo_prep.cli import cli
from support.datasets import SHAPE, SmallVideo, half_ellipse_trace, write_small_dataset
from support.oracles import (
    angles,
    centroid_order,
    paper_band,
    paper_heatmap,
    paper_mask,
    paper_points,
)
from support.strategies import jittered

METHODS = ("simplesort", "centroid", "convexhull")

ROUNDING = 0.5 / 255 + 1e-9
"""A stored heatmap is rounded to 255 steps."""


def traces() -> list[np.ndarray]:
    """Twenty traces; some have coordinates at whole numbers or next to them."""
    rng = np.random.default_rng(4)
    found = []
    for number in range(20):
        rows = half_ellipse_trace(
            tuple(rng.normal([51, 15], 4)), tuple(rng.normal([64, 75], 4)), rng.uniform(14, 36)
        )
        rows = jittered(rows, 0.6, number)
        if number % 4 == 1:
            rows[3:12] = np.rint(rows[3:12])
        if number % 4 == 2:
            rows[3:12] = np.rint(rows[3:12]) - 1e-8
        found.append(rows)
    return found


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    videos = [
        SmallVideo(name=f"v{number:02}", frames=3, traces={1: rows})
        for number, rows in enumerate(traces())
    ]
    return write_small_dataset(tmp_path_factory.mktemp("data") / "d", videos)


@pytest.fixture(scope="module")
def store(data: Path, tmp_path_factory: pytest.TempPathFactory) -> zarr.Group:
    path = tmp_path_factory.mktemp("cache") / "paper.zarr"
    build(
        data, path, "--paper", "--method", ",".join(METHODS), "--landmarks", "3,7,42",
        "--falloff", "gaussian,euclidean",
    )  # fmt: skip
    return zarr.open_group(path, mode="r")


def build(data: Path, store: Path, *options: str) -> None:
    with pytest.raises(SystemExit) as stop:
        run_command(
            cli, args=["build", "--data", str(data), "--store", str(store), "--jobs", "1", *options]
        )
    assert stop.value.code == 0


@pytest.mark.parametrize("method", METHODS)
def test_masks_equal_the_papers_pixel_for_pixel(store: zarr.Group, method: str) -> None:
    for mask, rows in zip(store[f"masks/{method}"][:], traces(), strict=True):
        np.testing.assert_array_equal(mask, paper_mask(rows, method, SHAPE))


@pytest.mark.parametrize("count", [3, 7, 42])
def test_landmarks_are_the_smallest_angles_in_order_of_angle(store: zarr.Group, count: int) -> None:
    for points, rows in zip(
        store[f"landmarks/centroid/angle-{count}/points"][:], traces(), strict=True
    ):
        around = centroid_order(paper_points(rows))
        # Whole numbers make equal angles: ties, which a stable sort leaves in order.
        sizes = [round(math.radians(size), 6) for size in angles(around)]
        ranked = [around[place] for place in sorted(range(42), key=sizes.__getitem__)]
        assert points.tolist() == [list(point) for point in ranked[:count]]


@pytest.mark.parametrize("falloff", FALLOFFS)
@pytest.mark.parametrize("method", METHODS)
def test_heatmaps_are_the_papers_to_the_stores_rounding(
    store: zarr.Group, method: str, falloff: str
) -> None:
    group = store[f"landmarks/{method}/angle-7"]
    for heatmaps, points, rows in zip(group[falloff][:], group["points"][:], traces(), strict=True):
        band = paper_band(paper_mask(rows, method, SHAPE))
        for heatmap, point in zip(heatmaps, points.astype(int).tolist(), strict=True):
            expected = paper_heatmap(tuple(point), band, falloff, gaussian="whole")
            np.testing.assert_allclose(heatmap / 255, expected, atol=ROUNDING)


def test_values_that_paper_sets(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(data, tmp_path / "a.zarr", "--paper")
    build(
        data, tmp_path / "b.zarr", "--truncate", "--method", "centroid", "--identity", "angle",
        "--landmarks", "7", "--falloff", "gaussian", "--radius", "10", "--sigma", "5",
        "--gaussian", "whole",
        "--band-kernel", "3", "--band-iterations", "2",
    )  # fmt: skip
    first, second = (zarr.open_group(tmp_path / f"{name}.zarr", mode="r") for name in "ab")
    assert dict(first.attrs) == dict(second.attrs)
    stages = dict(first.attrs)["stages"]
    assert set(stages) == {
        "index", "frames", "masks/centroid",
        "landmarks/centroid/angle-7/points", "landmarks/centroid/angle-7/gaussian",
    }  # fmt: skip
    (tmp_path / "paper.toml").write_text("paper = true\nlandmarks = 5\n")
    build(data, tmp_path / "d.zarr", "--config", str(tmp_path / "paper.toml"))
    stages = dict(zarr.open_group(tmp_path / "d.zarr", mode="r").attrs)["stages"]
    assert "landmarks/centroid/angle-5/gaussian" in stages
    # The environment switches it on, and an option wins over what it sets. A cut Gaussian has the
    # parameters of stores that were built before there was a choice.
    monkeypatch.setenv("ECHO_PAPER", "1")
    build(data, tmp_path / "c.zarr", "--radius", "8", "--no-truncate", "--gaussian", "cut")
    stages = dict(zarr.open_group(tmp_path / "c.zarr", mode="r").attrs)["stages"]
    assert stages["landmarks/centroid/angle-7/gaussian"]["parameters"] == {
        "method": "centroid", "identity": "angle", "count": 7, "falloff": "gaussian",
        "radius": 8.0, "sigma": 5.0, "band_kernel": 3, "band_iterations": 2, "truncate": False,
    }  # fmt: skip


def test_all_arrays_of_a_method_are_truncated_or_none(data: Path, tmp_path: Path) -> None:
    store = tmp_path / "a.zarr"
    build(data, store, "--method", "centroid,chords", "--landmarks", "5")
    build(data, store, "--paper")
    stages = dict(zarr.open_group(store, mode="r").attrs)["stages"]
    cut = {name: one["parameters"].get("truncate") for name, one in stages.items()}
    assert {name for name, value in cut.items() if value} == {
        "masks/centroid",
        *[f"landmarks/centroid/{name}/{array}" for name in ("anatomical-5", "angle-7")
          for array in ("points", "gaussian")],
    }  # fmt: skip
    group = zarr.open_group(store, mode="r")
    for mask, rows in zip(group["masks/centroid"][:], traces(), strict=True):
        np.testing.assert_array_equal(mask, paper_mask(rows, "centroid", SHAPE))
