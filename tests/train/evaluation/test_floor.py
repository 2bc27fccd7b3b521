"""The floor of each split: the mean training mask and the all-black mask as predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from echo_common.store.reader import EchoStore
from echo_common.store.schema import SPLITS
from echo_train.metrics.surface_distance import surface_distances
from echo_train.reporting.html_page import report_page
from echo_train.reporting.page_tables import main_table, metric_tables
from echo_train.reporting.run_rows import make_rows
from echo_train.reporting.run_table import table_rows
from support.oracles import dice


def summary(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "summary.json").read_text())


@pytest.mark.parametrize("target", ["mask", "landmarks"])
@pytest.mark.parametrize("split", ["val", "test"])
def test_the_floor_is_that_of_masks_that_do_not_depend_on_the_image(
    runs: Path, small_store: Path, target: str, split: str
) -> None:
    store = EchoStore(small_store)
    masks, codes = store.read("masks/chords"), store.read("index/split")
    phase = store.read("index/phase")
    tested, train = codes == SPLITS.index(split.upper()), masks[codes == 0]
    mean = (train.mean(axis=0) >= 0.5).astype(np.uint8)
    floor = summary(runs / target)[split]["floor"]
    scores = np.array([dice(mean, mask) for mask in masks[tested]])
    assert floor["mean_mask"]["dice"]["mean"] == pytest.approx(scores.mean())
    assert floor["mean_mask"]["dice"]["ed"] == pytest.approx(scores[phase[tested] == 0].mean())
    pooled = 2 * (masks[tested] & mean).sum() / (masks[tested].sum() + tested.sum() * mean.sum())
    assert floor["mean_mask"]["dice"]["pooled"] == pytest.approx(pooled)
    accuracy = (masks[tested] == mean).mean()
    assert floor["mean_mask"]["pixel_accuracy"]["mean"] == pytest.approx(accuracy)
    repeated = np.repeat(mean[None], tested.sum(), axis=0)
    hd95 = surface_distances(repeated, masks[tested])[:, 0].mean()
    assert floor["mean_mask"]["hd95"]["mean"] == pytest.approx(hd95)
    black = floor["black"]
    assert black["dice"]["mean"] == 0 and black["missed_frames"] == tested.sum()
    assert black["pixel_accuracy"]["mean"] == pytest.approx((masks[tested] == 0).mean())
    assert black["hd95"]["mean"] == pytest.approx(np.hypot(*masks.shape[1:]))


def test_the_floor_of_landmarks_is_their_mean_position(runs: Path, small_store: Path) -> None:
    found = summary(runs / "landmarks")
    store = EchoStore(small_store)
    (landmarks,) = store.landmark_sets()
    points, codes = store.read(landmarks.points), store.read("index/split")
    mean = points[codes == 0].mean(axis=0)
    errors = np.hypot(*np.moveaxis(points[codes == 2] - mean, 2, 0))
    floor = found["test"]["floor"]
    assert floor["mean_mask"]["mean_radial_error"]["mean"] == pytest.approx(errors.mean())
    assert "mean_radial_error" not in floor["black"]
    assert "mean_radial_error" not in summary(runs / "mask")["test"]["floor"]["mean_mask"]


def test_the_table_ends_with_the_floor_of_each_split(runs: Path) -> None:
    folders = [runs / "mask", runs / "landmarks"]
    rows = make_rows(folders, [summary(folder) for folder in folders])
    header, *lines = table_rows(rows)
    named = [dict(zip(header, line, strict=True)) for line in lines]
    floor = ["mean training mask", "all-black mask"]
    # The floor of the masks is that of the landmarks without their radial error.
    assert sorted(line["run"] for line in named[2:]) == sorted(floor)
    found = {line["run"]: line for line in named[2:]}
    black, mean = (summary(folders[1])["test"]["floor"][name] for name in ("black", "mean_mask"))
    assert found["all-black mask"]["Dice"] == f"{black['dice']['mean']:.4f}" == "0.0000"
    assert found["mean training mask"]["Dice"] == f"{mean['dice']['mean']:.4f}"
    assert found["mean training mask"]["MRE px"] == f"{mean['mean_radial_error']['mean']:.2f}"
    assert found["mean training mask"]["seconds"] == "-"
    assert len(table_rows(rows, every_split=True)) == 1 + 2 * 2 + 2 * 2
    (table, *_) = metric_tables(rows)
    for shown in (main_table(rows, [None, None]), table):
        assert sorted(cells[0].text for cells in shown.floor) == sorted(floor)
        keys = [key.removeprefix("test.") for key, _ in shown.columns]
        values = {cells[0].text: cells[keys.index("dice")].value for cells in shown.floor}
        assert values["mean training mask"] == mean["dice"]["mean"]
    page = report_page(rows, [None, None], None, runs).decode()
    assert page.count("mean training mask") == 1 + len(metric_tables(rows))
