"""summary.json of a run or an evaluation: its text, and the check of one that is read."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from echo_common.errors import RunError
from echo_common.regular_file import read_regular
from echo_train.runs.run_folder import CONFIG, LARGEST, SUMMARY, reason_of
from echo_train.runs.settings import POSTPROCESSING

SPLITS = {"test": "Test", "val": "Validation", "all": "All frames", "train": "Training"}
"""Titles of the splits of summary.json; the first split that was measured represents a run."""

_METRICS = ("dice", "hd95", "pixel_accuracy", "shape")
"""What every version has measured on a split."""

_OTHER_METRICS = ("iou", "surface_distance", "area_error", "area_bias", "ceiling")
_LANDMARK_METRICS = ("mean_radial_error", *(f"success_{limit}px" for limit in (1, 2, 3, 4)))
_AGREEMENTS = ("ef", "fac", "edv", "esv", "ed_length", "es_length")

FLOORS = {"mean_mask": "mean training mask", "black": "all-black mask"}
"""Names of the predictions that do not look at the image, under `floor` of a split."""

_DAMAGE = (AttributeError, LookupError, RecursionError, TypeError, ValueError)

_COUNTS = ("frames", "missed_frames", "missed_landmarks")


def summary_json(summary: Mapping[str, Any]) -> str:
    """Format summary.json; a number that is not finite is null."""
    return json.dumps(_finite(summary), indent=2, allow_nan=False) + "\n"


def read_summary(folder: Path) -> dict[str, Any]:
    """Read the summary.json of a finished run or of an evaluation.

    Raises
    ------
    RunError
        If the folder contains no finished run, or the file is not one that a run wrote.
    """
    path = folder / SUMMARY
    try:
        summary = json.loads(read_regular(path), parse_constant=_refuse)
        _check_summary(summary)
    except (FileNotFoundError, NotADirectoryError) as error:
        begun = (folder / CONFIG).is_file()
        remedy = f"finish it with echo-train --resume --run {folder}" if begun else "check the path"
        raise RunError(
            f"{folder} contains no finished run: {SUMMARY} is missing; {remedy}"
        ) from error
    except _LackError as error:
        raise RunError(
            f"{path} lacks metrics that this version writes ({error}); measure the run again with: "
            f"echo-eval {folder}"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        remedy = (
            f"measure the run again with: echo-eval {folder}"
            if (folder / CONFIG).is_file()
            else "make it again with echo-eval"
        )
        raise RunError(f"{path} cannot be read: {reason_of(error)}; {remedy}") from error
    return dict(summary)


def read_postprocess(folder: Path) -> str:
    """Read which post-processing of masks a run chose when it was measured.

    It is ``none`` for runs of earlier versions, and before the end.

    Raises
    ------
    RunError
        If summary.json is damaged.
    """
    path = folder / SUMMARY
    try:
        chosen = json.loads(read_regular(path)).get("postprocess", {"chosen": "none"})["chosen"]
        _check(chosen in POSTPROCESSING, "postprocess.chosen", f"one of {POSTPROCESSING}")
    except FileNotFoundError:
        return "none"
    except (*_DAMAGE, OSError) as error:
        raise RunError(
            f"{path} cannot be read, which has the post-processing of masks: {reason_of(error)}; "
            "restore it from a copy, or give --postprocess none"
        ) from error
    return str(chosen)


def look_up(summary: Mapping[str, Any], path: str) -> Any:
    """Value of a summary at a path, such as ``test.dice.mean``; None if there is none."""
    value: Any = summary
    for key in path.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class _LackError(ValueError):
    """Something that a summary needs is not in it."""


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no value of a summary")


def _check_summary(summary: Any) -> None:
    _check(isinstance(summary, dict), "the file", "a table")
    for name in ("choice", "settings", "seconds"):
        if name not in summary:
            raise _LackError(name)
    _check(isinstance(summary["choice"], str), "choice", "a text")
    _check(isinstance(summary["settings"], dict), "settings", "a table")
    _check(is_number(summary["seconds"]), "seconds", "a number")
    area = summary.get("training_area")
    known = area is None or (_are_numbers(area, 2) and None not in area)
    _check(known, "training_area", "two numbers")
    for split in SPLITS:
        if split in summary:
            _check_split(summary[split], split)


def _check_split(metrics: Any, where: str) -> None:
    _check(isinstance(metrics, dict), where, "a table")
    lacking = [name for name in (*_METRICS, "missed_frames") if name not in metrics]
    if lacking:
        raise _LackError(f"{where}.{lacking[0]}")
    for name, value in metrics.items():
        if name == "shape":
            _check(isinstance(value, dict) and "implausible" in value, f"{where}.shape", "a table")
            for flaw, share in value.items():
                _check_metric(share, f"{where}.shape.{flaw}")
        elif name in (*_METRICS, *_OTHER_METRICS, *_LANDMARK_METRICS):
            _check_metric(value, f"{where}.{name}")
        elif name in _AGREEMENTS:
            _check_numbers(value, f"{where}.{name}", "mae", "bias", "sd", "n", "exponent")
        elif name in _COUNTS:
            _check(is_number(value), f"{where}.{name}", "a number")
    dice = metrics["dice"]
    if "pooled" not in dice:
        raise _LackError(f"{where}.dice.pooled")
    _check_numbers(dice, f"{where}.dice", "pooled")
    _check(_are_numbers(dice.get("pooled_ci95"), 2), f"{where}.dice.pooled_ci95", "two numbers")
    floor = metrics.get("floor", {})
    _check(isinstance(floor, dict), f"{where}.floor", "a table")
    for name in FLOORS.keys() & floor.keys():
        _check_floor(floor[name], f"{where}.floor.{name}")
    implausible = metrics["shape"]["implausible"]["mean"]
    _check(implausible is not None, f"{where}.shape.implausible.mean", "a number")


def _check_floor(metrics: Any, where: str) -> None:
    _check(isinstance(metrics, dict), where, "a table")
    for name in ("dice", "hd95", "pixel_accuracy"):
        _check_metric(metrics.get(name), f"{where}.{name}")
    if "mean_radial_error" in metrics:
        _check_metric(metrics["mean_radial_error"], f"{where}.mean_radial_error")
    pooled = metrics["dice"].get("pooled", "")
    _check(pooled is None or is_number(pooled), f"{where}.dice.pooled", "a number")
    _check(is_number(metrics.get("missed_frames")), f"{where}.missed_frames", "a number")


def _check_metric(metric: Any, where: str) -> None:
    _check(isinstance(metric, dict), where, "a table")
    for name in ("mean", "ci95", "ed", "es"):
        if name not in metric:
            raise _LackError(f"{where}.{name}")
    _check_numbers(metric, where, "mean", "ed", "es")
    _check(_are_numbers(metric["ci95"], 2), f"{where}.ci95", "two numbers")


def _check_numbers(table: Any, where: str, *names: str) -> None:
    _check(isinstance(table, dict), where, "a table")
    for name in names:
        number = table.get(name)
        _check(number is None or is_number(number), f"{where}.{name}", "a number")


def _check(condition: bool, where: str, expected: str) -> None:
    if not condition:
        raise ValueError(f"{where} is not {expected}")


def is_number(value: Any) -> bool:
    """Whether a value of a summary is a number that a run writes."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST


def _are_numbers(value: Any, count: int) -> bool:
    """Whether a value is a list of this many numbers, each of which may be missing."""
    return (
        isinstance(value, list)
        and len(value) == count
        and all(item is None or is_number(item) for item in value)
    )
