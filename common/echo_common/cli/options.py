"""Options of the commands, made from their settings.

The precedence is click's own: option, environment, `--config FILE.toml`, default.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
import cloup

from echo_common.cli.settings import (
    FormerFlag,
    current_keys,
    did_you_mean,
    option_name,
    settings_of,
)
from echo_common.cli.values import PathText, as_text, param_type, read_settings_file
from echo_common.errors import SettingsError

Command = TypeVar("Command", bound=Callable[..., Any])


def click_options(cls: type) -> Callable[[Command], Command]:
    """Make a decorator that adds an option for each setting of a dataclass, and ``--config``.

    On a `cloup.command`, ``--help`` shows the options under their titles.
    The environment variable of a setting is ``ECHO_`` and its option's name in
    capitals: ``ECHO_STORE`` for ``--store``.
    """

    def decorate(command: Command) -> Command:
        declared = settings_of(cls)
        sections = {title: cloup.OptionGroup(title) for *_, title in declared if title}
        for field, hint, title in reversed(declared):
            command = _option(field, hint, sections.get(title))(command)
        return click.option(
            "--config",
            type=PathText(exists=True, dir_okay=False),
            is_eager=True,
            expose_value=False,
            callback=functools.partial(_load_config, cls),
            help="TOML file of settings; options and environment variables override it.",
        )(command)

    return decorate


def given_options(ctx: click.Context, values: dict[str, Any]) -> dict[str, Any]:
    """Select the values that the user set by option, environment variable or file."""
    default = click.core.ParameterSource.DEFAULT
    return {
        name: value
        for name, value in values.items()
        if ctx.get_parameter_source(name) is not default
    }


def _option(
    field: dataclasses.Field[Any], hint: Any, section: cloup.OptionGroup | None
) -> Callable[[Command], Command]:
    name = option_name(field)
    flags = f"--{name}/--no-{name}" if hint is bool else f"--{name}"
    kind = None if hint is bool else param_type(field, hint)
    default = field.default
    repeatable = field.metadata["repeatable"]
    if isinstance(default, tuple) and not repeatable:
        default = ",".join(str(item) for item in default)
    return cloup.option(
        flags,
        field.name,
        cls=_Option,
        former=field.metadata["former"],
        group=section,
        type=kind,
        multiple=repeatable,
        default=default,
        show_default=default not in (None, ()),
        envvar=_variable(name),
        help=field.metadata["help"],
    )


def _variable(name: str) -> str:
    return "ECHO_" + name.upper().replace("-", "_")


class _Option(cloup.Option):
    """An option that also reads the variable of the flag that it replaced."""

    def __init__(self, *declarations: Any, former: FormerFlag | None, **settings: Any) -> None:
        super().__init__(*declarations, **settings)
        self._former = former
        self.former_variables = (_variable(former.key),) if former else ()

    def consume_value(
        self, ctx: click.Context, opts: Mapping[str, Any]
    ) -> tuple[Any, click.core.ParameterSource]:
        """Take the value, and say so if a variable overrides the file of settings."""
        value, source = super().consume_value(ctx, opts)
        if source is click.core.ParameterSource.ENVIRONMENT and self.name in (
            ctx.default_map or {}
        ):
            click.echo(
                f"note: the environment variable {self.envvar} overrides {self.name} of --config",
                err=True,
            )
        return value, source

    def resolve_envvar_value(self, ctx: click.Context) -> str | None:
        value = super().resolve_envvar_value(ctx)
        if value is None and self._former and (flag := os.environ.get(_variable(self._former.key))):
            return self._former.value(flag)
        return value


def _load_config(cls: type, ctx: click.Context, param: click.Parameter, value: Path | None) -> None:
    if value is None:
        return
    try:
        table = current_keys(cls, read_settings_file(value))
    except SettingsError as error:
        raise click.BadParameter(str(error)) from error
    by_key = {
        option.lstrip("-").replace("-", "_"): parameter
        for parameter in ctx.command.params
        for option in parameter.opts
    }
    unknown = sorted(key for key in table if key.replace("-", "_") not in by_key)
    if unknown:
        known = ", ".join(sorted(key for key in by_key if key not in ("config", "help")))
        raise click.BadParameter(
            f"{value} has settings that {ctx.command_path} does not know: "
            f"{', '.join(unknown)}; it knows {known}{did_you_mean(unknown[0], by_key)}"
        )
    settings: dict[str, Any] = {}
    for key, item in table.items():
        parameter = by_key[key.replace("-", "_")]
        try:
            several = getattr(parameter, "multiple", False)
            items = item if several and isinstance(item, list) else [item]
            texts = [as_text(parameter.type, each) for each in items]
            settings[parameter.name or key] = texts if several else texts[0]
        except click.BadParameter as error:
            raise click.BadParameter(f"{value}: {key}: {error.message}") from error
    ctx.default_map = settings
