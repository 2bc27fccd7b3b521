"""The progress of a run: a bar on a terminal; in a log a line per epoch, and every few seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Self

from tqdm import tqdm

from echo_train.runs.run_folder import EpochRow

LINE_SECONDS = 10.0
"""Between two lines within an epoch, in a log."""


class ProgressBar:
    """Shows the images trained on and the metrics of each epoch.

    Parameters
    ----------
    total : int
        Training images of all epochs together.
    done : int
        Images that a resumed run has trained on before.
    quiet : bool
        Show nothing; for callers of the library.
    clock : callable
        Returns the time in seconds.
    """

    def __init__(
        self,
        total: int,
        done: int,
        epochs: int,
        quiet: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._epochs = epochs
        self._quiet = quiet
        self._metrics: dict[str, str] = {}
        self._clock = clock
        self._total, self._done = total, done
        self._before = (clock(), done)
        visible = not quiet and sys.stderr.isatty()
        self._bar = tqdm(
            total=total, initial=done, unit="img", disable=not visible, leave=False, file=sys.stderr
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def advance(self, images: int, loss: float | None = None) -> None:
        """Count images as trained on, and show a recent loss if there is one."""
        if loss is not None:
            self._metrics["loss"] = f"{loss:.4f}"
            self._bar.set_postfix(self._metrics, refresh=False)
        self._bar.update(images)
        self._done += images
        seconds = self._clock() - self._before[0]
        if self._bar.disable and not self._quiet and seconds >= LINE_SECONDS:
            self._write_line((self._done - self._before[1]) / seconds)

    def _write_line(self, rate: float) -> None:
        """Say how far the run is; `rate` is that of training, in images per second."""
        self._before = (self._clock(), self._done)
        per_epoch = self._total / self._epochs
        # The last image of an epoch is 100 % of it, not 0 % of the next.
        epoch = (self._done - 1) // per_epoch
        loss = f"loss {self._metrics['loss']}, " if "loss" in self._metrics else ""
        left = timedelta(seconds=round((self._total - self._done) / rate))
        percent = 100 * (self._done / per_epoch - epoch)
        line = (
            f"epoch {int(epoch) + 1}/{self._epochs}, {percent:.0f} %: {loss}"
            f"{rate:.0f} images/s, {left} left"
        )
        print(line, file=sys.stderr, flush=True)

    def show_epoch(self, row: EpochRow) -> None:
        """Show the metrics of a complete epoch."""
        if self._quiet:
            return
        # Validation is no part of the rate of the next line.
        self._before = (self._clock(), self._done)
        line = (
            f"epoch {row.epoch}/{self._epochs}: loss {row.train_loss:.4f}, Dice "
            f"{row.train_dice:.4f}; validation loss {row.val_loss:.4f}, Dice {row.val_dice:.4f}; "
            f"{row.images_per_second:.0f} images/s"
        )
        self._bar.set_description(f"epoch {row.epoch}/{self._epochs}")
        self._metrics = {"loss": f"{row.train_loss:.4f}", "Dice": f"{row.val_dice:.4f}"}
        self._bar.set_postfix(self._metrics)
        # In one piece with the end of the line, which tqdm would write on its own: a message of
        # another process of the run could come between.
        tqdm.write(f"{line}\n", file=sys.stderr, end="")
