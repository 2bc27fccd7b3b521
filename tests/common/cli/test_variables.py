"""A misspelled variable is named; those of other commands and programs are not."""

from __future__ import annotations

import pytest

from echo_common.cli.command import run_command
from echo_common.cli.variables import unknown_variables
from echo_prep.cli import cli as echo_prep
from echo_train.commands.train import cli as echo_train


def test_variables_of_all_commands_are_known() -> None:
    names = ("ECHO_WIDTH", "ECHO_DATA", "ECHO_BF16", "ECHO_GRID", "ECHO_PAPER", "HOME", "ECHOES")
    environment = dict.fromkeys(names, "1")
    assert unknown_variables(echo_train, environment) == []
    assert unknown_variables(echo_prep, environment) == []


def test_an_unknown_variable_is_named_with_the_nearest() -> None:
    assert unknown_variables(echo_train, {"ECHO_WITDH": "8", "ECHO_HOST_NAME": "x"}) == [
        "warning: no command of this software reads the environment variable ECHO_HOST_NAME",
        "warning: no command of this software reads the environment variable ECHO_WITDH; "
        "did you mean ECHO_WIDTH?",
    ]


def test_a_command_warns_and_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ECHO_SEDE", "3")
    with pytest.raises(SystemExit) as end:
        run_command(echo_train, args=["--help"])
    assert end.value.code == 0
    assert capsys.readouterr().err.endswith("ECHO_SEDE; did you mean ECHO_SEED?\n")
