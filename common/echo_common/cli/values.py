"""Values of settings: their click types, which check options and TOML alike."""

from __future__ import annotations

import dataclasses
import types
import typing
from pathlib import Path
from typing import Any

import click


class CommaList(click.ParamType[Any]):
    """Several values in one option, such as ``--landmarks 3,7,11``, in order, without duplicates.

    Parameters
    ----------
    item : ParamType
        What each value is.
    length : int, optional
        How many values there must be; doubles are then kept, as each has its own meaning.
    """

    name = "list"

    def __init__(self, item: click.ParamType[Any], length: int | None = None) -> None:
        self.item = item
        self.length = length

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Show the items' own form, repeated."""
        inner = self.item.get_metavar(param, ctx) or self.item.name.upper()
        return f"{inner}[,…]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[Any, ...]:
        """Split at commas and convert each part; a TOML list comes through as it is."""
        parts = value.split(",") if isinstance(value, str) else list(value)
        parts = [part.strip() if isinstance(part, str) else part for part in parts]
        if not parts or "" in parts:
            self.fail(f"{value!r} has an empty item", param, ctx)
        values = [self.item.convert(part, param, ctx) for part in parts]
        if self.length is None:
            return tuple(dict.fromkeys(values))
        if len(values) != self.length:
            self.fail(f"{value!r} is {len(values)} values; {self.length} are needed", param, ctx)
        return tuple(values)


def param_type(field: dataclasses.Field[Any], hint: Any) -> click.ParamType[Any]:
    """Give the click type of a setting, from its annotation and its bounds."""
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        (hint,) = (arm for arm in typing.get_args(hint) if arm is not type(None))
    if typing.get_origin(hint) is tuple:
        items = typing.get_args(hint)
        return CommaList(param_type(field, items[0]), None if ... in items else len(items))
    meta = field.metadata
    if meta["choices"] is not None:
        return click.Choice(list(meta["choices"]))
    if hint is int:
        return click.IntRange(min=meta["minimum"], max=meta["maximum"])
    if hint is float:
        return click.FloatRange(min=meta["minimum"], max=meta["maximum"])
    if hint is Path:
        return click.Path(path_type=Path)
    return click.STRING


def from_plain(field: dataclasses.Field[Any], hint: Any, value: Any) -> Any:
    """Check and convert a value of a TOML file.

    Raises
    ------
    click.UsageError
        If the value is not allowed.
    """
    kind = click.BOOL if hint is bool else param_type(field, hint)
    return kind.convert(as_text(kind, value), None, None)


def as_text(kind: click.ParamType[Any], value: Any) -> str | list[str]:
    """Write a value of a TOML file as on the command line, for the checks of the option."""
    # click would accept 1.5 as the whole number 1, and fail at a date with a traceback.
    if isinstance(value, list) and isinstance(kind, CommaList):
        if all(isinstance(item, str | int | float) for item in value):
            return [str(item) for item in value]
    elif isinstance(value, str | int | float):
        return str(value)
    raise click.BadParameter(f"{value!r} is no value for this setting")
