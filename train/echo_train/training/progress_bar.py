"""The progress of a run: a bar on a terminal, one line per epoch in a log."""

from __future__ import annotations

import sys
from types import TracebackType

from tqdm import tqdm

from echo_train.runs.run_folder import EpochRow


class ProgressBar:
    """Shows the images trained on and the metrics of each epoch.

    Parameters
    ----------
    total : int
        Training images of all epochs together.
    done : int
        Images that a resumed run has trained on before.
    epochs : int
    quiet : bool
        Show nothing; for callers of the library.
    """

    def __init__(self, total: int, done: int, epochs: int, quiet: bool = False) -> None:
        self._epochs = epochs
        self._quiet = quiet
        self._metrics: dict[str, str] = {}
        visible = not quiet and sys.stderr.isatty()
        self._bar = tqdm(
            total=total, initial=done, unit="img", disable=not visible, leave=False, file=sys.stderr
        )

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()

    def advance(self, images: int, loss: float | None = None) -> None:
        """Count images as trained on, and show a recent loss if there is one."""
        if loss is not None:
            self._metrics["loss"] = f"{loss:.4f}"
            self._bar.set_postfix(self._metrics, refresh=False)
        self._bar.update(images)

    def show_epoch(self, row: EpochRow) -> None:
        """Show the metrics of a complete epoch."""
        if self._quiet:
            return
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
