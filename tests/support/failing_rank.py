"""`echo-train` as one of several processes, which fails in its second epoch.

The variable FAILURE is `error` or `defect` in the second process, or `interrupt`, which is Ctrl-C:
the launcher alone gets it, since its processes are in sessions of their own.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from echo_common.errors import RunError
from echo_train.commands.train import main
from echo_train.training.trainer import Trainer

train_epoch = Trainer.train_epoch


def fail(self: Trainer, epoch: int, progress: Any) -> Any:
    """Train an epoch; from the second on, fail."""
    failure = os.environ["FAILURE"]
    if epoch == 2 and failure == "interrupt":
        if self.process.is_first:
            os.kill(os.getppid(), signal.SIGINT)
        time.sleep(60)
    if epoch == 2 and self.process.rank == 1:
        # The launcher ends the first process at once, which may still save the first epoch.
        last = Path(str(self.settings.folder.run)) / "last.pt"
        while not last.exists():
            time.sleep(0.1)
        raise RunError("it cannot go on") if failure == "error" else ValueError("it is a defect")
    return train_epoch(self, epoch, progress)


if __name__ == "__main__":
    Trainer.train_epoch = fail  # type: ignore[method-assign]
    main()
