"""Values of settings: their click types, which check options and TOML alike."""

from __future__ import annotations

import dataclasses
import math
import stat
import tomllib
import types
import typing
from pathlib import Path
from typing import Any

import click

from echo_common.errors import SettingsError

_LARGEST = 2**53
"""Bound of whole numbers that have none of their own: up to it, a float holds each exactly."""

AUTOMATIC = 0
"""Stands for ``auto`` in a setting that is a positive number, or chosen when the command runs."""

_SETTINGS_BYTES = 1 << 20
"""Bytes that a file of settings may have; a larger one is another kind of file."""


class PathText(click.Path):
    """A path that can be shown in one line and kept in a UTF-8 file, which is not empty."""

    def __init__(self, **options: Any) -> None:
        super().__init__(path_type=Path, **options)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Check the text, then what `click.Path` checks."""
        if isinstance(value, str):
            _check_text(self, value, "path", param, ctx)
        return super().convert(value, param, ctx)


class Text(click.ParamType[str]):
    """A text of one line."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check that the text can be printed."""
        text = str(value)
        _check_text(self, text, "text", param, ctx)
        return text


class FiniteFloat(click.FloatRange):
    """A number that is neither infinite nor NaN."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Check that the number is finite, then its bounds."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


class WholeNumber(click.IntRange):
    """A whole number within its bounds, and in any case below 2**53 in size."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Check the size, then the bounds."""
        if isinstance(value, str) and len(value) > 20:
            self.fail(f"{value[:20]!r}… is not a whole number of at most 20 digits.", param, ctx)
        number = super().convert(value, param, ctx)
        if abs(number) > _LARGEST:
            self.fail(f"{value!r} is larger than {_LARGEST}.", param, ctx)
        return number


class NumberOrAuto(WholeNumber):
    """A whole number, or ``auto``, which is read as `AUTOMATIC`."""

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Show both forms."""
        return "INTEGER RANGE|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read the word, or check the number."""
        return AUTOMATIC if value == "auto" else super().convert(value, param, ctx)


class NumberRange(click.ParamType[range]):
    """A whole number, or a first and a last one, such as ``0-40``."""

    name = "numbers"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Show both forms."""
        return "N|N-M"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> range:
        """Split at the hyphen and check both numbers."""
        first, hyphen, last = str(value).partition("-")
        number = WholeNumber(min=0)
        start = number.convert(first.strip(), param, ctx)
        stop = number.convert(last.strip(), param, ctx) if hyphen else start
        if stop < start:
            self.fail(f"{value!r} ends before it begins.", param, ctx)
        return range(start, stop + 1)


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
    if field.metadata["repeatable"]:
        return Text()
    if typing.get_origin(hint) is tuple:
        items = typing.get_args(hint)
        return CommaList(param_type(field, items[0]), None if ... in items else len(items))
    meta = field.metadata
    if meta["choices"] is not None:
        return click.Choice(list(meta["choices"]))
    if hint is int:
        kind = NumberOrAuto if meta["auto"] else WholeNumber
        return kind(min=meta["minimum"], max=meta["maximum"])
    if hint is range:
        return NumberRange()
    if hint is float:
        return FiniteFloat(min=meta["minimum"], max=meta["maximum"])
    return PathText() if hint is Path else Text()


def from_plain(field: dataclasses.Field[Any], hint: Any, value: Any) -> Any:
    """Check and convert a value of a TOML file.

    Raises
    ------
    click.UsageError
        If the value is not allowed.
    """
    kind = click.BOOL if hint is bool else param_type(field, hint)
    if field.metadata["repeatable"]:
        items = value if isinstance(value, list) else [value]
        return tuple(kind.convert(as_text(kind, item), None, None) for item in items)
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


def read_settings_file(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises
    ------
    SettingsError
        If it is no regular file, is larger than 1 MiB, or is not TOML in UTF-8.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise SettingsError(f"{path} is not a regular file; give a TOML file")
        if status.st_size > _SETTINGS_BYTES:
            raise SettingsError(f"{path} has {status.st_size:,} bytes, too many for settings")
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except SettingsError:
        raise
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror or error}") from error
    except RecursionError as error:
        raise SettingsError(f"{path} is not a file of settings: it is nested too deeply") from error
    except ValueError as error:
        raise SettingsError(f"{path} is not TOML in UTF-8: {error}") from error


def _check_text(
    kind: click.ParamType[Any],
    text: str,
    noun: str,
    param: click.Parameter | None,
    ctx: click.Context | None,
) -> None:
    if not text.strip():
        kind.fail(f"the {noun} is empty", param, ctx)
    if not text.isprintable():
        kind.fail(
            f"{text!a} has characters that cannot be printed, or bytes that are not UTF-8; "
            "rename it",
            param,
            ctx,
        )
