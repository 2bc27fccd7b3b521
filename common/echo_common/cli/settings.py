"""Settings as frozen dataclasses, and the click options that are made from them.

A setting is declared once, as a field made by `setting`. Its command-line option,
environment variable, TOML key and documentation all come from there. A component
declares its settings beside its code, and a command composes the settings of its
components with `component`. Options, variables and keys stay flat: they do not
depend on which component a setting belongs to. The precedence is click's own:
option, environment, `--config FILE.toml`, default.
"""

from __future__ import annotations

import dataclasses
import tomllib
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import tomli_w

from echo_common.errors import SettingsError

Settings = TypeVar("Settings")
Command = TypeVar("Command", bound=Callable[..., Any])


def setting(
    default: Any,
    help: str,
    *,
    choices: Sequence[str] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    option: str | None = None,
) -> Any:
    """Declare a field of a settings dataclass, with what its option needs.

    Parameters
    ----------
    default : Any
        The value where nothing else sets it.
    help : str
        One sentence for ``--help``.
    choices : sequence of str, optional
        The only values allowed; of a tuple field, of each of its items.
    minimum, maximum : float, optional
        Inclusive bounds; of a tuple field, of each of its items.
    option : str, optional
        The option's name where it is not the field's, such as ``--method``.
    """
    metadata = {
        "help": help,
        "choices": choices,
        "minimum": minimum,
        "maximum": maximum,
        "option": option,
    }
    return dataclasses.field(default=default, metadata=metadata)


def component(cls: type) -> Any:
    """Declare a field that holds the settings of a component.

    Parameters
    ----------
    cls : type
        The component's settings dataclass, in which every field has a default.
    """
    return dataclasses.field(default_factory=cls)


class CommaList(click.ParamType[Any]):
    """Several values in one option, such as ``--landmarks 3,7,11``; order kept, no doubles.

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


def click_options(cls: type) -> Callable[[Command], Command]:
    """Make a decorator that adds an option for each setting of `cls`, and ``--config``.

    The environment variable of a setting is ``ECHO_`` and its option's name in
    capitals: ``ECHO_STORE`` for ``--store``.

    Parameters
    ----------
    cls : type
        A dataclass whose fields were made by `setting` or `component`.
    """

    def decorate(command: Command) -> Command:
        for field, hint in reversed(_settings_of(cls)):
            command = _option(field, hint)(command)
        return click.option(
            "--config",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            is_eager=True,
            expose_value=False,
            callback=_load_config,
            help="TOML file of settings; an option or an environment variable wins over it.",
        )(command)

    return decorate


def replace(settings: Settings, **changes: Any) -> Settings:
    """Copy settings with other values, in whichever component each setting is declared.

    Parameters
    ----------
    settings : dataclass
    **changes
        New values by the setting's name.

    Raises
    ------
    TypeError
        If there is no setting of that name.
    """
    known = {field.name for field, _ in _settings_of(type(settings))}
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
    settings : dataclass
    leave_out : sequence of str
        Settings that belong to one call of a command, and not to a repetition.
    """
    table: dict[str, Any] = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            table |= to_table(value, leave_out)
        elif value is not None and field.name not in leave_out:
            table[_key(field)] = _plain(value)
    return table


def to_toml(settings: Any, leave_out: Sequence[str] = ()) -> str:
    """Write settings as TOML that ``--config`` reads back to the same settings; see `to_table`."""
    return tomli_w.dumps(to_table(settings, leave_out))


