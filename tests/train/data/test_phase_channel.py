"""The phase of a frame as an input of the network, in training, evaluation and prediction."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from echo_common.store import schema
from echo_common.store.reader import EchoStore
from echo_train.data.loader import UNTOLD
from echo_train.evaluation.measure import measure
from echo_train.evaluation.trained_model import TrainedModel, load_model
from echo_train.prediction import measurement
from echo_train.prediction.clip import Clip
from echo_train.prediction.measurement import Measurement, segment_and_measure
from echo_train.training.train import train
from echo_train.transforms.batch import add_phase_channel, phase_values
from support.training import checkpoint, open_loader, tiny


def test_the_channel_is_constant_in_each_frame() -> None:
    images = torch.rand(3, 1, 4, 5)
    phases = phase_values(np.array([schema.PHASES.index(name) for name in ("ES", "unknown", "ED")]))
    told = add_phase_channel(images, phases)
    assert torch.equal(told[:, :1], images)
    gray = pytest.approx(0.2)
    assert [plane.unique().tolist() for plane in told[:, 1]] == [
        [gray],
        [0.0],
        [pytest.approx(-0.2)],
    ]
    assert torch.equal(add_phase_channel(images, None)[:, 1], torch.zeros(3, 4, 5))


def test_training_hides_some_phases_and_validation_none(small_store: Path) -> None:
    _, loader = open_loader(tiny(small_store, phase_channel=True, augment="none"))
    order = loader.frames.indices("TRAIN")
    stored = loader.frames.phase[order] * 2.0 - 1
    (batch,) = loader.batches(order, len(order))
    np.testing.assert_allclose(batch.images[:, 1, 0, 0], 0.2 * stored, rtol=1e-6)
    told = []
    for epoch in range(1, 101):
        (batch,) = loader.batches(order, len(order), epoch)
        values = batch.images[:, 1].flatten(1)
        assert torch.equal(values.amin(1), values.amax(1))
        told.append(values[:, 0].numpy())
        assert set((5 * told[-1] / stored).round(6)) <= {0.0, 1.0}
    shares = (np.array(told) == 0).mean(axis=0)
    # Four standard deviations of 100 draws.
    assert np.abs(shares - UNTOLD).max() < 4 * (UNTOLD * (1 - UNTOLD) / 100) ** 0.5


@pytest.fixture(scope="module")
def told_model(small_store: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    changes = {"prior": "mean-mask", "prior_use": "channel", "phase_channel": True, "width": 4}
    run = tmp_path_factory.mktemp("runs") / "told"
    return load_model(train(tiny(small_store, run, **changes)))


def test_evaluation_tells_the_phases_of_the_store(
    told_model: TrainedModel, small_store: Path
) -> None:
    _, loader = open_loader(tiny(small_store, phase_channel=True))
    order = loader.frames.indices("TEST")
    _, found = measure(told_model, loader, order, None)
    (batch,) = loader.batches(order, len(order), normalised=False)
    phases = phase_values(EchoStore(small_store).read("index/phase")[loader.frames.rows[order]])
    told, untold = (
        float(told_model.target.loss(told_model.logits(batch.images, values), batch))
        for values in (phases, None)
    )
    assert found == pytest.approx(told, rel=1e-5)
    assert abs(told - untold) > 1e-3 * told


def test_a_checkpoint_keeps_the_channel(told_model: TrainedModel) -> None:
    state = checkpoint(told_model.folder / "best.pt")
    assert state["architecture"]["phase_channel"] is True
    first = next(iter(state["network"].values()))
    # Image, phase and prior.
    assert any(values.ndim == 4 and values.shape[1] == 3 for values in state["network"].values())
    assert first.isfinite().all()


def test_phases_follow_the_volume() -> None:
    volume = np.array([100.0, 80, 60, 40, 70, 110, 90])
    measured = Measurement(
        status="measured",
        ed=np.array([0, 5]),
        es=np.array([3]),
        curves={"smooth_volume": volume},
    )
    # Mean end-diastolic volume 105, end-systolic 40.
    expected = [-1 + 2 * 5 / 65, -1 + 2 * 25 / 65, 1 - 2 * 20 / 65, 1, 1 - 2 * 30 / 65, -1]
    np.testing.assert_allclose(measured.phases()[:6], expected, atol=1e-12)


def test_a_second_pass_is_told_the_phases_of_the_first(
    told_model: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats = Measurement(
        status="measured",
        ed=np.array([0]),
        es=np.array([1]),
        curves={"smooth_volume": np.array([9.0, 3.0, 6.0])},
    )
    passes = []

    def segment(*arguments: Any) -> Any:
        passes.append(arguments[4:])
        return "segmentation"

    monkeypatch.setattr(measurement, "segment_clip", segment)
    monkeypatch.setattr(measurement, "measure_clip", lambda *arguments: beats)
    clip = cast(Clip, Measurement(status=""))
    object.__setattr__(clip, "rate", 50.0)
    object.__setattr__(clip, "spacing", None)
    assert segment_and_measure(told_model, clip) == ("segmentation", beats)
    assert passes[0] == () and len(passes) == 2
    np.testing.assert_allclose(passes[1][0], [-1, 1, 0])
