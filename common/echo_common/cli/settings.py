"""Settings as frozen dataclasses, and as flat tables in TOML.

A setting is declared once, as a field made by `setting`. Its command-line option,
environment variable, TOML key and documentation all come from there. A component
declares its settings next to its code, and a command composes the settings of its
components with `component`. Options, variables and keys stay flat: they do not
depend on which component a setting belongs to. `echo_common.cli.options` makes the
options.
"""

from __future__ import annotations

import dataclasses
import difflib
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import click
import tomli_w

from echo_common.cli.values import AUTOMATIC, from_plain, read_settings_file
from echo_common.errors import SettingsError

Settings = TypeVar("Settings")


class FormerFlag(NamedTuple):
    """A flag that another setting replaced; its variable and its key are still read."""

    key: str
    if_true: str
    if_false: str

    def value(self, text: object) -> str:
        """Value of the new setting; raises `click.BadParameter` if `text` is no truth value."""
        return self.if_true if click.BOOL.convert(str(text), None, None) else self.if_false


def setting(
    default: Any,
    help: str,
    *,
    choices: Sequence[str] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    title: str | None = None,
    former: FormerFlag | None = None,
    repeatable: bool = False,
    auto: bool = False,
) -> Any:
    """Declare a field of a settings dataclass, with its documentation and its bounds.

    Parameters
    ----------
    help : str
        Documentation, also shown by ``--help``.
    choices : sequence of str, optional
        Allowed values; for a tuple field, of each item.
    minimum, maximum : float, optional
        Inclusive bounds; for a tuple field, of each item.
    title : str, optional
        Title in ``--help`` of this setting and of those that follow it; by
        default, the setting is under the title of the one before it.
    repeatable : bool
        Of a tuple of texts: an option for each item, rather than one with commas.
    auto : bool
        Of a positive number: it may be ``auto``, which is read as
        `echo_common.cli.values.AUTOMATIC`.
    """
    metadata = {
        "help": help,
        "choices": choices,
        "minimum": minimum,
        "maximum": maximum,
        "title": title,
        "former": former,
        "repeatable": repeatable,
        "auto": auto,
    }
    return dataclasses.field(default=default, metadata=metadata)


def component(cls: type, title: str | None = None) -> Any:
    """Declare a field that holds the settings of a component.

    Parameters
    ----------
    cls : type
        The component's settings dataclass, in which every field has a default.
    title : str, optional
        As in `setting`.
    """
    return dataclasses.field(default_factory=cls, metadata={"title": title})


def replace(settings: Settings, **changes: Any) -> Settings:
    """Copy settings with other values, each in the component that declares it.

    Raises
    ------
    TypeError
        If there is no setting of that name.
    """
    known = {declared.field.name for declared in settings_of(type(settings))}
    unknown = sorted(changes.keys() - known)
    if unknown:
        raise TypeError(f"{type(settings).__name__} has no settings {', '.join(unknown)}")
    return _replace(settings, changes)


def to_table(settings: Any, leave_out: Sequence[str] = ()) -> dict[str, Any]:
    """Convert settings to a flat table of plain values, as TOML and JSON hold them.

    A setting that is None has no key: TOML has no null, and a missing key has
    the same meaning.

    Parameters
    ----------
    leave_out : sequence of str
        Settings that apply to one call of a command only.
    """
    table: dict[str, Any] = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            table |= to_table(value, leave_out)
        elif value is not None and field.name not in leave_out:
            is_auto = field.metadata["auto"] and value == AUTOMATIC
            table[field.name] = "auto" if is_auto else _plain(value)
    return table


def to_toml(settings: Any, leave_out: Sequence[str] = ()) -> str:
    """Write settings as TOML, which ``--config`` and `from_toml` read; see `to_table`."""
    return tomli_w.dumps(to_table(settings, leave_out))


def from_table(cls: type[Settings], table: Mapping[str, Any], source: object) -> Settings:
    """Read settings from a table that `to_table` made.

    Settings that the table lacks get their defaults. Keys of other components
    are ignored, so that each reader takes what it needs.

    Parameters
    ----------
    source : object
        Origin of the table, for messages.

    Raises
    ------
    SettingsError
        If a value is not allowed.
    """
    try:
        table = current_keys(cls, table)
        values = {
            field.name: from_plain(field, hint, table[field.name])
            for field, hint, _ in settings_of(cls)
            if field.name in table
        }
    except click.UsageError as error:
        raise SettingsError(f"{source}: {error.format_message()}") from error
    return _replace(cls(), values)


def from_toml(cls: type[Settings], path: Path) -> Settings:
    """Read settings that `to_toml` wrote; see `from_table`.

    Raises
    ------
    SettingsError
        If the file cannot be read, or has a setting or a value that is not allowed.
    """
    table = read_settings_file(path)
    known = {declared.field.name for declared in settings_of(cls)}
    unknown = sorted(table.keys() - known - former_flags(cls).keys())
    if unknown:
        raise SettingsError(
            f"{path} has settings that are not known: {', '.join(unknown)}"
            f"{did_you_mean(unknown[0], known)}"
        )
    return from_table(cls, table, path)


def current_keys(cls: type, table: Mapping[str, Any]) -> dict[str, Any]:
    """Replace the flags of a table that are settings of another name by now.

    Raises
    ------
    click.BadParameter
        If the value of such a flag is neither true nor false.
    """
    former = former_flags(cls)
    replaced = {
        former[key].field.name: former[key].field.metadata["former"].value(value)
        for key, value in table.items()
        if key in former
    }
    return {**replaced, **{key: value for key, value in table.items() if key not in former}}


def former_flags(cls: type) -> dict[str, Declared]:
    """The settings of a dataclass that replaced a flag, by the key of the flag."""
    return {
        declared.field.metadata["former"].key: declared
        for declared in settings_of(cls)
        if declared.field.metadata["former"]
    }


class Declared(NamedTuple):
    """A setting as its dataclass declares it: field, type, and title in ``--help``."""

    field: dataclasses.Field[Any]
    hint: Any
    title: str | None


def settings_of(cls: type, title: str | None = None) -> list[Declared]:
    """List all settings of a dataclass, those of its components included."""
    hints = typing.get_type_hints(cls)
    found: list[Declared] = []
    for field in dataclasses.fields(cls):
        title, hint = field.metadata["title"] or title, hints[field.name]
        nested = isinstance(hint, type) and dataclasses.is_dataclass(hint)
        found += settings_of(hint, title) if nested else [Declared(field, hint, title)]
    names = [declared.field.name for declared in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise TypeError(f"{cls.__name__} has several settings named {', '.join(twice)}")
    return found


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """End of a message about an unknown name: the nearest of those that are known, if any is near.

    Examples
    --------
    >>> did_you_mean("widht", ["width", "loss"])
    '; did you mean width?'
    """
    near = difflib.get_close_matches(name, sorted(known), 1)
    return f"; did you mean {near[0]}?" if near else ""


def option_name(field: dataclasses.Field[Any]) -> str:
    """Name of a setting's option, without the two dashes."""
    return field.name.replace("_", "-")


def _replace(settings: Any, changes: Mapping[str, Any]) -> Any:
    values = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    return dataclasses.replace(
        settings,
        **{
            name: _replace(value, changes)
            if dataclasses.is_dataclass(value)
            else changes.get(name, value)
            for name, value in values.items()
        },
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
