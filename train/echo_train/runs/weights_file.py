"""Weights of a run in one small file, to pass on: float16 in safetensors, with all to use them.

`load_model` of `echo_train.evaluation.trained_model` reads such a file as it reads a run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save

from echo_common.errors import RunError
from echo_common.outputs import check_replaceable, has_mark, refuse_inputs, replace_file
from echo_common.regular_file import open_regular
from echo_train.runs.checkpoint import (
    DAMAGE,
    UNSAVED,
    check_model,
    find_not_finite,
    load_checkpoint,
)
from echo_train.runs.run_folder import BEST, CONFIG, SUMMARY, read_config, reason_of, run_inputs
from echo_train.runs.settings import POSTPROCESSING
from echo_train.runs.summary import is_number, read_summary

FORMAT = "echo-weights/1"
"""Name of the only entry of the file's metadata: a text in JSON."""

SUFFIX = ".safetensors"

SHIPPED = ("synthetic-landmarks", "synthetic-mask")
"""Names of the weights that are part of this software; the first predicts if no run is given."""

_PARTS = ("network", "target")
"""Groups of tensors; the name of a tensor in the file begins with that of its group."""

_FROM_CHECKPOINT = ("architecture", "shape", "store", "content", "fingerprint")


def weights_path(model: Path) -> Path | None:
    """The weights file that a path to a model means; None if it means a run folder.

    A name of `SHIPPED` means its file, unless there is something of that name.
    """
    if str(model) in SHIPPED and not os.path.lexists(model):
        return Path(__file__).parents[1] / "weights" / f"{model}{SUFFIX}"
    return model if model.suffix == SUFFIX and not model.is_dir() else None


def is_model(path: Path) -> bool:
    """Whether an argument of a command is a run folder, a weights file or a name of `SHIPPED`."""
    return os.path.lexists(path / CONFIG) or weights_path(path) is not None


def model_inputs(model: Path) -> list[Path]:
    """List what a command may read of a model: its weights file, or the files of its run.

    Raises
    ------
    RunError
        If a folder contains no run.
    """
    path = weights_path(model)
    return run_inputs(model) if path is None else [path]


def results_folder(model: Path) -> Path:
    """Where results of a model are put by default: in its run, or where the command is called."""
    return model if weights_path(model) is None else Path()


def write_weights(run: Path, path: Path, note: str = "", force: bool = False) -> None:
    """Write the best weights of a finished run to a file; filters are rounded to float16.

    The file holds no date, so that the same training gives the same bytes.

    Parameters
    ----------
    path : Path
        Its suffix is that of safetensors.
    note : str
        What a user of the weights has to know; `echo-predict` says it and writes it down.
    force : bool
        Replace a file that is not of this kind.

    Raises
    ------
    RunError
        If the run is not finished or cannot be read, or a weight exceeds the range of float16.
    OutputError
        If the path is a file of the run, or a file that may not be replaced.
    """
    if path.suffix != SUFFIX:
        raise RunError(f"{path} is no name for weights; give one that ends with {SUFFIX}")
    refuse_inputs(path, run_inputs(run))
    mark = FORMAT.encode()
    check_replaceable(path, force=force, is_own=lambda file: has_mark(file, mark))
    state, summary = load_checkpoint(run / BEST), read_summary(run)
    # Version 0.1.0 saved no settings in a checkpoint.
    settings = state.get("settings") or read_config(run)
    facts = {
        "note": note,
        "best": {"epoch": state["best"]["epoch"]},
        "measured": {
            "training_area": summary.get("training_area"),
            "postprocess": summary.get("postprocess", {}).get("chosen", "none"),
            "exponent": summary.get("val", {}).get("ef", {}).get("exponent"),
            "dice": {
                split: summary[split]["dice"]["mean"]
                for split in ("val", "test")
                if split in summary
            },
        },
        "versions": summary.get("provenance", {}).get("versions", {}),
        "settings": {key: value for key, value in settings.items() if key not in UNSAVED},
        **{name: state[name] for name in _FROM_CHECKPOINT if name in state},
    }
    # Scales, offsets and statistics have one dimension; they are few and may be large.
    tensors = {
        f"{part}.{name}": (
            values.half() if part == "network" and values.ndim > 1 else values
        ).contiguous()
        for part in _PARTS
        for name, values in state[part].items()
    }
    if name := find_not_finite(tensors):
        raise RunError(f"{run / BEST} has weights that exceed the range of float16: {name}")
    replace_file(path, save(tensors, {FORMAT: json.dumps(facts)}), mark=mark, force=force)


def read_weights(path: Path) -> dict[str, Any]:
    """Read a weights file to the CPU; nothing in it is executed.

    Returns
    -------
    state : dict
        What a checkpoint has of a model, its weights in float32; and ``note``,
        ``measured``, and ``settings`` as config.toml has them.

    Raises
    ------
    RunError
        If it is missing, damaged, or of another format.
    """
    try:
        # The library maps the file into memory, and would wait for a pipe.
        open_regular(path).close()
        with safe_open(path, "pt") as file:
            text = (file.metadata() or {}).get(FORMAT)
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise RunError(f"there is no weights file {path}") from error
    except Exception as error:
        raise _damaged(path, error) from error
    if text is None:
        raise RunError(
            f"{path} is not a weights file of the format {FORMAT}; give one that this software "
            "wrote, or a run folder"
        )
    try:
        state = {**json.loads(text, parse_constant=_refuse), **{part: {} for part in _PARTS}}
        for name, values in tensors.items():
            part, _, rest = name.partition(".")
            in_half = part == "network" and values.dtype == torch.float16
            state[part][rest] = values.float() if in_half else values
        _check(state)
        not_finite = find_not_finite({part: state[part] for part in _PARTS})
    except (*DAMAGE, RecursionError) as error:
        raise _damaged(path, error) from error
    if not_finite is not None:
        raise _damaged(path, ValueError(f"it holds values that are not numbers ({not_finite})"))
    return state


def _damaged(path: Path, error: BaseException) -> RunError:
    return RunError(
        f"{path} is damaged or not a weights file: {reason_of(error)}; restore it from a copy"
    )


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no value of a weights file")


def _check(state: Mapping[str, Any]) -> None:
    check_model(state)
    for name, kind in (("note", str), ("settings", dict), ("measured", dict)):
        if not isinstance(state[name], kind):
            raise ValueError(f"{name} is no {kind.__name__}")
    if not state["note"].isprintable():
        raise ValueError("note is not a line of text")
    if not isinstance(state["best"]["epoch"], int):
        raise ValueError("epoch is no number")
    area, exponent = (state["measured"].get(name) for name in ("training_area", "exponent"))
    known = exponent is None or is_number(exponent)
    if area is not None:
        known = known and len(area) == 2 and all(map(is_number, area))
    known = known and state["measured"].get("postprocess", "none") in POSTPROCESSING
    if not known:
        raise ValueError(f"the values of {SUMMARY} that it holds are none of a run")
