"""Values of frames, kept on the device until all batches are done, and joined over processes."""

from __future__ import annotations

from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat


class FrameValues(Metric):
    """Tensors with a row for each frame, by name.

    `update` does not wait for the device; torchmetrics joins the rows of all processes.

    Parameters
    ----------
    names : str
        Of the tensors, in addition to `index`, (frame,) int64, which tells the frames.
    """

    full_state_update = False

    def __init__(self, *names: str) -> None:
        super().__init__()
        self._names = ("index", *names)
        for name in self._names:
            self.add_state(name, default=[], dist_reduce_fx="cat")

    def update(self, **values: Tensor) -> None:
        """Add the rows of some frames."""
        for name in self._names:
            getattr(self, name).append(values[name])

    def compute(self) -> dict[str, Tensor]:
        """Return the rows of all frames so far."""
        return {name: dim_zero_cat(getattr(self, name)) for name in self._names}

    def rows(self) -> dict[str, Tensor]:
        """Return what `compute` does, also of a single frame: torchmetrics makes it a scalar."""
        found = self.compute()
        return {**found, "index": found["index"].reshape(-1)}
