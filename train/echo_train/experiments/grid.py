"""Grids of experiments: the axes of ``--grid``, and the settings of each run by its name."""

from __future__ import annotations

import dataclasses
import itertools
import math
import re
from collections.abc import Sequence
from typing import Any

import click

from echo_common.cli.settings import did_you_mean, option_name, replace, settings_of
from echo_common.cli.values import from_plain
from echo_common.errors import SettingsError
from echo_train.runs.run_names import distinct_names, run_name
from echo_train.training.settings import TrainSettings

_RANGE = re.compile(r"(-?\d+)\.\.(-?\d+)")
_NO_AXES = ("run", "resume")
"""Settings of one call, which no run of a grid has on its own."""

LARGEST_GRID = 10_000
"""Runs of a grid; more are a mistake."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Axis:
    """A setting and the values that the runs of a grid have for it.

    Attributes
    ----------
    field : str
        Name of the setting in its dataclass.
    option : str
        Name of its option, which names of runs contain.
    values : tuple
    is_range : bool
        Whether the values are the ends of a range to search, rather than all values.
    """

    field: str
    option: str
    values: tuple[Any, ...]
    is_range: bool = False


def parse_axis(text: str) -> Axis:
    """Read an axis such as ``loss=bce,lovasz`` or ``seed=0..4``, which includes 4.

    Raises
    ------
    SettingsError
        If it is not of this form, or there is no such setting or value.
    """
    name, sign, right = text.partition("=")
    key = name.strip().replace("-", "_")
    declared = {item.field.name: item for item in settings_of(TrainSettings)}
    if not sign:
        raise SettingsError(f"--grid {text!r} is not of the form loss=bce,lovasz or seed=0..4")
    if key not in declared or key in _NO_AXES:
        options = {option_name(item.field) for item in declared.values()} - set(_NO_AXES)
        raise SettingsError(
            f"--grid {text!r}: there is no setting {name.strip()!r} to vary"
            f"{did_you_mean(name.strip(), options)}"
        )
    field, hint, _ = declared[key]
    parts = [part.strip() for part in right.split(",")]
    words = [word for part in parts for word in _expand(part, text)]
    try:
        values = [from_plain(field, hint, word) for word in words]
    except click.UsageError as error:
        raise SettingsError(f"--grid {text!r}: {error.format_message()}") from error
    if len({str(value) for value in values}) < len(values):
        raise SettingsError(f"--grid {text!r} has a value twice")
    return Axis(field=field.name, option=option_name(field), values=tuple(values))


def grid_runs(base: TrainSettings, axes: Sequence[Axis]) -> dict[str, TrainSettings]:
    """Settings of each combination of the axes by its name; the last axis is the inner loop.

    Raises
    ------
    SettingsError
        If two axes vary the same setting, or there are more than `LARGEST_GRID` runs.
    """
    fields = [axis.field for axis in axes]
    twice = sorted({axis.option for axis in axes if fields.count(axis.field) > 1})
    if twice:
        raise SettingsError(f"{' and '.join(twice)} is an axis of the grid twice")
    count = math.prod(len(axis.values) for axis in axes)
    if count > LARGEST_GRID:
        raise SettingsError(f"the grid has {count} runs, and at most {LARGEST_GRID} are allowed")
    combinations = list(itertools.product(*(axis.values for axis in axes)))
    options = [axis.option for axis in axes]
    names = [run_name(dict(zip(options, values, strict=True))) for values in combinations]
    return {
        name: replace(base, **dict(zip(fields, values, strict=True)))
        for name, values in zip(distinct_names(names), combinations, strict=True)
    }


def _expand(part: str, text: str) -> list[str]:
    found = _RANGE.fullmatch(part)
    if not found:
        return [part]
    first, last = int(found[1]), int(found[2])
    if not 0 <= last - first < LARGEST_GRID:
        raise SettingsError(
            f"--grid {text!r}: {part} is no range from a smaller to a larger number"
        )
    return [str(number) for number in range(first, last + 1)]
