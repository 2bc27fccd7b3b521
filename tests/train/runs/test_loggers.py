"""Loggers: each package holds the metrics, settings and pictures of a run."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from echo_common.errors import SettingsError
from echo_train.runs.loggers import run_identity
from echo_train.training.train import train
from support.training import stopped_before, tiny


def rows_of(folder: Path) -> list[dict[str, float]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def test_tensorboard_has_rate_pictures_and_hyperparameters(
    small_store: Path, tmp_path: Path
) -> None:
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = train(
        tiny(small_store, tmp_path / "run", epochs=2, tensorboard=True, schedule="constant")
    )
    events = accumulators.EventAccumulator(str(folder), size_guidance={"images": 0})
    events.Reload()
    rates = [event.value for event in events.Scalars("learning_rate")]
    assert rates == pytest.approx([0.01, 0.01])
    summary = json.loads((folder / "summary.json").read_text())
    (dice,) = events.Scalars("best/test_dice")
    assert dice.value == pytest.approx(summary["test"]["dice"]["mean"])
    (overlay,) = events.Images("overlay")
    found = cv2.imdecode(np.frombuffer(overlay.encoded_image_string, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(found, cv2.imread(str(folder / "overlay.png")))
    assert "_hparams_/session_start_info" in events.summary_metadata


@pytest.fixture
def mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    module = pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    before = module.get_tracking_uri()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    module.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    yield module
    module.set_tracking_uri(before)


def test_a_resumed_run_is_one_run_of_mlflow(small_store: Path, tmp_path: Path, mlflow: Any) -> None:
    settings = tiny(small_store, tmp_path / "run", epochs=3, mlflow=True)
    with stopped_before(2), pytest.raises(KeyboardInterrupt):
        train(settings)
    folder = train(tiny(small_store, tmp_path / "run", epochs=3, mlflow=True, resume=True))
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("echo-lv-segmentation")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.tags["run"] == run_identity(folder)
    assert run.data.params["width"] == "2"
    history = client.get_metric_history(run.info.run_id, "dice/val")
    assert [metric.step for metric in history] == [1, 2, 3]
    assert [metric.value for metric in history] == pytest.approx(
        [row["val_dice"] for row in rows_of(folder)]
    )
    names = {item.path for item in client.list_artifacts(run.info.run_id)}
    assert names == {"curves.png", "overlay.png"}


def test_weights_and_biases_offline(
    small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = pytest.importorskip("wandb", reason="the extra wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    seen: list[tuple[str, Any]] = []
    init = wandb.init

    def kept(**words: Any) -> Any:
        run = init(**words)
        seen.append((run.id, dict(run.config)))
        log = run.log
        run.log = lambda data, **more: (seen.append(("log", data)), log(data, **more))
        return run

    monkeypatch.setattr(wandb, "init", kept)
    folder = train(tiny(small_store, tmp_path / "run", epochs=2, wandb=True))
    identity, config = seen[0]
    assert identity == run_identity(folder) and config["width"] == 2
    assert [data["loss/val"] for _, data in seen[1:3]] == pytest.approx(
        [row["val_loss"] for row in rows_of(folder)]
    )
    assert set(seen[3][1]) == {"curves", "overlay"}
    assert list(folder.glob(f"wandb/offline-run-*/run-{identity}.wandb"))


@pytest.mark.parametrize(
    ("name", "module"),
    [("tensorboard", "torch.utils.tensorboard"), ("mlflow", "mlflow"), ("wandb", "wandb")],
)
def test_the_message_tells_how_to_install_a_logger(
    small_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SettingsError, match=rf"pip install 'echo-lv-segmentation\[{name}\]'"):
        train(tiny(small_store, tmp_path / "run", **{name: True}))


def test_tensorboard_events_equal_metrics_csv(small_store: Path, tmp_path: Path) -> None:
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = train(tiny(small_store, tmp_path / "run", epochs=2, tensorboard=True))
    events = accumulators.EventAccumulator(str(folder))
    events.Reload()
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for tag, column in (("loss/train", "train_loss"), ("dice/val", "val_dice")):
        scalars = events.Scalars(tag)
        assert [event.step for event in scalars] == [1, 2]
        expected = [float(row[column]) for row in rows]
        assert [event.value for event in scalars] == pytest.approx(expected)
