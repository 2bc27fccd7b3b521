"""The contenders of `benchmarks/peers.py` that run without an environment of their own."""

from __future__ import annotations

import importlib
from pathlib import Path

import cv2
import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"


def test_contenders_get_the_same_frames_and_masks(
    small_dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    (tmp_path / "data").symlink_to(small_dataset)
    assert importlib.import_module("peers").write_files(tmp_path) == 24
    ours = importlib.import_module("contenders.ours").Ours(tmp_path, "")
    ours.prepare("chords")
    files = [
        [cv2.imread(str(ours.png(kind, frame)), cv2.IMREAD_GRAYSCALE) for frame in frames]
        for frames in [ours.frames("TRAIN")]
        for kind in ("images", "chords")
    ]
    images, masks = (np.stack(planes) for planes in files)
    assert set(np.unique(masks)) == {0, 1}

    for name, contender in (("zarr_dataset", "ZarrDataset"), ("echonet_loader", "EchonetLoader")):
        peer = getattr(importlib.import_module(f"contenders.{name}"), contender)(tmp_path, "")
        samples = peer.samples("TRAIN", False)
        assert len(samples) == 12
        for image, mask, sample in zip(images, masks, samples, strict=False):
            assert np.array_equal(sample[1], mask)
            # OpenCV's FFmpeg reader and its Motion-JPEG reader differ by at most 2 gray levels.
            most = 2.01 if name == "echonet_loader" else 0.01
            assert np.abs(255 * sample[0][0].numpy() - image).max() < most

    batches = list(ours.loader(augment=False))
    loaded = [255 * image[0].numpy() for batch, _ in batches for image in batch]
    assert len(loaded) == 12
    for image in images:
        assert min(np.abs(image - other).max() for other in loaded) < 0.01


def test_a_training_takes_the_passes_that_fit_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    contender = importlib.import_module("contenders.contender")

    class Steady(contender.Contender):
        """Ten CPU seconds a pass."""

        def loader(self, augment: bool) -> list[tuple[object, object]]:
            return []

        def train(self, epochs: int) -> list[object]:
            return [
                contender.Epoch(cpu=10.0 * (number + 1), val=0.5, test=0.5)
                for number in range(epochs)
            ]

    steady = Steady(Path(), "")
    for seconds, passes in ((4, 1), (14, 1), (26, 3), (30, 3)):
        result = contender.measure_training(steady, None, seconds)
        assert len(result["epochs"]) == passes
        assert result["epochs"][-1]["cpu"] == 10 * passes
    assert len(contender.measure_training(steady, 7, 0)["epochs"]) == 7


def test_dice_of_frames_counts_the_foreground(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    masks = np.zeros((2, 4, 4), bool)
    masks[:, :2] = True
    found = masks.copy()
    found[1, 1] = False
    contender = importlib.import_module("contenders.contender")
    assert contender.dice(found, masks) == pytest.approx([1, 2 * 4 / 12])
