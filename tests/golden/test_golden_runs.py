"""Runs that were trained by earlier versions can still be measured, predicted with and reported.

The runs in runs-0.1.0 were trained once, by version 0.1.0, from the data set of
`support.golden` with every video complete, and are never trained again:

    echo-prep build --data DATA --store golden.zarr --landmarks 5
    echo-train --store golden.zarr --target mask --width 2 --epochs 3 --run mask
    echo-train --store golden.zarr --target landmarks --landmarks 5 --width 2 --epochs 3 \
        --ema 0.9 --network attention-unet --run landmarks
    echo-train --store golden.zarr --target mask --width 1 --epochs 1 --seeds 2 \
        --prior mean-mask --prior-use channel --run sweep

What they must give is in the summary.json that was written with them.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from echo_prep.build.build import build
from echo_prep.settings import BuildSettings
from echo_train.commands.evaluate import cli as echo_eval
from echo_train.commands.predict import cli as echo_predict
from echo_train.commands.report import cli as echo_report
from support.golden import SIDE, VIDEOS, write_golden_dataset

RUNS = Path(__file__).parent / "runs-0.1.0"
NAMES = ("mask", "landmarks", "sweep/seed-0", "sweep/seed-1")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_golden_dataset(tmp_path_factory.mktemp("golden") / "data", short=False)


@pytest.fixture(scope="module")
def store(data: Path) -> Path:
    path = data.parent / "golden.zarr"
    build(BuildSettings(data=data, store=path, landmarks=(5,), jobs=1))
    return path


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return Path(shutil.copytree(RUNS, tmp_path / "runs"))


def _call(command: object, *words: object) -> str:
    result = CliRunner().invoke(command, [str(word) for word in words])  # type: ignore[arg-type]
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("name", NAMES)
def test_it_measures_what_it_measured(name: str, runs: Path, store: Path) -> None:
    _call(echo_eval, runs / name, "--store", store, "--out", runs / "out", "--device", "cpu")
    now = json.loads((runs / "out" / "summary.json").read_text())["test"]
    before = json.loads((RUNS / name / "summary.json").read_text())["test"]
    for figure in ("dice", "iou", "pixel_accuracy", "hd95", "mean_radial_error"):
        if figure in before:
            assert now[figure]["mean"] == pytest.approx(before[figure]["mean"], rel=1e-3), figure
    assert now["dice"]["ed"] == pytest.approx(before["dice"]["ed"], rel=1e-3)
    assert now["dice"]["es"] == pytest.approx(before["dice"]["es"], rel=1e-3)


def test_its_last_state_is_read(runs: Path, store: Path) -> None:
    run, out = runs / "mask", runs / "out"
    words = ("--store", store, "--out", out, "--device", "cpu", "--checkpoint", "last")
    _call(echo_eval, run, "--split", "val", *words)
    measured = json.loads((out / "summary.json").read_text())["val"]["dice"]["mean"]
    last = (RUNS / "mask" / "metrics.csv").read_text().splitlines()
    row = dict(zip(last[0].split(","), last[-1].split(","), strict=True))
    assert measured == pytest.approx(float(row["val_dice"]), rel=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_it_segments_a_video(name: str, runs: Path, data: Path) -> None:
    video = data / "Videos" / f"{VIDEOS[0]}.avi"
    _call(echo_predict, runs / name, video, "--out", runs / "out", "--device", "cpu")
    masks = np.load(runs / "out" / f"{VIDEOS[0]}.npz")["masks"]
    assert masks.shape == (6, SIDE, SIDE)
    assert set(np.unique(masks)) <= {0, 1}


def test_they_are_reported(runs: Path) -> None:
    said = _call(echo_report, *(runs / name for name in NAMES))
    for name in NAMES:
        dice = json.loads((RUNS / name / "summary.json").read_text())["test"]["dice"]["mean"]
        assert f"{dice:.3f}" in said, name
