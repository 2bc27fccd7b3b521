"""The figures of each epoch as TensorBoard events, beside metrics.csv."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from echo_common.errors import SettingsError
from echo_train.runs.run_folder import EpochRow


class Events(Protocol):
    """Takes the figures of each epoch."""

    def epoch(self, row: EpochRow) -> None:
        """Write the figures of one epoch to the disk."""

    def close(self) -> None:
        """Write what is left."""


class NoEvents:
    """Where nobody asked for TensorBoard."""

    def epoch(self, row: EpochRow) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class TensorBoard:
    """Events in a run folder, which ``tensorboard --logdir runs`` shows.

    Parameters
    ----------
    folder : Path
    done : int
        Epochs that were complete before: what is shown of later ones was
        written by a run that was stopped, and is left out.

    Raises
    ------
    SettingsError
        If TensorBoard is not installed.
    """

    def __init__(self, folder: Path, done: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise SettingsError(
                "--tensorboard needs the package tensorboard; install it with: "
                "pip install 'echo-lv-segmentation[tensorboard]'"
            ) from error
        self._writer = SummaryWriter(str(folder), purge_step=done + 1)

    def epoch(self, row: EpochRow) -> None:
        """Write the figures of one epoch to the disk."""
        figures = {
            "loss/train": row.train_loss,
            "loss/val": row.val_loss,
            "dice/train": row.train_dice,
            "dice/val": row.val_dice,
            "images_per_second": row.images_per_second,
        }
        for name, value in figures.items():
            self._writer.add_scalar(name, value, row.epoch)
        self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


def make_events(wanted: bool, folder: Path, done: int) -> Events:
    """Make what the setting ``tensorboard`` asks for."""
    return TensorBoard(folder, done) if wanted else NoEvents()
