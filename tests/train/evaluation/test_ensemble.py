"""The mean of several models, and of one model on changed frames, measured as one model."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from echo_common.errors import SettingsError
from echo_common.store.reader import EchoStore
from echo_common.store.schema import LandmarkSet
from echo_train.commands.evaluate import cli as echo_eval
from echo_train.evaluation.ensemble import average_models
from echo_train.evaluation.evaluate import Evaluation
from echo_train.evaluation.settings import EvaluateSettings
from echo_train.evaluation.trained_model import TrainedModel, load_model
from echo_train.training.train import train
from support.commands import exit_code
from support.training import tiny

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def seeds(small_store: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three mask runs that learn enough to differ."""
    folder = tmp_path_factory.mktemp("seeds")
    settings = {"width": 4, "epochs": 6, "learning_rate": 0.03, "postprocess": "none"}
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


def test_mirrored_predictions_are_mirrored_back_and_averaged(
    small_store: Path, seeds: list[Path]
) -> None:
    model = load_model(seeds[0])
    images, _ = frames_of_test(small_store)
    views = [images, images**0.8, images**1.25]
    parts = [model.logits(view) for view in views]
    parts += [model.logits(view.flip(3)).flip(3) for view in views]
    for s in (-2, 2):
        rolled = torch.roll(images, (s, s), (2, 3))
        parts.append(torch.roll(model.logits(rolled), (-s, -s), (2, 3)))
        parts.append(torch.roll(model.logits(rolled.flip(3)).flip(3), (-s, -s), (2, 3)))
    for augment, chosen in ((False, [parts[0], parts[3]]), (True, parts)):
        expected = torch.stack([part.sigmoid() for part in chosen]).mean(0)
        found = average_models([model], augment, mirror=True).logits(images).sigmoid()
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_an_equivariant_network_predicts_the_same_mask_from_mirrored_frames(
    seeds: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(seeds[0])
    images = torch.rand(3, 1, 112, 112, generator=torch.Generator().manual_seed(1))
    monkeypatch.setattr(TrainedModel, "logits", lambda self, images, phases=None: 8 * images - 4)
    mean = average_models([model], mirror=True)
    torch.testing.assert_close(mean.logits(images), model.logits(images), atol=1e-4, rtol=1e-5)
    np.testing.assert_array_equal(mean.predict(images).masks, model.predict(images).masks)


def test_left_and_right_landmarks_are_exchanged_in_mirrored_frames(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that numbers the dots of a frame from the left, as anatomical landmarks are."""
    model = load_model(runs / "landmarks")
    columns = torch.tensor([20, 30, 40, 55, 71, 84, 90])
    images = torch.zeros(1, 1, 112, 112)
    images[0, 0, 60, columns] = 1

    def logits(self: TrainedModel, images: torch.Tensor, phases: Any = None) -> torch.Tensor:
        maps = torch.zeros(1, self.target.channels, 112, 112)
        for channel, column in enumerate(images[0, 0, 60].nonzero()[:, 0].tolist()):
            maps[0, channel, 60, column] = 50
        return maps

    monkeypatch.setattr(TrainedModel, "logits", logits)
    mean = average_models([model], mirror=True)
    found = mean.target.decode(mean.logits(images))
    assert isinstance(found, torch.Tensor)
    torch.testing.assert_close(found[0, :, 0], columns.float(), atol=0.01, rtol=0)
    torch.testing.assert_close(found[0, :, 1], torch.full((7,), 60.0), atol=0.01, rtol=0)
    # The distance map, after the seven landmarks, stays the last channel.
    numbered = torch.arange(8.0)[None, :, None, None] + torch.tensor([0.0, 0.5])
    assert model.target.mirror(numbered)[0, :, 0].tolist() == [
        *([number + 0.5, number] for number in (6, 5, 4, 3, 2, 1, 0, 7))
    ]


def test_an_even_number_of_anatomical_landmarks_is_not_mirrored(runs: Path) -> None:
    model = load_model(runs / "landmarks")
    landmarks = LandmarkSet(method="chords", identity="anatomical", count=8)
    even = dataclasses.replace(model, choice=dataclasses.replace(model.choice, landmarks=landmarks))
    with pytest.raises(SettingsError, match=r"8 anatomical landmarks .* leave out --tta-mirror"):
        average_models([even], mirror=True)


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
