"""Checkpoint files: written in one step, loaded without executing code, and checked.

Training saves them; evaluation and prediction load them.
"""

from __future__ import annotations

import dataclasses
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from echo_common.errors import RunError
from echo_common.regular_file import open_regular
from echo_train.runs.run_folder import CONFIG, METRICS, epoch_rows, read_metrics, reason_of
from echo_train.runs.settings import LOGGERS

FORMAT = "echo-run/1"

MAY_DIFFER = ("device", "compile", "patience", *LOGGERS, "run", "resume")
"""Settings that a resumed run may change, since they do not affect the result of an epoch."""

UNSAVED = (*MAY_DIFFER, "store")
"""Settings that a checkpoint does not contain; its data are known by their keys, not by a path."""

LARGEST_SIDE = 1 << 14
"""Pixels along a side of the frames of any run."""

DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What is raised where a part of a checkpoint is not what its place takes."""


def checkpoint_bytes(state: Mapping[str, Any]) -> bytes:
    """Serialise a checkpoint."""
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    return buffer.getvalue()


def host_copy(value: Any) -> Any:
    """Copy the tensors of nested dictionaries and sequences to the CPU, as they are now."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {name: host_copy(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(host_copy(item) for item in value)
    return value


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Load a checkpoint to the CPU, without executing any code in it.

    Its tensors in float64 cannot be on every device, and a copy of the optimiser's
    state would take memory of the device.

    Returns
    -------
    state : dict
        As training saves it: ``history`` and ``best`` are metrics of epochs, ``shape`` is
        (height, width), ``store`` maps text to text, ``network`` and ``target`` map names to
        tensors, and no floating-point tensor of a model or of its optimiser has a value that is not
        finite. Without a complete epoch, ``history`` is empty and ``unfinished`` is there.

    Raises
    ------
    RunError
        If it is missing, damaged, or not a checkpoint of this format.
    """
    try:
        with open_regular(path) as file:
            state = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise RunError(f"there is no checkpoint {path}") from error
    except Exception as error:
        # The reader of a damaged file raises whatever its bytes lead it to.
        raise _damaged(path, error) from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise RunError(f"{path} is not a checkpoint of the format {FORMAT}")
    try:
        _check(state)
        name = find_not_finite(state)
    except DAMAGE as error:
        raise _damaged(path, error) from error
    if name is not None:
        raise RunError(
            f"{path} holds values that are not numbers ({name}), so it predicts nothing; give "
            "another --checkpoint, or train again with a lower --learning-rate"
        )
    return state


def describe_changes(
    before: Mapping[str, Any], now: Mapping[str, Any], ignored: Iterable[str]
) -> str:
    """Name the settings of two tables that differ; "" if none do."""
    names = {*before, *now}.difference(ignored)
    return "; ".join(
        f"{name} was {before.get(name, 'not set')} and is {now.get(name, 'not set')}"
        for name in sorted(names)
        if before.get(name) != now.get(name)
    )


def is_same_run(history: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> bool:
    """Whether two records of epochs agree as far as both go; times may be measured again."""
    return all(
        str(row[name]) == str(again[name])
        for row, again in zip(history, other, strict=False)
        for name in ("train_loss", "val_loss", "val_dice")
    )


def check_settings(trained: Mapping[str, Any], settings: Mapping[str, Any], path: Path) -> None:
    """Raise a `RunError` if config.toml has other settings than a checkpoint was trained with.

    A later version that resumed the run may have had further settings.
    """
    trained = {name: value for name, value in trained.items() if name in settings}
    if changes := describe_changes(trained, settings, [*UNSAVED, "epochs", "steps"]):
        raise RunError(
            f"{path} was trained with other settings than {CONFIG} next to it says: {changes}; "
            "restore both from a copy of the run, or train again"
        )


def check_epochs(state: Mapping[str, Any], path: Path) -> None:
    """Raise a `RunError` if a checkpoint is not of the run whose epochs metrics.csv lists."""
    try:
        rows = read_metrics(path.parent)
    except RunError:
        # A model is used without it.
        return
    if not is_same_run(state["history"], [dataclasses.asdict(row) for row in rows]):
        raise RunError(
            f"{path} is of another run than {METRICS} next to it; restore both from a copy of the "
            "run, or train again"
        )


def _damaged(path: Path, error: Exception) -> RunError:
    other = "last" if path.stem == "best" else "best"
    return RunError(
        f"{path} is damaged or not a checkpoint: {reason_of(error)}; restore it from a copy, use "
        f"--checkpoint {other}, or train again"
    )


def check_model(state: Mapping[str, Any]) -> None:
    """Check the parts of a checkpoint that a model is made from.

    Raises
    ------
    LookupError, TypeError, ValueError
        If one is missing, or is not what its place takes.
    """
    for name in ("network", "target"):
        values = state[name]
        if not isinstance(values, dict) or not all(
            isinstance(key, str) and isinstance(value, Tensor) for key, value in values.items()
        ):
            raise ValueError(f"{name} does not consist of tensors")
    shape = state["shape"]
    if len(shape) != 2 or not all(
        isinstance(side, int) and 0 < side <= LARGEST_SIDE for side in shape
    ):
        raise ValueError(f"shape is {str(shape)[:40]}, not the size of a frame")
    store = state["store"]
    if not isinstance(store, dict) or not all(
        isinstance(text, str) for text in (*store, *store.values())
    ):
        raise ValueError("store does not consist of texts")


def _check(state: dict[str, Any]) -> None:
    check_model(state)
    if state["history"] != [] or not state.get("unfinished"):
        epoch_rows(state["history"])
    if not isinstance(state.get("settings", {}), dict):
        raise ValueError("settings is no table")
    if state["best"] is not None:
        epoch = state["best"]["epoch"]
        if not isinstance(epoch, int) or not 0 < epoch <= len(state["history"]):
            raise ValueError("best is none of the epochs")


def find_not_finite(value: Any, name: str = "") -> str | None:
    """Name of a tensor or number that is not finite; metrics and missed landmarks may be NaN."""
    if isinstance(value, dict | list | tuple):
        items = value.items() if isinstance(value, dict) else ((name, item) for item in value)
        found = (
            find_not_finite(item, str(key))
            for key, item in items
            if key not in ("history", "best", "unfinished")
        )
        return next((name for name in found if name is not None), None)
    if isinstance(value, Tensor):
        finite = not value.is_floating_point() or bool(torch.isfinite(value).all())
    else:
        finite = not isinstance(value, float) or math.isfinite(value)
    return None if finite else name
