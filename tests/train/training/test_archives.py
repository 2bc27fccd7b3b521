"""Both targets train on stores of archives of masks, and distances are also in mm."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from echo_prep.build.build import build
from echo_prep.settings import BuildSettings
from echo_train.training.train import train
from support.archives import write_camus, write_mask_folder
from support.training import tiny


@pytest.fixture(scope="module")
def camus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("camus")
    data = write_camus(folder / "data", range(6))
    build(BuildSettings(data=data, store=folder / "s.zarr", backend="threading"))
    return folder / "s.zarr"


@pytest.mark.parametrize("target", ["mask", "landmarks"])
def test_both_targets_train_on_masks(camus: Path, target: str, tmp_path: Path) -> None:
    run = train(tiny(camus, tmp_path / "run", target=target, epochs=1, train_patients=1))
    summary = json.loads((run / "summary.json").read_text())
    assert summary["choice"].endswith("annotated")
    test = summary["test"]
    # Two patients, with two views and two phases.
    assert test["frames"] == 8
    assert test["hd95_mm"]["mean"] == pytest.approx(0.308 * test["hd95"]["mean"], rel=1e-6)


def test_masks_of_a_folder_train_without_mm(tmp_path: Path) -> None:
    data, store = write_mask_folder(tmp_path / "data", range(6)), tmp_path / "s.h5"
    build(BuildSettings(data=data, store=store, masks_only=True, backend="threading"))
    run = train(tiny(store, tmp_path / "run", epochs=1))
    assert "hd95_mm" not in json.loads((run / "summary.json").read_text())["test"]
