"""What a person sees while a run trains: a bar on a terminal, a line an epoch in a log."""

from __future__ import annotations

import sys
from types import TracebackType

from tqdm import tqdm

from echo_train.runs.run_folder import EpochRow


class Live:
    """Reports images as they are trained on, and each epoch's figures.

    Parameters
    ----------
    total : int
        Images that the whole run will train on.
    done : int
        Images that were trained on before, in a run that goes on.
    epochs : int
    quiet : bool
        Say nothing; for callers of the library.
    """

    def __init__(self, total: int, done: int, epochs: int, quiet: bool = False) -> None:
        self._epochs = epochs
        self._quiet = quiet
        self._figures: dict[str, str] = {}
        shown = not quiet and sys.stderr.isatty()
        self._bar = tqdm(
            total=total, initial=done, unit="img", disable=not shown, leave=False, file=sys.stderr
        )

    def __enter__(self) -> Live:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()

    def images(self, count: int, loss: float | None = None) -> None:
        """Count images as done, and show their loss where it is known."""
        if loss is not None:
            self._figures["loss"] = f"{loss:.4f}"
            self._bar.set_postfix(self._figures, refresh=False)
        self._bar.update(count)

    def epoch(self, row: EpochRow) -> None:
        """Show the figures of an epoch."""
        if self._quiet:
            return
        line = (
            f"epoch {row.epoch}/{self._epochs}: loss {row.train_loss:.4f}, Dice "
            f"{row.train_dice:.4f}; validation loss {row.val_loss:.4f}, Dice {row.val_dice:.4f}; "
            f"{row.images_per_second:.0f} images/s"
        )
        self._bar.set_description(f"epoch {row.epoch}/{self._epochs}")
        self._figures = {"loss": f"{row.train_loss:.4f}", "Dice": f"{row.val_dice:.4f}"}
        self._bar.set_postfix(self._figures)
        tqdm.write(line, file=sys.stderr)