def from_table(cls: type[Settings], table: Mapping[str, Any], source: object) -> Settings:
    """Read settings from a table that `to_table` made.

    Settings that the table lacks get their defaults. Keys of other components
    are ignored, so that each reader takes what it needs.

    Parameters
    ----------
    cls : type
        A dataclass whose fields were made by `setting` or `component`.
    table : mapping
    source : object
        Where the table was read, for messages.

    Raises
    ------
    SettingsError
        If a value is not allowed.
    """
    try:
        values = {
            field.name: _from_plain(field, hint, table[_key(field)])
            for field, hint in _settings_of(cls)
            if _key(field) in table
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
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error
    unknown = sorted(table.keys() - {_key(field) for field, _ in _settings_of(cls)})
    if unknown:
        raise SettingsError(f"{path} has settings that are not known: {', '.join(unknown)}")
    return from_table(cls, table, path)


def given_options(ctx: click.Context, values: dict[str, Any]) -> dict[str, Any]:
    """Of a command's values, those that its user set: by option, environment or file."""
    default = click.core.ParameterSource.DEFAULT
    return {
        name: value
        for name, value in values.items()
        if ctx.get_parameter_source(name) is not default
    }


def _settings_of(cls: type) -> tuple[tuple[dataclasses.Field[Any], Any], ...]:
    """Fields and types of all settings of a dataclass, those of its components included."""
    hints = typing.get_type_hints(cls)
    found: list[tuple[dataclasses.Field[Any], Any]] = []
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        nested = isinstance(hint, type) and dataclasses.is_dataclass(hint)
        found += _settings_of(hint) if nested else [(field, hint)]
    names = [field.name for field, _ in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise TypeError(f"{cls.__name__} has several settings named {', '.join(twice)}")
    return tuple(found)


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


def _option(field: dataclasses.Field[Any], hint: Any) -> Callable[[Command], Command]:
    name = _option_name(field)
    flags = f"--{name}/--no-{name}" if hint is bool else f"--{name}"
    kind = None if hint is bool else _param_type(field, hint)
    default = field.default
    if isinstance(default, tuple):
        default = ",".join(str(item) for item in default)
    return click.option(
        flags,
        field.name,
        type=kind,
        default=default,
        show_default=default is not None,
        envvar="ECHO_" + name.upper().replace("-", "_"),
        help=field.metadata["help"],
    )


def _option_name(field: dataclasses.Field[Any]) -> str:
    return field.metadata["option"] or field.name.replace("_", "-")


def _key(field: dataclasses.Field[Any]) -> str:
    return _option_name(field).replace("-", "_")


def _from_plain(field: dataclasses.Field[Any], hint: Any, value: Any) -> Any:
    kind = click.BOOL if hint is bool else _param_type(field, hint)
    return kind.convert(_as_text(kind, value), None, None)


def _as_text(kind: click.ParamType[Any], value: Any) -> str | list[str]:
    """A value of a TOML file as its option would be written, for the option's own checks."""
    # Click would take 1.5 for the whole number 1, and stop at a date with a traceback.
    if isinstance(value, list) and isinstance(kind, CommaList):
        if all(isinstance(item, str | int | float) for item in value):
            return [str(item) for item in value]
    elif isinstance(value, str | int | float):
        return str(value)
    raise click.BadParameter(f"{value!r} is no value for this setting")


def _param_type(field: dataclasses.Field[Any], hint: Any) -> click.ParamType[Any]:
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        (hint,) = (arm for arm in typing.get_args(hint) if arm is not type(None))
    if typing.get_origin(hint) is tuple:
        items = typing.get_args(hint)
        return CommaList(_param_type(field, items[0]), None if ... in items else len(items))
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


def _load_config(ctx: click.Context, param: click.Parameter, value: Path | None) -> None:
    if value is None:
        return
    try:
        table = tomllib.loads(value.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"{value} is not TOML: {error}") from error
    by_key = {
        option.lstrip("-").replace("-", "_"): parameter
        for parameter in ctx.command.params
        for option in parameter.opts
    }
    unknown = sorted(key for key in table if key.replace("-", "_") not in by_key)
    if unknown:
        known = ", ".join(sorted(key for key in by_key if key not in ("config", "help")))
        raise click.BadParameter(
            f"{value} has settings that {ctx.info_name} does not know: "
            f"{', '.join(unknown)}; it knows {known}"
        )
    settings: dict[str, Any] = {}
    for key, item in table.items():
        parameter = by_key[key.replace("-", "_")]
        try:
            settings[parameter.name or key] = _as_text(parameter.type, item)
        except click.BadParameter as error:
            raise click.BadParameter(f"{value}: {key}: {error.message}") from error
    ctx.default_map = settings


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
