"""Where the metrics of a run go besides its folder: TensorBoard, MLflow, Weights & Biases.

Each is a package of its own, which is imported when it is asked for.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from matplotlib.image import imread

from echo_common.cli.start import import_extra
from echo_train.runs.run_folder import ATTENTION, CONFIG, CURVES, OVERLAY, EpochRow
from echo_train.runs.settings import RunSettings

PROJECT = "echo-lv-segmentation"
"""Name of the project or experiment that runs are part of."""


class Logger(Protocol):
    """Takes the metrics of a run."""

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Take the metrics of an epoch, by name."""

    def log_end(self, metrics: Mapping[str, float], pictures: Sequence[Path]) -> None:
        """Take the metrics of the best weights, and the pictures of the run."""

    def close(self) -> None:
        """Write what remains."""


@contextlib.contextmanager
def open_loggers(
    settings: RunSettings, table: Mapping[str, Any], folder: Path, done: int
) -> Iterator[list[Logger]]:
    """Open the loggers that the settings ask for, and close them at the end.

    Parameters
    ----------
    settings : RunSettings
        Which loggers.
    table : mapping
        All settings of the run.
    folder : Path
        The run.
    done : int
        Epochs that a resumed run completed before.

    Raises
    ------
    SettingsError
        If a package is not installed.
    """
    kinds: dict[str, Callable[..., Logger]] = {
        "tensorboard": _TensorBoard,
        "mlflow": _MLflow,
        "wandb": _WeightsAndBiases,
    }
    with contextlib.ExitStack() as stack:
        loggers: list[Logger] = []
        for name, kind in kinds.items():
            if getattr(settings, name):
                logger = kind(folder, done, table)
                stack.callback(logger.close)
                loggers.append(logger)
        yield loggers


def metrics_of_epoch(row: EpochRow) -> dict[str, float]:
    """Metrics of an epoch by the names that loggers show."""
    return {
        "loss/train": row.train_loss,
        "loss/val": row.val_loss,
        "dice/train": row.train_dice,
        "dice/val": row.val_dice,
        "learning_rate": row.learning_rate,
        "images_per_second": row.images_per_second,
        "seconds": row.seconds,
    }


def log_end(loggers: Sequence[Logger], folder: Path, summary: Mapping[str, Any]) -> None:
    """Give loggers the metrics and pictures of a finished run."""
    metrics = {
        f"best/{split}_dice": summary[split]["dice"]["mean"]
        for split in ("val", "test")
        if split in summary and summary[split]["dice"]["mean"] is not None
    }
    pictures = [folder / name for name in (CURVES, OVERLAY, ATTENTION)]
    for logger in loggers:
        logger.log_end(metrics, [path for path in pictures if path.is_file()])


class _TensorBoard:
    """Writes events into a run folder; ``tensorboard --logdir runs`` shows them.

    Events of epochs after `done`, written by an interrupted run, are discarded.
    """

    def __init__(self, folder: Path, done: int, settings: Mapping[str, Any]) -> None:
        module = import_extra(
            "--tensorboard", "torch.utils.tensorboard", "tensorboard", "tensorboard"
        )
        self._writer = module.SummaryWriter(str(folder), purge_step=done + 1)
        self._settings = {name: _plain(value) for name, value in settings.items()}
        self._epoch = done

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        self._epoch = epoch
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, epoch)
        self._writer.flush()

    def log_end(self, metrics: Mapping[str, float], pictures: Sequence[Path]) -> None:
        for path in pictures:
            image = imread(path)[..., :3]
            self._writer.add_image(path.stem, image, self._epoch, dataformats="HWC")
        self._writer.add_hparams(self._settings, dict(metrics), run_name=".")

    def close(self) -> None:
        self._writer.close()


class _MLflow:
    """Writes a run to the server or database that MLflow's own variables name.

    A resumed run goes on in the MLflow run that its folder began.
    """

    def __init__(self, folder: Path, done: int, settings: Mapping[str, Any]) -> None:
        self._module = import_extra("--mlflow", "mlflow", "mlflow")
        experiment = self._module.set_experiment(PROJECT).experiment_id
        identity = run_identity(folder)
        found = (
            self._module.MlflowClient().search_runs([experiment], f"tags.run = '{identity}'")
            if done
            else []
        )
        self._module.start_run(
            run_id=found[0].info.run_id if found else None,
            run_name=folder.name,
            tags={"run": identity, "folder": str(folder)},
        )
        if not found:
            self._module.log_params(settings)

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        self._module.log_metrics(dict(metrics), step=epoch)

    def log_end(self, metrics: Mapping[str, float], pictures: Sequence[Path]) -> None:
        self._module.log_metrics(dict(metrics))
        for path in pictures:
            self._module.log_artifact(str(path))

    def close(self) -> None:
        self._module.end_run()


class _WeightsAndBiases:
    """Writes a run as W&B's own variables say; ``WANDB_MODE=offline`` keeps it on this machine."""

    def __init__(self, folder: Path, done: int, settings: Mapping[str, Any]) -> None:
        self._module = import_extra("--wandb", "wandb", "wandb")
        self._run = self._module.init(
            project=PROJECT,
            name=folder.name,
            id=run_identity(folder),
            resume="allow",
            config=dict(settings),
            dir=str(folder),
        )

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        self._run.log(dict(metrics), step=epoch)

    def log_end(self, metrics: Mapping[str, float], pictures: Sequence[Path]) -> None:
        self._run.summary.update(dict(metrics))
        self._run.log({path.stem: self._module.Image(str(path)) for path in pictures})

    def close(self) -> None:
        self._run.finish()


def run_identity(folder: Path) -> str:
    """Name a run by its settings and its date, which config.toml has, wherever it is moved."""
    return hashlib.sha256((folder / CONFIG).read_bytes()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    return ",".join(map(str, value)) if isinstance(value, list) else value
