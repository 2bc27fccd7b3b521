"""Frames without a store, for tests of what handles them by index."""

from __future__ import annotations

from typing import Any

import numpy as np

from echo_train.data.frame_set import FrameSet


def frame_set(count: int, **columns: Any) -> FrameSet:
    """Frames of 112x112 pixels for training, one of each video, without tracings."""
    given = {
        "rows": np.arange(count),
        "video": np.arange(count).astype(str),
        "number": np.zeros(count, np.int32),
        "phase": np.zeros(count, np.uint8),
        "split": np.zeros(count, np.uint8),
        "shape": (112, 112),
        "long_axis": np.full((count, 2, 2), np.nan, np.float32),
        "contour": np.full((count, 4, 2), np.nan, np.float32),
        "ef": np.full(count, np.nan, np.float32),
    }
    return FrameSet(**{**given, **columns})
