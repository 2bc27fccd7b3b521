"""Environment variables of all commands, to name one that is misspelled."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping

import click

from echo_common.cli.settings import did_you_mean

PREFIX = "ECHO_"

COMMANDS = (
    "echo_prep.cli",
    "echo_train.commands.train",
    "echo_train.commands.evaluate",
    "echo_train.commands.predict",
    "echo_train.commands.report",
)
"""Modules of the commands; they are imported only to name a variable that one does not know."""


def unknown_variables(command: click.Command, environment: Mapping[str, str]) -> list[str]:
    """Describe each variable of this software's prefix that none of its commands reads."""
    known = set(_variables(command))
    names = {name for name in environment if name.startswith(PREFIX)}
    if names - known:
        for module in COMMANDS:
            known.update(_variables(importlib.import_module(module).cli))
    lines = []
    for name in sorted(names - known):
        # Without the prefix, by which all are alike.
        near = did_you_mean(name[len(PREFIX) :], {other[len(PREFIX) :] for other in known})
        lines.append(
            f"warning: no command of this software reads the environment variable {name}"
            f"{near.replace('mean ', f'mean {PREFIX}')}"
        )
    return lines


def _variables(command: click.Command) -> Iterator[str]:
    for parameter in command.params:
        if isinstance(parameter.envvar, str):
            yield parameter.envvar
        yield from getattr(parameter, "former_variables", ())
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            yield from _variables(inner)
