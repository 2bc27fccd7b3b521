"""The mean of several models, and of one model on changed frames, measured as one model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from echo_common.errors import SettingsError
from echo_common.store.reader import EchoStore
from echo_train.commands.evaluate import cli as echo_eval
from echo_train.evaluation.ensemble import average_models
from echo_train.evaluation.evaluate import Evaluation
from echo_train.evaluation.settings import EvaluateSettings
from echo_train.evaluation.trained_model import load_model
from echo_train.training.train import train
from support.commands import exit_code
from support.training import tiny

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def seeds(small_store: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three mask runs that learn enough to differ."""
    folder = tmp_path_factory.mktemp("seeds")
    settings = {"width": 4, "epochs": 6, "learning_rate": 0.03}
    return [train(tiny(small_store, folder / f"{n}", seed=n, **settings)) for n in range(3)]


def frames_of_test(store: Path) -> tuple[torch.Tensor, np.ndarray]:
    """Images and true masks of the test split, read without the code under test."""
    opened = EchoStore(store)
    rows = opened.read("index/split") == 2
    images = torch.from_numpy(opened.read("frames")[rows])[:, None].float() / 255
    return images, opened.read("masks/chords")[rows]


def test_an_ensemble_has_the_dice_of_the_mean_probability(
    small_store: Path, tmp_path: Path, seeds: list[Path]
) -> None:
    out = tmp_path / "out"
    assert exit_code(echo_eval, *seeds, "--ensemble", "--out", out, "--device", "cpu") == 0
    images, true = frames_of_test(small_store)
    with torch.inference_mode():
        probability = torch.stack(
            [load_model(run).network.eval()(images).sigmoid() for run in seeds]
        ).mean(0)
    found = (probability[:, 0] > 0.5).numpy()
    dice = 2 * (found & (true > 0)).sum((1, 2)) / (found.sum((1, 2)) + (true > 0).sum((1, 2)))
    summary = json.loads((out / "summary.json").read_text())
    assert summary["test"]["dice"]["mean"] == pytest.approx(dice.mean(), abs=1e-4)
    single = [load_model(run) for run in seeds]
    assert summary["parameters"] == sum(model.parameters() for model in single)
    assert summary["notes"] == [
        f"the mean prediction of 3 runs: {', '.join(str(run) for run in seeds)}"
    ]


def test_augmented_predictions_are_averaged(small_store: Path, seeds: list[Path]) -> None:
    model = load_model(seeds[0])
    images, _ = frames_of_test(small_store)
    shifted = [
        torch.roll(model.logits(torch.roll(images, (s, s), (2, 3))), (-s, -s), (2, 3))
        for s in (-2, 2)
    ]
    parts = [model.logits(images), *shifted, *(model.logits(images**g) for g in (0.8, 1.25))]
    expected = torch.stack([part.sigmoid() for part in parts]).mean(0)
    found = average_models([model], augment=True).logits(images).sigmoid()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    assert average_models([model]) is model


def test_models_of_folds_are_measured_on_the_test_split_alone(
    small_store: Path, tmp_path: Path
) -> None:
    folds = [
        train(tiny(small_store, tmp_path / f"{fold}", epochs=1, folds=2, fold=fold))
        for fold in (1, 2)
    ]
    Evaluation(folds[0], EvaluateSettings(), CPU, folds[1:])
    for split in ("val", "train", "all"):
        with pytest.raises(SettingsError, match=f"--split {split}: the runs have different splits"):
            Evaluation(folds[0], EvaluateSettings(split=split), CPU, folds[1:])


def test_models_of_different_targets_are_refused(runs: Path) -> None:
    with pytest.raises(SettingsError, match="only models of the same kind are averaged"):
        average_models([load_model(runs / "mask"), load_model(runs / "landmarks")])
