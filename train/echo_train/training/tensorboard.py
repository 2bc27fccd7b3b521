"""TensorBoard events with the metrics of each epoch, for `--tensorboard`."""

from __future__ import annotations

from pathlib import Path

from echo_common.errors import SettingsError
from echo_train.runs.run_folder import EpochRow


class TensorBoard:
    """Writes events into a run folder; ``tensorboard --logdir runs`` shows them.

    Parameters
    ----------
    folder : Path
    done : int
        Epochs completed before. Events of later epochs, written by an
        interrupted run, are discarded.

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

    def write(self, row: EpochRow) -> None:
        """Write the metrics of an epoch."""
        metrics = {
            "loss/train": row.train_loss,
            "loss/val": row.val_loss,
            "dice/train": row.train_dice,
            "dice/val": row.val_dice,
            "images_per_second": row.images_per_second,
        }
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, row.epoch)
        self._writer.flush()

    def close(self) -> None:
        """Write remaining events and close the file."""
        self._writer.close()
