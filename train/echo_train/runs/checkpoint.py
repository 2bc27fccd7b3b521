"""Checkpoint files: replaced atomically, and loaded without executing code.

Training saves them; evaluation and prediction load them.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from echo_common import atomic
from echo_common.errors import RunError

FORMAT = "echo-run/1"


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint atomically: the previous one stays until the new one is complete."""
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    atomic.write_bytes(path, buffer.getvalue())


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Load a checkpoint to the CPU, without executing any code in it.

    Its tensors in float64 cannot be on every device, and a copy of the optimiser's
    state would take memory of the device.

    Raises
    ------
    RunError
        If it is missing, damaged, or not a checkpoint of this format.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise RunError(f"there is no checkpoint {path}") from error
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as error:
        reason = str(error).strip().split("\n")[0]
        raise RunError(f"{path} is damaged or not a checkpoint: {reason}") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise RunError(f"{path} is not a checkpoint of the format {FORMAT}")
    return state
