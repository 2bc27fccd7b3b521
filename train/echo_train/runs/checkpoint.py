"""Checkpoints of a run: written in one step, read without executing anything."""

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
    """Write a checkpoint in one step; the one before stays until the new one is complete."""
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    atomic.write_bytes(path, buffer.getvalue())


def load_checkpoint(path: Path, device: torch.device) -> dict[str, Any]:
    """Read a checkpoint; nothing in it is executed.

    Raises
    ------
    RunError
        If there is none, or it is not one that this version wrote.
    """
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError as error:
        raise RunError(f"no checkpoint {path}") from error
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as error:
        reason = str(error).strip().split("\n")[0]
        raise RunError(f"{path} is damaged, or is not a checkpoint: {reason}") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise RunError(f"{path} is not a checkpoint of this version ({FORMAT})")
    return state
