"""Scale frames of any size to the size of a model's input, and predictions back."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from echo_common.geometry import letterbox


class Letterbox(letterbox.Letterbox):
    """Where a frame is in the network's input."""

    def enlarge(self, logits: Tensor) -> Tensor:
        """Scale logits, (frame, channel, y, x), back to the frame's size."""
        rows, columns = self.box
        inner = logits[:, :, rows, columns]
        if self.inner == self.size:
            return inner
        return functional.interpolate(inner, self.size, mode="bilinear", align_corners=False)
